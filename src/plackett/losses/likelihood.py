"""The losses: pure functions `(scores, labels, mask, *, options) -> scalar`, and the table `LOSSES` of them all.

`scores` and `labels` are `[lists, depth]`, `mask` is True where there is a document; whatever the padding holds is
ignored. Arithmetic is in fp32 at least. Scores of ±1e4 stay finite in every precision. Lists without documents give
0, and so do batches without lists, with a gradient of 0 that stays attached to the graph. In `list_mle`,
`p_list_mle`, `list_softmax`, `rank_net`, `lambda_loss`, `approx_ndcg` and `neural_ndcg` the labels state preferences,
so a list whose labels are all equal gives 0 as well (two options of the reference excepted: ties="input_order" and
scheme="ndcg_loss1"); in the other losses labels are targets, and equal targets are still targets.

"The reference" is sentence-transformers 6.2.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from plackett.errors import SettingError
from plackett.losses.matrices import (
    Mask,
    Matrix,
    Scalar,
    Square,
    TieGroups,
    approximate_ranks,
    choice_log_probabilities,
    clean,
    descending,
    differences,
    doubly_stochastic_product,
    has_preference,
    log_softmax,
    mean_over_documents,
    mean_over_lists,
    normalised_gains,
    pairs,
    ranks_like,
    shuffled_ties,
    soft_sort,
)
from plackett.losses.matrices import to_matrix as to_matrix

Loss = Callable[..., Tensor]
PositionWeight = Callable[[Matrix, Mask], Matrix]

TIES = ("input_order", "stable", "efron", "breslow", "random")
SCHEMES = ("none", "ndcg_loss1", "ndcg_loss2", "lambda_rank", "ndcg_loss2++")
REDUCTIONS = ("batch", "list")

_SINKHORN_ROUNDS = 50


def list_mle(
    scores: Matrix, labels: Matrix, mask: Mask, *, ties: str = "efron", generator: Generator | None = None
) -> Scalar:
    """Negative log-likelihood of the label order under the Plackett-Luce model (ListMLE).

    -Σ_i log(exp s_i / Σ_{j≥i} exp s_j) over the documents in label order, best first; the sum over positions, then
    the mean over lists (Xia, Liu, Wang, Zhang & Li 2008, ICML). `ties` says what documents of equal label do:

    - "efron" (default), "breslow": no order among them, by the approximations of the Cox partial likelihood (Efron
      1977, JASA; Breslow 1974, Biometrics). The lowest label is never chosen, only chosen against, like the censored
      in survival analysis: binary labels train the positives against all, and with one positive this is
      `list_softmax`.
    - "random": a fresh order among them in each call, from `generator` or else the global one.
    - "stable": the order in which they came.
    - "input_order": the documents are already in order, and the labels are not looked at (the reference's default,
      `respect_input_order=True`). It trains equal labels, even all-equal ones, to keep the order in which they came.

    Labels [2, 1, 1, 0] with exp(scores) [4, 1, 2, 1]: efron ln 10, breslow ln 16, stable and input_order ln 12,
    random ln 12 or ln 8; `docs/ties.md` has the steps. Without ties all five agree on sorted documents. SettingError
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
    """Position-aware ListMLE: `list_mle` with a weight for every rank.

    -Σ_i w(i) log P(i); the sum over positions, then the mean over lists (Lan, Zhu, Guo, Niu & Cheng 2014, UAI).
    `weight` is a name in `POSITION_WEIGHTS` or a function `(ranks, mask) -> weights`, all `[lists, depth]`, of the
    1-based ranks of the sorted lists; padding is masked afterwards. `normalise` divides by each list's Σw + 1e-10.

    The defaults are the published recipe's unnormalised 1 / ln(1 + rank); `weight="exponential", normalise=True` is
    the reference's PListMLELoss. Unnormalised exponential weights grow as 2^length: for short lists only. `ties` as
    in `list_mle`; the documents of an "efron" or "breslow" group all have the mean weight of its ranks.
    """
    if isinstance(weight, str):
        _check("position weight", weight, POSITION_WEIGHTS)
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
    _check("ties", ties, TIES)
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


def list_net(scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 1.0) -> Scalar:
    """Cross-entropy between the softmax of the labels and the softmax of the scores (ListNet, top-one probabilities).

    -Σ_i softmax(labels / temperature)_i log softmax(scores)_i, mean over lists (Cao, Qin, Liu, Tsai & Li 2007, ICML).
    A low temperature sharpens the target: of binary labels, one in ten, a positive has 0.23 of it at 1.0 and 0.9996
    at 0.1.
    """
    _check_positive("temperature", temperature)
    scores, labels, mask = clean(scores, labels, mask)
    target = log_softmax(labels / temperature, mask).exp().masked_fill(~mask, 0)
    return mean_over_lists(-(target * log_softmax(scores, mask)).sum(dim=1))


def list_softmax(scores: Matrix, labels: Matrix, mask: Mask) -> Scalar:
    """Softmax cross-entropy of one or several positives against all documents of the list.

    -Σ_i (y_i / Σ_j y_j) log softmax(scores)_i with y the labels above 0, so that several positives of equal label
    share the target equally; mean over lists (Bruch, Wang, Bendersky & Najork 2019, ICTIR). Lists without a positive
    give 0.
    """
    scores, labels, mask = clean(scores, labels, mask)
    gains = labels.clamp_min(0)
    target = gains / gains.sum(dim=1, keepdim=True).clamp_min(torch.finfo(gains.dtype).tiny)
    losses = -(target * log_softmax(scores, mask)).sum(dim=1)
    return mean_over_lists(losses.masked_fill(~has_preference(labels, mask), 0))


def rank_net(
    scores: Matrix,
    labels: Matrix,
    mask: Mask,
    *,
    cutoff: int | None = None,
    sigma: float = 1.0,
    reduction: str = "batch",
) -> Scalar:
    """Logistic loss of every pair of documents that the labels order (RankNet), in bits.

    log2(1 + exp(-sigma (s_i - s_j))) over the pairs with label i above label j, mean over pairs (Burges, Shaked,
    Renshaw, Lazier, Deeds, Hamilton & Hullender 2005, ICML). The options are those of `lambda_loss`, of which this is
    the scheme "none".
    """
    return lambda_loss(scores, labels, mask, scheme="none", cutoff=cutoff, sigma=sigma, reduction=reduction)


def lambda_loss(
    scores: Matrix,
    labels: Matrix,
    mask: Mask,
    *,
    scheme: str = "ndcg_loss2++",
    cutoff: int | None = None,
    sigma: float = 1.0,
    mu: float = 10.0,
    reduction: str = "batch",
) -> Scalar:
    """LambdaLoss: the logistic loss of pairs, weighted by what they matter to nDCG at the present ranks.

    w_ij log2(1 + exp(-sigma (s_i - s_j))) over the pairs with label i above label j, of which one at least ranks
    within `cutoff` (Wang, Li, Golbandi, Bendersky & Najork 2018, CIKM). The schemes, with G the gain over the ideal
    DCG and D(r) = log2(1 + r) at the present ranks r:

    - "none": 1, which is RankNet.
    - "ndcg_loss1": G_i / D(r_i), over all pairs whatever their labels, i = j included.
    - "ndcg_loss2": |G_i - G_j| (1 / D(d) - 1 / D(d + 1)) with d = |r_i - r_j|.
    - "lambda_rank": |G_i - G_j| |1 / D(r_i) - 1 / D(r_j)|.
    - "ndcg_loss2++": mu times ndcg_loss2 plus lambda_rank.

    `reduction="batch"` is the mean over all pairs of the batch (the reference: lists with many pairs dominate),
    "list" the mean over the pairs of each list, then over lists. SettingError for an unknown scheme or reduction and
    for a cut-off below 1.
    """
    _check("scheme", scheme, SCHEMES)
    _check("reduction", reduction, REDUCTIONS)
    _check_positive("sigma", sigma)
    _check_cutoff(cutoff)
    scores, labels, mask = clean(scores, labels, mask)
    order = descending(scores.detach(), mask)
    scores, labels, mask = (tensor.gather(1, order) for tensor in (scores, labels, mask))
    kept = pairs(mask) if scheme == "ndcg_loss1" else pairs(mask) & (differences(labels) > 0)
    within = ranks_like(scores) <= (cutoff or scores.shape[1])
    kept = kept & (within[:, :, None] | within[:, None, :])
    weights = _pair_weights(normalised_gains(labels, mask, cutoff), scheme, mu)
    losses = (-weights / math.log(2) * functional.logsigmoid(sigma * differences(scores))).masked_fill(~kept, 0)
    if reduction == "batch":
        return losses.sum() / kept.sum().clamp_min(1)
    means = losses.sum(dim=(1, 2)) / kept.sum(dim=(1, 2)).clamp_min(1)
    return mean_over_lists(means.masked_fill(~has_preference(labels, mask), 0))


def _pair_weights(gains: Matrix, scheme: str, mu: float) -> Square:
    """The weights of `lambda_loss` for rows in the order of the scores."""
    ranks = ranks_like(gains)
    discounts = torch.log2(1 + ranks)
    if scheme == "none":
        return torch.ones_like(gains)[:, :, None]
    if scheme == "ndcg_loss1":
        return (gains / discounts)[:, :, None]
    distance = differences(ranks).abs()
    # Documents at distance 0 are one document: its gain differs from itself by 0.
    ndcg_loss2 = 1 / torch.log2(1 + distance.clamp_min(1)) - 1 / torch.log2(2 + distance)
    lambda_rank = differences(1 / discounts).abs()
    weights = {"ndcg_loss2": ndcg_loss2, "lambda_rank": lambda_rank, "ndcg_loss2++": mu * ndcg_loss2 + lambda_rank}
    return weights[scheme] * differences(gains).abs()


def approx_ndcg(scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 0.1) -> Scalar:
    """1 - nDCG with ranks made differentiable by sigmoids (ApproxNDCG).

    1 - Σ_i G_i / log2(1 + r_i), with r_i = 1 + Σ_{j≠i} sigmoid((s_j - s_i) / temperature) and G the gain 2^label - 1
    over the ideal DCG; mean over lists (Qin, Liu & Li 2010, Information Retrieval; temperature 0.1 after Bruch,
    Zoghi, Bendersky & Najork 2019, SIGIR). Between 0 and 1; lists without a label above the others or above 0 give 0.
    """
    _check_positive("temperature", temperature)
    scores, labels, mask = clean(scores, labels, mask)
    gains = normalised_gains(labels, mask, None)
    ndcg = (gains / torch.log2(1 + approximate_ranks(scores, mask, temperature))).sum(dim=1)
    return mean_over_lists((1 - ndcg).masked_fill(~has_preference(gains, mask), 0))


def neural_ndcg(
    scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 1.0, cutoff: int | None = None
) -> Scalar:
    """1 - nDCG@cutoff with the sorting made differentiable (NeuralNDCG, deterministic).

    The permutation that sorts the scores is relaxed to rows softmax_j(((n + 1 - 2i) s_j - Σ_k |s_j - s_k|) /
    temperature) (NeuralSort: Grover, Wang, Zweig & Ermon 2019, ICLR), made doubly stochastic by 50 Sinkhorn rounds,
    and applied to the gains; mean over lists (Pobrotyn & Białobrzeski 2021, arXiv:2102.07831). Lists without a label
    above the others or above 0 give 0.
    """
    _check_positive("temperature", temperature)
    _check_cutoff(cutoff)
    scores, labels, mask = clean(scores, labels, mask)
    gains = normalised_gains(labels, mask, cutoff)
    sorted_gains = doubly_stochastic_product(soft_sort(scores, mask, temperature), gains, _SINKHORN_ROUNDS)
    ndcg = (sorted_gains / torch.log2(1 + ranks_like(gains)))[:, :cutoff].sum(dim=1)
    return mean_over_lists((1 - ndcg).masked_fill(~has_preference(gains, mask), 0))


def adr_mse(scores: Matrix, labels: Matrix, mask: Mask, *, alpha: float = 1.0) -> Scalar:
    """Squared error between approximate and true ranks, discounted by the true rank (ADR-MSE).

    (r_i - r̂_i)² / log2(1 + r_i) with r̂_i = 1 + Σ_{j≠i} sigmoid(alpha (s_j - s_i)) and r_i the label's rank, ties at
    their mean rank; mean over the documents of the batch (Schlatt et al. 2025, ECIR). Equal labels are a target as
    well: equal scores.
    """
    _check_positive("alpha", alpha)
    scores, labels, mask = clean(scores, labels, mask)
    higher = (pairs(mask) & (differences(labels) < 0)).sum(dim=2)
    equal = (pairs(mask) & (differences(labels) == 0)).sum(dim=2)
    ranks = (higher + (equal + 1) / 2).to(scores.dtype)
    error = (ranks - approximate_ranks(scores, mask, 1 / alpha)) ** 2
    return mean_over_documents(error / torch.log2(1 + ranks), mask)


def margin_mse(scores: Matrix, labels: Matrix, mask: Mask) -> Scalar:
    """Squared error of the margin between the first document and each other one, against the teacher's (MarginMSE).

    ((s_0 - s_k) - (y_0 - y_k))² for k ≥ 1 with y the labels, which are teacher scores; mean over the (list, k) of the
    batch (Hofstätter, Althammer, Schröder, Sertkan & Hanbury 2020, arXiv:2010.02666). The positive is in column 0;
    margins m_k instead of scores are the labels 0, -m_1, -m_2, …
    """
    scores, labels, mask = clean(scores, labels, mask)
    margins = scores[:, :1] - scores[:, 1:]
    teacher_margins = labels[:, :1] - labels[:, 1:]
    return mean_over_documents((margins - teacher_margins) ** 2, mask[:, :1] & mask[:, 1:])


def kl_divergence(scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 1.0) -> Scalar:
    """Kullback-Leibler divergence of the scores' distribution from the teacher's; the labels are teacher scores.

    T² Σ_i p_i (log p_i - log q_i) with p = softmax(labels / T), q = softmax(scores / T), mean over lists; T² keeps
    the size of the gradient (Hinton, Vinyals & Dean 2015, arXiv:1503.02531). 0 where scores and labels differ by a
    constant only.
    """
    _check_positive("temperature", temperature)
    scores, labels, mask = clean(scores, labels, mask)
    teacher = log_softmax(labels / temperature, mask)
    student = log_softmax(scores / temperature, mask)
    divergence = (teacher.exp() * (teacher - student)).sum(dim=1)
    return temperature**2 * mean_over_lists(divergence)


def binary_cross_entropy(scores: Matrix, labels: Matrix, mask: Mask, *, positive_weight: float = 1.0) -> Scalar:
    """Binary cross-entropy of each document by itself; the scores are logits, the labels within [0, 1].

    -(positive_weight y log sigmoid(s) + (1 - y) log(1 - sigmoid(s))), mean over the documents of the batch (Nogueira
    & Cho 2019, arXiv:1901.04085).
    """
    _check_positive("positive_weight", positive_weight)
    scores, labels, mask = clean(scores, labels, mask)
    losses = -positive_weight * labels * functional.logsigmoid(scores) - (1 - labels) * functional.logsigmoid(-scores)
    return mean_over_documents(losses, mask)


def mse(scores: Matrix, labels: Matrix, mask: Mask) -> Scalar:
    """Squared error between score and label of each document, mean over the documents of the batch."""
    scores, labels, mask = clean(scores, labels, mask)
    return mean_over_documents((scores - labels) ** 2, mask)


def multiple_negatives(scores: Matrix, labels: Matrix, mask: Mask, *, scale: float = 10.0) -> Scalar:
    """Softmax cross-entropy of the document in column 0 against the other candidates, in-batch ones included.

    -log softmax(scale sigmoid(scores))_0, mean over lists; the labels are not looked at (Henderson et al. 2017,
    arXiv:1705.00652; sigmoid and scale are the reference's). A list without a document in column 0 gives 0.
    """
    _check_positive("scale", scale)
    scores, labels, mask = clean(scores, labels, mask)
    return mean_over_lists(-log_softmax(scale * scores.sigmoid(), mask)[:, 0])


LOSSES: dict[str, Loss] = {
    "list_mle": list_mle,
    "p_list_mle": p_list_mle,
    "list_net": list_net,
    "list_softmax": list_softmax,
    "rank_net": rank_net,
    "lambda_loss": lambda_loss,
    "approx_ndcg": approx_ndcg,
    "neural_ndcg": neural_ndcg,
    "adr_mse": adr_mse,
    "margin_mse": margin_mse,
    "kl_divergence": kl_divergence,
    "binary_cross_entropy": binary_cross_entropy,
    "mse": mse,
    "multiple_negatives": multiple_negatives,
}


def _check(kind: str, name: str, known: tuple[str, ...] | dict[str, PositionWeight]) -> None:
    if name not in known:
        raise SettingError.unknown(kind, name, known)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise SettingError(f"{name} must be above 0, not {value}")


def _check_cutoff(cutoff: int | None) -> None:
    if cutoff is not None and cutoff < 1:
        raise SettingError(f"cutoff must be at least 1, or None for the whole list, not {cutoff}")
