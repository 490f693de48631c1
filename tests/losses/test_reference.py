"""Agreement with sentence-transformers: its losses run on a model whose scores are one leaf tensor."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from sentence_transformers.cross_encoder import CrossEncoder
from sentence_transformers.cross_encoder import losses as reference
from torch import Tensor

from loss_cases import ragged, value_and_gradient

pytestmark = pytest.mark.peer


class RecordedScores(CrossEncoder):
    """A reference model whose score of the pair (query, document) is an entry of one leaf tensor."""

    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, scores: dict[tuple[str, str], float]) -> None:
        torch.nn.Module.__init__(self)
        self.index = {pair: index for index, pair in enumerate(scores)}
        self.scores = torch.nn.Parameter(torch.tensor(list(scores.values())))

    def preprocess(self, inputs: Sequence[tuple[str, str]], **_: object) -> dict[str, Tensor]:
        return {"index": torch.tensor([self.index[pair] for pair in inputs])}

    def forward(self, tokens: dict[str, Tensor], **_: object) -> dict[str, Tensor]:
        return {"scores": self.scores[tokens["index"]][:, None]}


def texts(lengths: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """Queries, and a list of documents for each."""
    return [f"q{i}" for i in range(len(lengths))], [[f"d{i}.{j}" for j in range(n)] for i, n in enumerate(lengths)]


def recorded(scores: Tensor, lengths: Sequence[int]) -> RecordedScores:
    queries, documents = texts(lengths)
    each = zip(queries, documents, scores.tolist(), strict=True)
    return RecordedScores({(query, text): row[j] for query, group, row in each for j, text in enumerate(group)})


def assert_agrees(ours: tuple[Tensor, Tensor], theirs: Tensor, model: RecordedScores, mask: Tensor) -> None:
    """Value and gradient to 1e-5."""
    theirs.backward()
    torch.testing.assert_close(ours[0], theirs.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours[1][mask], model.scores.grad, atol=1e-5, rtol=1e-5)


def card_weight(mask: Tensor) -> Tensor:
    """The weight of the card as the reference takes it: of the mask."""
    return (1 / torch.log1p(mask.cumsum(dim=-1))).masked_fill(~mask, 0)


def reference_p_list_mle(model: CrossEncoder, **options: Any) -> reference.PListMLELoss:
    weight = reference.PListMLELambdaWeight(rank_discount_fn=options.pop("discount", None))
    return reference.PListMLELoss(model, lambda_weight=weight, **options)


IN_ORDER = {"ties": "input_order"}
EXPONENTIAL = {"weight": "exponential", "normalise": True}
LISTWISE: list[tuple[str, dict[str, Any], Callable[..., torch.nn.Module], dict[str, Any]]] = [
    ("list_mle", IN_ORDER, reference.ListMLELoss, {}),
    ("p_list_mle", EXPONENTIAL | IN_ORDER, reference_p_list_mle, {}),
    ("p_list_mle", {"normalise": True} | IN_ORDER, reference_p_list_mle, {"discount": card_weight}),
    ("list_net", {}, reference.ListNetLoss, {}),
    ("rank_net", {}, reference.RankNetLoss, {}),
    ("rank_net", {"cutoff": 3, "sigma": 2.0}, reference.RankNetLoss, {"k": 3, "sigma": 2.0}),
    ("lambda_loss", {"mu": 4.0}, reference.LambdaLoss, {"weighting_scheme": reference.NDCGLoss2PPScheme(mu=4.0)}),
    ("adr_mse", {}, reference.ADRMSELoss, {}),
    ("adr_mse", {"alpha": 2.5}, reference.ADRMSELoss, {"alpha": 2.5}),
]
REFERENCE_SCHEMES = {
    "none": reference.NoWeightingScheme,
    "ndcg_loss1": reference.NDCGLoss1Scheme,
    "ndcg_loss2": reference.NDCGLoss2Scheme,
    "lambda_rank": reference.LambdaRankScheme,
    "ndcg_loss2++": reference.NDCGLoss2PPScheme,
}
LISTWISE += [
    (
        "lambda_loss",
        {"scheme": name, "cutoff": k, "sigma": sigma},
        reference.LambdaLoss,
        {"weighting_scheme": scheme(), "k": k, "sigma": sigma},
    )
    for name, scheme in REFERENCE_SCHEMES.items()
    for k, sigma in ((None, 1.0), (3, 1.0), (None, 0.5))
]
LENGTHS = [[9, 1, 4, 2, 7], [1, 1, 3], [12], [5, 5, 5, 5]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("name", "options", "loss", "settings"), LISTWISE)
def test_listwise_losses_agree_with_the_reference(
    name: str,
    options: dict[str, Any],
    loss: Callable[..., torch.nn.Module],
    settings: dict[str, Any],
    lengths: list[int],
    seed: int,
) -> None:
    scores, labels, mask = ragged(lengths, seed)
    model = recorded(scores, lengths)
    theirs = loss(model, **settings)(list(texts(lengths)), list(labels[mask].split(lengths)))
    assert_agrees(value_and_gradient(name, scores, labels, mask, **options), theirs, model, mask)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "options", "loss"),
    [("list_mle", {}, reference.ListMLELoss), ("p_list_mle", EXPONENTIAL, reference_p_list_mle)],
)
def test_sorted_by_label_agrees_with_the_reference(
    name: str, options: dict[str, Any], loss: Callable[..., torch.nn.Module], seed: int
) -> None:
    lengths = [9, 1, 4, 2, 7]
    scores, _, mask = ragged(lengths, seed)
    labels = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed))
    for ties in ("stable", "efron", "breslow", "random"):
        model = recorded(scores, lengths)
        theirs = loss(model, respect_input_order=False)(list(texts(lengths)), list(labels[mask].split(lengths)))
        assert_agrees(value_and_gradient(name, scores, labels, mask, ties=ties, **options), theirs, model, mask)


def test_lists_without_documents_count_in_the_mean_as_in_the_reference() -> None:
    lengths = [4, 0, 3]
    scores, labels, mask = ragged(lengths)
    model = recorded(scores, lengths)
    theirs = reference.ListMLELoss(model)(list(texts(lengths)), list(labels[mask].split(lengths)))
    assert_agrees(value_and_gradient("list_mle", scores, labels, mask, ties="input_order"), theirs, model, mask)


@pytest.mark.parametrize("documents", [1, 10, 127, 128, 300])
def test_long_lists_agree_with_the_reference(documents: int) -> None:
    scores, labels, mask = ragged([documents])
    model = recorded(scores, [documents])
    theirs = reference_p_list_mle(model)(list(texts([documents])), [labels[0]])
    ours = value_and_gradient("p_list_mle", scores, labels, mask, **EXPONENTIAL, **IN_ORDER)
    if documents == 1:  # The reference answers a constant.
        assert ours[0] == theirs == 0
        return
    assert_agrees(ours, theirs, model, mask)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", ["scores", "margins"])
def test_margin_mse_agrees_with_the_reference(form: str, seed: int) -> None:
    scores, labels, mask = ragged([4] * 6, seed)
    labels = labels + torch.rand(labels.shape)
    model = recorded(scores, [4] * 6)
    queries, documents = texts([4] * 6)
    targets = labels if form == "scores" else labels[:, :1] - labels[:, 1:]
    theirs = reference.MarginMSELoss(model)([queries, *map(list, zip(*documents, strict=True))], list(targets))
    assert_agrees(value_and_gradient("margin_mse", scores, labels, mask), theirs, model, mask)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "options", "loss", "settings"),
    [
        ("binary_cross_entropy", {}, reference.BinaryCrossEntropyLoss, {}),
        (
            "binary_cross_entropy",
            {"positive_weight": 4},
            reference.BinaryCrossEntropyLoss,
            {"pos_weight": torch.tensor(4)},
        ),
        ("mse", {}, reference.MSELoss, {}),
    ],
)
def test_pointwise_losses_agree_with_the_reference(
    name: str, options: dict[str, Any], loss: Callable[..., torch.nn.Module], settings: dict[str, Any], seed: int
) -> None:
    lengths = [5, 1, 3]
    scores, _, mask = ragged(lengths, seed)
    labels = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed))
    model = recorded(scores, lengths)
    first, second = zip(*model.index, strict=True)
    theirs = loss(model, **settings)([list(first), list(second)], labels[mask])
    assert_agrees(value_and_gradient(name, scores, labels, mask, **options), theirs, model, mask)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("scale", [10.0, 2.0])
def test_multiple_negatives_agree_with_the_reference(columns: int, scale: float, seed: int) -> None:
    """Every query against all documents of the batch: its own positive first."""
    batch = 4
    scores, labels, mask = ragged([batch * columns] * batch, seed)
    queries, documents = texts([columns] * batch)
    candidates = [documents[(i + shift) % batch] for i in range(batch) for shift in range(batch)]
    names = [[text for group in candidates[i * batch : (i + 1) * batch] for text in group] for i in range(batch)]
    each = zip(queries, names, scores.tolist(), strict=True)
    model = RecordedScores({(query, text): row[j] for query, group, row in each for j, text in enumerate(group)})
    loss = reference.MultipleNegativesRankingLoss(model, num_negatives=None, scale=scale)
    theirs = loss([queries, *map(list, zip(*documents, strict=True))], torch.zeros(batch))
    assert_agrees(value_and_gradient("multiple_negatives", scores, labels, mask, scale=scale), theirs, model, mask)


# A new loss is one file and a line in the table; its paper is not forgotten.
