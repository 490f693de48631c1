"""Our attention against torch's own, its gradients against differences, and a whole model against eager attention."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from plackett.checkpoints.folder import read_base
from plackett.models.classifier import new_model, padded_inputs
from plackett.models.cpu_attention import NAME, attend
from plackett.models.first_token import first_token_only
from plackett.tokenization.tokenizer import PairTokenizer

PAIRS = [("a short one", "a document"), ("a longer query", "and a document of many more words than the first " * 3)]


def _inputs(dtype=torch.float64) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, 5, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    mask = torch.ones(3, 1, 5, 5, dtype=torch.bool)
    mask[0, :, :, 3:] = False
    return (query, key, value), mask


@pytest.mark.parametrize("masked", [True, False])
def test_the_same_as_torchs_own(masked):
    parts, padding = _inputs()
    mask = padding if masked else None
    ours, _ = attend(None, *parts, mask, 0.3)
    theirs = F.scaled_dot_product_attention(*parts, mask, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_are_those_of_differences(dropout):
    parts, mask = _inputs()

    def attended(query, key, value):
        torch.manual_seed(1)  # the same weights dropped each time
        return attend(None, query, key, value, mask, dropout=dropout)[0]

    assert torch.autograd.gradcheck(attended, parts, fast_mode=True)


def test_dropout_keeps_the_mean():
    parts, mask = _inputs()
    whole, _ = attend(None, *parts, mask)
    query, key, value, copied = (part.detach().expand(4000, *part.shape).flatten(0, 1) for part in (*parts, mask))
    mean = attend(None, query, key, value, copied, dropout=0.3)[0].unflatten(0, (4000, -1)).mean(0)
    torch.testing.assert_close(mean, whole, rtol=0, atol=0.1)


def test_one_query_row_for_many_keys():
    (query, key, value), mask = _inputs()
    ours, _ = attend(None, query[:, :, :1], key, value, mask[:, :, :1])
    torch.testing.assert_close(ours, attend(None, query, key, value, mask)[0][:, :1])


@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "xlm-roberta"])
def test_a_model_learns_the_same_as_with_eager_attention(tiny, family):
    base = read_base(tiny(family))
    batch = padded_inputs(PairTokenizer.from_checkpoint(base).encode(PAIRS), base)
    logits, gradients = {}, {}
    for attention in ("eager", NAME):
        model = new_model(base, layers=None, dropout=0.0, seed=0)
        model.set_attn_implementation(attention)
        first_token_only(model)
        logits[attention] = model(**batch).logits
        logits[attention].sum().backward()
        gradients[attention] = {name: weights.grad for name, weights in model.named_parameters()}
    torch.testing.assert_close(logits[NAME], logits["eager"], rtol=0, atol=1e-5)
    torch.testing.assert_close(gradients[NAME], gradients["eager"], rtol=1e-4, atol=1e-5)
