"""The table of families beside transformers' own classes, and what reads it."""

import pytest
import torch
import transformers

from plackett.engines.torch.packed import ACTIVATIONS
from plackett.engines.torch.weights import LAYOUTS
from plackett.families import FAMILIES, Family, family_of
from tiny import FAMILIES as TINY
from tiny import HIDDEN


def test_a_family_that_is_not_known_has_no_peculiarities():
    assert family_of("deberta-v2") == family_of("") == Family()


def test_every_layout_is_of_a_family_whose_head_is_known():
    assert {FAMILIES[name].activation for name in LAYOUTS} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"mpnet"}))  # whose limit does not count the padding
def test_positions_count_as_in_transformers(name):
    """Position embeddings of a module that counts from behind the padding id have a padding row."""
    config = transformers.AutoConfig.for_model(name, **(HIDDEN if name != "distilbert" else {}), pad_token_id=1)
    model = transformers.AutoModel.from_config(config)
    embeddings = getattr(model.embeddings, "position_embeddings", None)
    behind = embeddings is not None and embeddings.padding_idx is not None
    assert family_of(name).positions_behind_padding == behind


@pytest.mark.parametrize("name", [name for name in sorted(TINY) if family_of(name).first_token_head])
def test_heads_that_read_the_first_token_only(name, tiny):
    """The gradient of the logit by what the last layer gives is zero but at the first token."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny(name))
    hidden = []
    model.base_model.register_forward_hook(lambda _, __, output: hidden.append(output[0]))
    ids = torch.randint(5, 50, (1, 7))
    logits = model(input_ids=ids).logits
    [gradient] = torch.autograd.grad(logits.sum(), hidden[0])
    assert gradient[0, 0].abs().sum() > 0
    assert gradient[0, 1:].abs().sum() == 0
