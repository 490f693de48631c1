"""The losses: closed forms recomputed another way, and the properties that all of `LOSSES` share.

`test_reference` compares them with sentence-transformers.
"""

import inspect
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError, jaxtyped
from scipy import special
from torch import Tensor

from loss_cases import ragged, rows, value_and_gradient
from plackett import losses
from plackett.errors import InputError, SettingError
from plackett.losses import LOSSES, POSITION_WEIGHTS, REDUCTIONS, SCHEMES, TIES, to_matrix
from plackett.publishing.citations import LOSS_PAPERS

DOCS = Path(__file__).parents[2] / "docs"
NAN, INF = math.nan, math.inf

# Their labels are targets, not preferences: equal labels are something to learn, and so is one label.
TARGETS = {"list_net", "adr_mse", "margin_mse", "kl_divergence", "binary_cross_entropy", "mse", "multiple_negatives"}
POINTWISE = {"binary_cross_entropy", "mse"}
FIRST_IS_SPECIAL = {"margin_mse", "multiple_negatives"}
MEAN_OVER_LISTS = set(LOSSES) - {"rank_net", "lambda_loss", "adr_mse", "margin_mse", *POINTWISE}

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in LOSSES),
    *(("list_mle", {"ties": ties}) for ties in TIES),
    *(("p_list_mle", {"weight": weight, "normalise": True}) for weight in POSITION_WEIGHTS),
    *(("p_list_mle", {"ties": ties}) for ties in TIES),
    *(("lambda_loss", {"scheme": scheme, "cutoff": 2}) for scheme in SCHEMES),
    *(("lambda_loss", {"scheme": scheme, "reduction": "list"}) for scheme in SCHEMES),
    ("neural_ndcg", {"cutoff": 2, "temperature": 0.1}),
    ("kl_divergence", {"temperature": 2.0}),
]
every_loss = pytest.mark.parametrize("name", LOSSES)
every_option = pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)


def every_option_but(excluded: Callable[[str, dict[str, Any]], bool]) -> pytest.MarkDecorator:
    """The loss with its options, without those that the property does not hold for."""
    chosen = [(name, options) for name, options in OPTIONS if not excluded(name, options)]
    return pytest.mark.parametrize(("name", "options"), chosen, ids=str)


def sees_single_documents(name: str, options: dict[str, Any]) -> bool:
    return name in POINTWISE or options.get("scheme") == "ndcg_loss1"


def learns_from_equal_labels(name: str, options: dict[str, Any]) -> bool:
    return name in TARGETS or options.get("ties") == "input_order" or options.get("scheme") == "ndcg_loss1"


def draws_ties(name: str, options: dict[str, Any]) -> bool:
    return options.get("ties") == "random"


def orders_ties(name: str, options: dict[str, Any]) -> bool:
    return options.get("ties") in ("input_order", "stable", "random")


def test_to_matrix_pads_with_zeros_and_back_propagates() -> None:
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    matrix, mask = to_matrix(values, torch.tensor([2, 0, 1]))
    assert matrix.tolist() == [[1, 2], [0, 0], [3, 0]]
    assert mask.tolist() == [[True, True], [False, False], [True, False]]
    (matrix * torch.tensor([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 2, 16]


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_to_matrix_of_nothing_stays_attached(lengths: list[int]) -> None:
    matrix, mask = to_matrix(torch.zeros(0, requires_grad=True), lengths)
    assert matrix.shape == mask.shape == (len(lengths), 0)
    assert matrix.requires_grad


def test_to_matrix_rejects_lengths_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"3.*2"):
        to_matrix(torch.zeros(2), [1, 2])


# ---------------------------------------------------------------- what all losses share


@every_option
def test_shapes_are_as_annotated(name: str, options: dict[str, Any]) -> None:
    checked = jaxtyped(typechecker=beartype)(LOSSES[name])
    scores, labels, mask = ragged([3, 1, 4])
    assert checked(scores, labels, mask, **options).shape == ()
    with pytest.raises(TypeCheckError):
        checked(scores, labels[:, 1:], mask, **options)


@every_loss
def test_shapes_that_differ_are_named(name: str) -> None:
    with pytest.raises(InputError, match=r"\(2, 3\), \(2, 1\), \(2, 3\)"):
        LOSSES[name](torch.zeros(2, 3), torch.zeros(2, 1), torch.ones(2, 3, dtype=torch.bool))


@every_option
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0), (2, 3)])
def test_no_documents_give_zero(name: str, options: dict[str, Any], shape: tuple[int, int]) -> None:
    garbage = torch.full(shape, NAN)
    value, gradient = value_and_gradient(name, garbage, garbage, torch.zeros(shape, dtype=torch.bool), **options)
    assert value.item() == 0
    assert gradient.tolist() == torch.zeros(shape).tolist()


@every_option_but(sees_single_documents)
@pytest.mark.parametrize("depth", [1, 4])
def test_one_document_gives_zero(name: str, options: dict[str, Any], depth: int) -> None:
    mask = torch.arange(depth).expand(3, depth) == 0
    scores = torch.full((3, depth), INF).masked_fill(mask, 2.5)
    value, gradient = value_and_gradient(name, scores, scores, mask, **options)
    assert value.item() == 0
    assert not gradient.any()


@every_option_but(learns_from_equal_labels)
@pytest.mark.parametrize("label", [0.0, 1.0, 3.0])
def test_all_equal_labels_give_zero(name: str, options: dict[str, Any], label: float) -> None:
    scores, labels, mask = ragged([4, 2, 3])
    value, gradient = value_and_gradient(name, scores, torch.full_like(labels, label), mask, **options)
    assert value.item() == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", sorted(TARGETS - POINTWISE - {"multiple_negatives"}))
def test_equal_targets_are_met_by_equal_scores(name: str) -> None:
    _, labels, mask = ragged([4, 2, 3])
    _, gradient = value_and_gradient(name, torch.full(mask.shape, 0.7), torch.ones_like(labels), mask)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-7, rtol=0)


@every_option_but(draws_ties)
def test_padding_changes_nothing(name: str, options: dict[str, Any]) -> None:
    scores, labels, mask = ragged([5, 1, 0, 3])
    value, gradient = value_and_gradient(name, scores, labels, mask, **options)
    junk = torch.tensor([NAN, INF, -INF, 1e30]).expand(4, 4)
    wide_mask = torch.cat([mask, torch.zeros(4, 4, dtype=torch.bool)], dim=1)
    wide = [torch.cat([torch.where(mask, tensor, NAN), junk], dim=1) for tensor in (scores, labels)]
    wide_value, wide_gradient = value_and_gradient(name, wide[0], wide[1], wide_mask, **options)
    torch.testing.assert_close(wide_value, value)
    torch.testing.assert_close(wide_gradient[:, :5], gradient)
    assert not wide_gradient[~wide_mask].any()


@pytest.mark.parametrize("name", sorted(MEAN_OVER_LISTS))
def test_a_batch_is_the_mean_of_its_lists(name: str) -> None:
    scores, labels, mask = ragged([5, 2, 0, 3])
    alone = [
        LOSSES[name](scores[i : i + 1, :n], labels[i : i + 1, :n], mask[i : i + 1, :n])
        for i, n in enumerate([5, 2, 0, 3])
    ]
    torch.testing.assert_close(LOSSES[name](scores, labels, mask), torch.stack(alone).mean())


@every_option_but(orders_ties)
def test_the_order_of_documents_does_not_matter(name: str, options: dict[str, Any]) -> None:
    scores, labels, mask = ragged([6, 3, 4])
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    if name in FIRST_IS_SPECIAL:
        order = torch.tensor([0, 4, 2, 5, 1, 3])
    value, gradient = value_and_gradient(name, scores, labels, mask, **options)
    moved = value_and_gradient(name, scores[:, order], labels[:, order], mask[:, order], **options)
    torch.testing.assert_close(moved[0], value)
    torch.testing.assert_close(moved[1], gradient[:, order])


@every_option
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "row",
    [
        [1e4, -1e4, 0, 1e4, 1, -1e4],
        [-1e4, -1e4, -1e4, 1e4, 1e4, 1e4],
        [1e4] * 6,
        [-1e4] * 6,
        [1e4, 6e3, 2e3, -2e3, -6e3, -1e4],
    ],
    ids=str,
)
def test_extreme_scores_stay_finite(name: str, options: dict[str, Any], dtype: torch.dtype, row: list[float]) -> None:
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    for label_row in ([0, 1, 0, 0, 0, 0], [3, 0, 1, 0, 2, 1], [0, 0, 0, 2, 1, 3]):
        labels = torch.tensor([label_row, label_row], dtype=torch.float32)
        scores = torch.tensor([row, row]).to(dtype)
        value, gradient = value_and_gradient(name, scores, labels, mask, **options)
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert gradient.isfinite().all()


def sees_absolute_scores(name: str, options: dict[str, Any]) -> bool:
    return name in POINTWISE or name == "multiple_negatives" or draws_ties(name, options)


@every_option_but(sees_absolute_scores)
@pytest.mark.parametrize("shift", [8192.0, -8192.0])
def test_a_common_shift_costs_no_digits(name: str, options: dict[str, Any], shift: float) -> None:
    scores, labels, mask = ragged([6, 3, 4])
    scores = torch.round(scores * 8) / 8  # Exact beside the shift.
    expected = value_and_gradient(name, scores, labels, mask, **options)
    torch.testing.assert_close(value_and_gradient(name, scores + shift, labels, mask, **options), expected)


@every_option
def test_extreme_labels_stay_finite(name: str, options: dict[str, Any]) -> None:
    scores, _, mask = ragged([5, 3])
    labels = torch.tensor([1e4, -1e4, 0, 1e4, 130]).expand(2, 5)
    value, gradient = value_and_gradient(name, scores, labels, mask, **options)
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_half_precision_is_the_same_formula(name: str) -> None:
    scores, labels, mask = ragged([5, 3])
    scores = scores.bfloat16()
    plain = LOSSES[name](scores.float(), labels, mask)
    assert LOSSES[name](scores, labels, mask) == plain
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert LOSSES[name](scores, labels, mask) == plain


@every_option
def test_gradients_are_those_of_the_formula(name: str, options: dict[str, Any]) -> None:
    scores, labels, mask = ragged([5, 3, 1], seed=1)

    def formula(leaf: Tensor) -> Tensor:
        seeded = {"generator": torch.Generator().manual_seed(0)} if options.get("ties") == "random" else {}
        return LOSSES[name](leaf, labels, mask, **options, **seeded)

    assert torch.autograd.gradcheck(formula, (scores.double().requires_grad_(),))


@every_loss
def test_a_small_step_down_the_gradient_lowers_the_loss(name: str) -> None:
    scores, labels, mask = ragged([6, 4], seed=2, grades=2)
    value, gradient = value_and_gradient(name, scores, labels, mask)
    assert LOSSES[name](scores - 1e-3 * gradient, labels, mask) < value


@every_loss
def test_every_loss_says_what_it_is(name: str) -> None:
    assert LOSSES[name].__name__ == name
    assert LOSSES[name] is getattr(losses, name)
    signature = inspect.signature(LOSSES[name])
    assert list(signature.parameters)[:3] == ["scores", "labels", "mask"]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in list(signature.parameters.values())[3:])
    assert (LOSSES[name].__doc__ or "").split("\n")[0].endswith(".")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("list_mle", {"ties": "effron"}, "unknown ties 'effron'; did you mean 'efron'"),
        ("p_list_mle", {"weight": "zipf"}, "unknown position weight 'zipf'; known: exponential, reciprocal_log"),
        ("lambda_loss", {"scheme": "ndcgloss2"}, "unknown scheme 'ndcgloss2'; did you mean 'ndcg_loss2'"),
        ("rank_net", {"reduction": "sum"}, "unknown reduction 'sum'; known: batch, list"),
        ("rank_net", {"cutoff": 0}, "cutoff must be a whole number, at least 1"),
        ("neural_ndcg", {"cutoff": -1}, "cutoff must be a whole number, at least 1"),
        ("list_net", {"temperature": 0}, "temperature"),
        ("lambda_loss", {"sigma": NAN}, "sigma"),
    ],
)
def test_options_that_do_not_exist_are_explained(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        LOSSES[name](*ragged([3]), **options)


# ---------------------------------------------------------------- ListMLE and its ties


def cox_loss(scores: Sequence[float], labels: Sequence[float], ties: str, weight: Callable[[int], float]) -> float:
    """The Cox partial likelihood, document by document; `weight` of a 1-based rank."""
    loss, rank = 0.0, 1
    for label in sorted(set(labels), reverse=True)[:-1]:
        events = [i for i, other in enumerate(labels) if other == label]
        at_risk = sum(math.exp(score) for score, other in zip(scores, labels, strict=True) if other <= label)
        tied = sum(math.exp(scores[i]) for i in events)
        mean_weight = sum(weight(rank + step) for step in range(len(events))) / len(events)
        for step, event in enumerate(events):
            removed = step / len(events) * tied if ties == "efron" else 0.0
            loss -= mean_weight * math.log(math.exp(scores[event]) / (at_risk - removed))
        rank += len(events)
    return loss


DOCUMENTS = st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 3)), min_size=1, max_size=8)


@settings(deadline=None)
@given(documents=DOCUMENTS, ties=st.sampled_from(["efron", "breslow"]))
def test_ties_are_those_of_the_cox_model(documents: list[tuple[float, int]], ties: str) -> None:
    scores, labels = zip(*documents, strict=True)
    matrices = (torch.tensor([scores], dtype=torch.float64), torch.tensor([labels]), torch.ones(1, len(scores)).bool())
    assert losses.list_mle(*matrices, ties=ties).item() == pytest.approx(cox_loss(scores, labels, ties, lambda rank: 1))
    expected = cox_loss(scores, labels, ties, lambda rank: 1 / math.log(1 + rank))
    assert losses.p_list_mle(*matrices, ties=ties).item() == pytest.approx(expected)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_one_positive_is_a_softmax(ties: str) -> None:
    scores, _, mask = ragged([7, 3, 4])
    labels = torch.zeros_like(scores)
    labels[torch.arange(3), torch.tensor([4, 0, 2])] = 1
    torch.testing.assert_close(
        value_and_gradient("list_mle", scores, labels, mask, ties=ties),
        value_and_gradient("list_softmax", scores, labels, mask),
    )


@pytest.mark.parametrize("name", ["list_mle", "p_list_mle"])
def test_without_ties_all_modes_agree(name: str) -> None:
    scores, _, mask = ragged([7, 1, 4])
    labels = torch.arange(7, 0, -1.0).expand(3, 7)
    expected = value_and_gradient(name, scores, labels, mask, ties="input_order")
    for ties in TIES:
        torch.testing.assert_close(value_and_gradient(name, scores, labels, mask, ties=ties), expected)


def test_the_input_order_is_an_order_of_equal_labels_too() -> None:
    scores = np.array([1.0, 2.0, 0.5])
    expected = -sum(scores[at] - np.logaddexp.reduce(scores[at:]) for at in range(3))
    batch = torch.from_numpy(scores)[None], torch.ones(1, 3).double(), torch.ones(1, 3, dtype=torch.bool)
    assert LOSSES["list_mle"](*batch, ties="input_order").item() == pytest.approx(expected)


def test_likelihoods_of_all_orders_sum_to_one() -> None:
    scores = [0.3, -1.2, 2.0, 0.7]
    orders = torch.tensor(list(itertools.permutations(scores)))
    each = [losses.list_mle(row[None], row[None], torch.ones(1, 4).bool(), ties="input_order") for row in orders]
    assert torch.stack(each).neg().exp().sum().item() == pytest.approx(1)


def test_random_ties_are_fresh_seeded_and_uniform() -> None:
    scores, mask = rows([4, 1, 2, 1])
    labels, _ = rows([2, 1, 1, 0])
    generator = torch.Generator().manual_seed(12)
    drawn = [losses.list_mle(scores.log(), labels, mask, ties="random", generator=generator).item() for _ in range(400)]
    generator.manual_seed(12)
    assert losses.list_mle(scores.log(), labels, mask, ties="random", generator=generator).item() == drawn[0]
    counts = np.unique(np.round(drawn, 4), return_counts=True)
    assert counts[0].tolist() == [2.0794, 2.4849]
    assert abs(counts[1][0] - 200) < 50


def test_random_ties_fall_back_on_the_global_generator() -> None:
    scores, labels, mask = ragged([20], grades=2)
    torch.manual_seed(3)
    first, second = (losses.list_mle(scores, labels, mask, ties="random") for _ in range(2))
    torch.manual_seed(3)
    assert losses.list_mle(scores, labels, mask, ties="random") == first != second


def test_the_worked_example_in_the_documentation() -> None:
    scores, mask = rows([4, 1, 2, 1])
    labels, _ = rows([2, 1, 1, 0])
    table = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", (DOCS / "ties.md").read_text(encoding="utf-8"), flags=re.M)
    assert {name for name, _ in table} == set(TIES)
    for ties, expected in table:
        seen = {f"{losses.list_mle(scores.log(), labels, mask, ties=ties).item():.4f}" for _ in range(50)}
        assert seen == set(expected.split(" or "))


def test_list_mle_against_tf_ranking_and_all_rank() -> None:
    scores, mask = rows([1, 3, 2], [1, 2, 3])
    labels, _ = rows([0, 2, 1], [1, 0, 2])
    first = [3 / 6, 2 / 3, 1 / 1]
    second = [3 / 6, 1 / 3, 2 / 2]
    expected = -np.log([first, second]).sum() / 2
    assert losses.list_mle(scores.log(), labels, mask).item() == pytest.approx(expected)
    weighted = -(np.log([first, second]) * [3, 1, 0]).sum() / 2
    assert losses.p_list_mle(scores.log(), labels, mask, weight="exponential").item() == pytest.approx(weighted)

    masked = torch.tensor([[True, True, False]])
    all_rank = losses.list_mle(torch.tensor([[0.5, 0.3, 0.5]]), torch.tensor([[1.0, 0.0, -1.0]]), masked)
    assert all_rank.item() == pytest.approx(0.5981389284)


def test_position_weights_are_those_of_the_card() -> None:
    scores, labels = torch.zeros(1, 3), torch.tensor([[3.0, 2.0, 1.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    weights = 1 / np.log([2, 3, 4])
    plain = (weights * np.log([3, 2, 1])).sum()
    assert losses.p_list_mle(scores, labels, mask).item() == pytest.approx(plain)
    normalised = losses.p_list_mle(scores, labels, mask, normalise=True).item()
    assert normalised == pytest.approx(plain / weights.sum())
    assert (1 / np.log(np.arange(2, 12))).sum() == pytest.approx(6.55, abs=0.005)


def test_a_position_weight_of_ones_is_list_mle() -> None:
    matrices = ragged([5, 0, 3])
    ones = losses.p_list_mle(*matrices, weight=lambda ranks, mask: torch.where(mask, 1.0, NAN))
    torch.testing.assert_close(ones, losses.list_mle(*matrices))


def test_long_lists_keep_exponential_weights_finite() -> None:
    matrices = ragged([400, 127, 128])
    value, gradient = value_and_gradient("p_list_mle", *matrices, weight="exponential", normalise=True)
    assert value.isfinite()
    assert gradient.isfinite().all()


# ---------------------------------------------------------------- the other closed forms


def test_list_softmax_against_tf_ranking() -> None:
    scores, mask = rows([1, 3, 2], [1, 2, 3], [1, 2, 3])
    labels, _ = rows([0, 0, 1], [0, 0, 2], [0, 0, 0])
    expected = -(special.log_softmax([1, 3, 2])[2] + special.log_softmax([1, 2, 3])[2]) / 3
    assert losses.list_softmax(scores, labels, mask).item() == pytest.approx(expected)


def test_several_positives_share_the_softmax() -> None:
    scores, mask = rows([1, 3, 2, 0])
    expected = -special.log_softmax([1, 3, 2, 0])[[0, 3]].mean()
    for positive in (1, 2):
        labels = torch.tensor([[positive, 0, -1, positive]])
        assert losses.list_softmax(scores, labels, mask).item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 0.1, 3.0])
def test_list_net_and_kl_divergence_against_scipy(temperature: float) -> None:
    scores, labels, mask = ragged([5, 3])
    net, divergence = [], []
    for i, n in enumerate([5, 3]):
        s, y = scores[i, :n].double().numpy(), labels[i, :n].double().numpy()
        target = special.softmax(y / temperature)
        net.append(-(target * special.log_softmax(s)).sum())
        divergence.append(temperature**2 * special.rel_entr(target, special.softmax(s / temperature)).sum())
    value = losses.list_net(scores, labels, mask, temperature=temperature).item()
    assert value == pytest.approx(np.mean(net), rel=1e-5)
    value = losses.kl_divergence(scores, labels, mask, temperature=temperature).item()
    assert value == pytest.approx(np.mean(divergence), rel=1e-5)


def test_binary_labels_sharpen_with_the_temperature() -> None:
    labels = np.array([1] + [0] * 9)
    assert special.softmax(labels)[0] == pytest.approx(0.23, abs=0.005)
    assert special.softmax(labels / 0.1)[0] == pytest.approx(0.9996, abs=0.00005)


def test_the_per_list_mean_is_the_mean_of_single_lists() -> None:
    scores, labels, mask = ragged([6, 4, 1, 3])
    for scheme in SCHEMES:
        alone = [
            losses.lambda_loss(scores[i : i + 1], labels[i : i + 1], mask[i : i + 1], scheme=scheme) for i in range(4)
        ]
        alone[2] = torch.tensor(0.0)
        value = losses.lambda_loss(scores, labels, mask, scheme=scheme, reduction="list")
        torch.testing.assert_close(value, torch.stack(alone).mean())


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rank_net_is_the_logistic_loss_of_pairs(reduction: str) -> None:
    scores, mask = rows([1, 3, 2], [0, 1])
    labels, _ = rows([2, 0, 1], [0, 1])
    differences = [[1 - 3, 1 - 2, 2 - 3], [1 - 0]]
    bits = [np.log2(1 + np.exp(-2.0 * np.array(row))) for row in differences]
    expected = np.concatenate(bits).mean() if reduction == "batch" else np.mean([row.mean() for row in bits])
    value = losses.rank_net(scores, labels, mask, sigma=2.0, reduction=reduction)
    assert value.item() == pytest.approx(expected)


def ndcg(scores: Sequence[float], labels: Sequence[float], cutoff: int | None = None) -> float:
    gains = 2 ** np.array(labels) - 1
    discounts = 1 / np.log2(np.arange(2, len(labels) + 2))
    found = gains[np.argsort(-np.array(scores), kind="stable")]
    return float((found * discounts)[:cutoff].sum() / (np.sort(gains)[::-1] * discounts)[:cutoff].sum())


SEVEN_SCORES, SEVEN_LABELS = [0.5, 0.2, 0.1, 0.4, 1.0, -1.0, 0.63], [1, 2, 2, 4, 1, 4, 3]


@pytest.mark.parametrize("cutoff", [None, 1, 3, 9])
def test_neural_ndcg_is_ndcg_at_low_temperature(cutoff: int | None) -> None:
    scores, mask = rows(SEVEN_SCORES, [0.5, 0.2])
    labels, _ = rows(SEVEN_LABELS, [1, 0])
    expected = 1 - (ndcg(SEVEN_SCORES, SEVEN_LABELS, cutoff) + 1) / 2
    value = losses.neural_ndcg(scores, labels, mask, temperature=1e-3, cutoff=cutoff)
    assert value.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_neural_ndcg_against_numpy(temperature: float) -> None:
    scores = np.array(SEVEN_SCORES)
    ranks = np.arange(1, 8)[:, None]
    spread = np.abs(scores[:, None] - scores).sum(axis=0)
    matrix = special.softmax(((8 - 2 * ranks) * scores - spread) / temperature, axis=1)
    for _ in range(50):
        matrix = matrix / matrix.sum(axis=0)
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
    gains = 2.0 ** np.array(SEVEN_LABELS) - 1
    discounts = 1 / np.log2(np.arange(2, 9))
    expected = 1 - (matrix @ gains * discounts).sum() / (np.sort(gains)[::-1] * discounts).sum()
    (row, mask), (labels, _) = rows(SEVEN_SCORES), rows(SEVEN_LABELS)
    assert losses.neural_ndcg(row, labels, mask, temperature=temperature).item() == pytest.approx(expected, abs=1e-5)


def test_approx_ndcg_against_tf_ranking_and_all_rank() -> None:
    scores, mask = rows([1.4, -2.8, -0.4], [0, 1.8], [1, 1.2, -3.2])
    labels, _ = rows([0, 2, 1], [1, 0], [0, 0, 0])
    ln = math.log
    ndcgs = (1 / (3 / ln(2) + 1 / ln(3))) * (3 / ln(4) + 1 / ln(3)), ln(2) * (1 / ln(3))
    assert losses.approx_ndcg(scores, labels, mask).item() == pytest.approx((2 - sum(ndcgs)) / 3, abs=1e-5)

    scores, mask = rows([0.5, 0.3, 0.5])
    assert losses.approx_ndcg(scores, scores, mask, temperature=1.0).item() == pytest.approx(1 - 0.8499219417)


def test_approx_ndcg_is_ndcg_at_low_temperature() -> None:
    (scores, mask), (labels, _) = rows(SEVEN_SCORES), rows(SEVEN_LABELS)
    value = losses.approx_ndcg(scores, labels, mask, temperature=1e-3)
    assert value.item() == pytest.approx(1 - ndcg(SEVEN_SCORES, SEVEN_LABELS), abs=1e-5)


def test_adr_mse_gives_ties_their_mean_rank() -> None:
    scores, mask = rows([2, 0, 0])
    labels, _ = rows([0, 1, 1])
    far, near = 1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))
    errors = [3 - (1 + 2 * far), 1.5 - (1.5 + near), 1.5 - (1.5 + near)]
    expected = sum(error**2 / math.log2(1 + rank) for error, rank in zip(errors, [3, 1.5, 1.5], strict=True)) / 3
    assert losses.adr_mse(scores, labels, mask).item() == pytest.approx(expected)


def test_margins_are_the_labels_zero_and_minus_margin() -> None:
    scores, mask = rows([3, 1, 2], [1, 4])
    labels, _ = rows([0, -1, -2], [0, -5])
    assert losses.margin_mse(scores, labels, mask).item() == pytest.approx(
        ((2 - 1) ** 2 + (1 - 2) ** 2 + (-3 - 5) ** 2) / 3
    )


def test_multiple_negatives_skips_lists_without_a_first_document() -> None:
    scores, labels, mask = ragged([3, 3])
    whole = losses.multiple_negatives(scores[:1], labels[:1], mask[:1])
    mask[1, 0] = False
    torch.testing.assert_close(losses.multiple_negatives(scores, labels, mask), whole / 2)


def test_positive_weight_weighs_positives() -> None:
    scores, mask = rows([1, -2])
    labels, _ = rows([1, 0])
    expected = -(3 * math.log(special.expit(1)) + math.log(special.expit(2))) / 2
    assert losses.binary_cross_entropy(scores, labels, mask, positive_weight=3).item() == pytest.approx(expected)


@every_loss
def test_the_paper_that_a_loss_cites_is_the_one_on_its_card(name: str) -> None:
    """The first author and the year of the paper in `LOSS_PAPERS` are those that the docstring cites."""
    text = inspect.getdoc(LOSSES[name]) or ""
    cites = bool(re.search(r"\([A-Z][^()]*? (19|20)\d\d", text))
    key = re.fullmatch(r"([a-z]+?)((?:19|20)\d\d)\w+", LOSS_PAPERS.get(name, ""))
    assert cites == (key is not None), f"{name}: cite its paper in its docstring and in publishing/citations.py"
    if key is not None:
        ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        assert re.search(rf"\({key[1]}[^()]* {key[2]}", ascii_text)


@every_loss
def test_a_loss_is_defined_in_one_file_under_its_name(name: str) -> None:
    assert LOSSES[name].__name__ == name
    assert LOSSES[name].__module__.startswith("plackett.losses.")


@pytest.mark.parametrize("value", [NAN, INF, -1.0, True, "1", 2**70, None, Fraction(1, 2)])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("list_net", "temperature"),
        ("kl_divergence", "temperature"),
        ("approx_ndcg", "temperature"),
        ("neural_ndcg", "temperature"),
        ("rank_net", "sigma"),
        ("lambda_loss", "sigma"),
        ("lambda_loss", "mu"),
        ("adr_mse", "alpha"),
        ("binary_cross_entropy", "positive_weight"),
        ("multiple_negatives", "scale"),
    ],
)
def test_numbers_that_no_loss_can_use_are_named(name: str, option: str, value: float) -> None:
    with pytest.raises(SettingError, match=rf"^{option} must"):
        LOSSES[name](*ragged([3]), **{option: value})


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("kl_divergence", "temperature", 1.0),
        ("neural_ndcg", "temperature", 1.0),
        ("multiple_negatives", "scale", 10.0),
    ],
)
def test_defaults_are_those_of_the_documentation(name: str, option: str, value: float) -> None:
    batch = ragged([3, 4])
    assert LOSSES[name](*batch) == LOSSES[name](*batch, **{option: value})


def test_one_document_or_pair_is_its_own_mean() -> None:
    every = torch.ones(1, 2, dtype=torch.bool)
    pair = LOSSES["lambda_loss"](torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]), every, scheme="none")
    assert pair.item() == pytest.approx(math.log2(1 + math.exp(-2)))
    document = LOSSES["mse"](torch.tensor([[3.0]]), torch.tensor([[1.0]]), every[:, :1])
    assert document.item() == 4


def test_mu_may_be_0() -> None:
    assert torch.isfinite(LOSSES["lambda_loss"](*ragged([3]), mu=0))


@pytest.mark.parametrize("value", [NAN, 2.5, True, "1", 2**70])
@pytest.mark.parametrize("name", ["rank_net", "lambda_loss", "neural_ndcg"])
def test_cutoffs_that_are_no_whole_numbers_are_named(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match="cutoff"):
        LOSSES[name](*ragged([3]), cutoff=value)
    assert LOSSES[name](*ragged([3]), cutoff=np.int64(2)) == LOSSES[name](*ragged([3]), cutoff=2)


@pytest.mark.parametrize("weight", [None, 1, []])
def test_a_weight_is_a_name_or_a_function(weight: Any) -> None:
    with pytest.raises(SettingError, match="position weight"):
        LOSSES["p_list_mle"](*ragged([3]), weight=weight)
