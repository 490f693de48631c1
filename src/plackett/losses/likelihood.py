"""Losses over the likelihood of the label order: ListMLE and its position-aware variant."""

from collections.abc import Callable

import torch
from torch import Generator

from plackett.losses.matrices import (
    Mask,
    Matrix,
    Scalar,
    TieGroups,
    choice_log_probabilities,
    clean,
    descending,
    has_preference,
    mean_over_lists,
    ranks_like,
    shuffled_ties,
)
from plackett.losses.options import check_choice

PositionWeight = Callable[[Matrix, Mask], Matrix]

TIES = ("input_order", "stable", "efron", "breslow", "random")


def list_mle(
    scores: Matrix, labels: Matrix, mask: Mask, *, ties: str = "efron", generator: Generator | None = None
) -> Scalar:
    """Negative log-likelihood of the label order under the Plackett-Luce model (ListMLE).

    -Σ_i log(exp s_i / Σ_{j≥i} exp s_j) over the documents in label order, best first; the sum over positions, then
    the mean over lists (Xia, Liu, Wang, Zhang & Li 2008, ICML). `ties` sets the order of documents with equal labels:

    - "efron" (default), "breslow": no order among them, by the approximations of the Cox partial likelihood (Efron
      1977, JASA; Breslow 1974, Biometrics). Documents with the lowest label are never chosen, only compared against,
      like censored observations in survival analysis: binary labels train the positives against all documents, and with
      one positive this is `list_softmax`.
    - "random": a new random order in each call, from `generator` or the global generator.
    - "stable": their input order.
    - "input_order": the documents are already in order, and the labels are ignored (the reference's default,
      `respect_input_order=True`). It trains documents with equal labels, even all of them, to keep their input order.

    Labels [2, 1, 1, 0] with exp(scores) [4, 1, 2, 1]: efron ln 10, breslow ln 16, stable and input_order ln 12,
    random ln 12 or ln 8; `docs/ties.md` shows the steps. Without ties all five agree on sorted documents. SettingError
    for unknown `ties`.
    """
    return _plackett_luce(scores, labels, mask, lambda ranks, mask: torch.ones_like(ranks), False, ties, generator)


def p_list_mle(
    scores: Matrix,
    labels: Matrix,
    mask: Mask,
    *,
    weight: str | PositionWeight = "reciprocal_log",
    normalise: bool = False,
    ties: str = "efron",
    generator: Generator | None = None,
) -> Scalar:
    """Position-aware ListMLE: `list_mle` with a weight for each rank.

    -Σ_i w(i) log P(i); the sum over positions, then the mean over lists (Lan, Zhu, Guo, Niu & Cheng 2014, UAI).
    `weight` is a name in `POSITION_WEIGHTS` or a function `(ranks, mask) -> weights`, all `[lists, depth]`, of the
    1-based ranks of the sorted lists; padding is masked afterwards. `normalise` divides by each list's Σw + 1e-10.

    The defaults are the published recipe's unnormalised 1 / ln(1 + rank); `weight="exponential", normalise=True` is
    the reference's PListMLELoss. Unnormalised exponential weights grow as 2^length, so use them only for short lists.
    `ties` as in `list_mle`; the documents of an "efron" or "breslow" group all get the mean weight of its ranks.
    """
    if not callable(weight):
        check_choice("position weight", weight, POSITION_WEIGHTS)
        weight = POSITION_WEIGHTS[weight]
    return _plackett_luce(scores, labels, mask, weight, normalise, ties, generator)


def _plackett_luce(
    scores: Matrix,
    labels: Matrix,
    mask: Mask,
    weight: PositionWeight,
    normalise: bool,
    ties: str,
    generator: Generator | None,
) -> Scalar:
    check_choice("ties", ties, TIES)

    scores, labels, mask = clean(scores, labels, mask)
    states_order = has_preference(labels, mask) | (ties == "input_order")

    if ties == "input_order":
        order = descending(torch.zeros_like(labels), mask)
    elif ties == "random":
        order = shuffled_ties(labels, mask, generator)
    else:
        order = descending(labels, mask)
    scores, labels, mask = (tensor.gather(1, order) for tensor in (scores, labels, mask))

    ranks = ranks_like(scores)
    groups = TieGroups.of(labels if ties in ("efron", "breslow") else ranks, mask)
    weights = weight(ranks, mask).to(scores.dtype).masked_fill(~mask, 0)
    if normalise:
        weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-10)
    weights = groups.sum(weights) / groups.size

    log_probabilities = choice_log_probabilities(scores, mask, groups, efron=ties == "efron")
    return mean_over_lists((-weights * log_probabilities).sum(dim=1).masked_fill(~states_order, 0))


def _reciprocal_log(ranks: Matrix, mask: Mask) -> Matrix:
    """1 / ln(1 + rank)."""
    return 1 / torch.log1p(ranks)


def _exponential(ranks: Matrix, mask: Mask) -> Matrix:
    """2^(length - rank) - 1; in lists of more than 127 documents divided by 2^(length - 127), as in the reference."""
    lengths = mask.sum(dim=1, keepdim=True).to(ranks.dtype)
    excess = (lengths - 127).clamp_min(0)
    return torch.exp2(lengths - ranks - excess) - torch.exp2(-excess)


POSITION_WEIGHTS: dict[str, PositionWeight] = {"reciprocal_log": _reciprocal_log, "exponential": _exponential}
