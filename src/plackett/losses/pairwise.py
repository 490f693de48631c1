"""Losses over pairs of documents: RankNet, LambdaLoss, MarginMSE."""

import math

import torch
from torch.nn import functional

from plackett.losses.matrices import (
    Mask,
    Matrix,
    Scalar,
    Square,
    clean,
    descending,
    differences,
    has_preference,
    mean_over_documents,
    mean_over_lists,
    normalised_gains,
    pairs,
    ranks_like,
)
from plackett.losses.options import check_choice, check_cutoff, check_not_negative, check_positive

SCHEMES = ("none", "ndcg_loss1", "ndcg_loss2", "lambda_rank", "ndcg_loss2++")
REDUCTIONS = ("batch", "list")


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
    Renshaw, Lazier, Deeds, Hamilton & Hullender 2005, ICML). The options are those of `lambda_loss`; this is its scheme
    "none".
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
    """LambdaLoss: the logistic loss of pairs, weighted by their effect on nDCG at the current ranks.

    w_ij log2(1 + exp(-sigma (s_i - s_j))) over the pairs with label i above label j where at least one document ranks
    within `cutoff` (Wang, Li, Golbandi, Bendersky & Najork 2018, CIKM). The schemes, with G the gain over the ideal DCG
    and D(r) = log2(1 + r) at the current ranks r:

    - "none": 1, which is RankNet.
    - "ndcg_loss1": G_i / D(r_i), over all pairs regardless of labels, including i = j.
    - "ndcg_loss2": |G_i - G_j| (1 / D(d) - 1 / D(d + 1)) with d = |r_i - r_j|.
    - "lambda_rank": |G_i - G_j| |1 / D(r_i) - 1 / D(r_j)|.
    - "ndcg_loss2++": mu times ndcg_loss2 plus lambda_rank.

    `reduction="batch"` is the mean over all pairs of the batch (as in the reference, where lists with many pairs
    dominate), "list" the mean over the pairs of each list, then over lists. SettingError for an unknown scheme or
    reduction and for a cut-off below 1.
    """
    check_choice("scheme", scheme, SCHEMES)
    check_choice("reduction", reduction, REDUCTIONS)
    check_positive("sigma", sigma)
    check_not_negative("mu", mu)
    check_cutoff(cutoff)

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
    """Return the weights of `lambda_loss` for rows in score order."""
    ranks = ranks_like(gains)
    discounts = torch.log2(1 + ranks)
    if scheme == "none":
        return torch.ones_like(gains)[:, :, None]
    if scheme == "ndcg_loss1":
        return (gains / discounts)[:, :, None]
    distance = differences(ranks).abs()
    # At distance 0 there is only one document, with a gain difference of 0.
    ndcg_loss2 = 1 / torch.log2(1 + distance.clamp_min(1)) - 1 / torch.log2(2 + distance)
    lambda_rank = differences(1 / discounts).abs()
    weights = {"ndcg_loss2": ndcg_loss2, "lambda_rank": lambda_rank, "ndcg_loss2++": mu * ndcg_loss2 + lambda_rank}
    return weights[scheme] * differences(gains).abs()


def margin_mse(scores: Matrix, labels: Matrix, mask: Mask) -> Scalar:
    """Squared error of the margins between the first and each other document, against the teacher's (MarginMSE).

    ((s_0 - s_k) - (y_0 - y_k))² for k ≥ 1 with y the labels, which are teacher scores; mean over all (list, k) in the
    batch (Hofstätter, Althammer, Schröder, Sertkan & Hanbury 2020, arXiv:2010.02666). The positive is in column 0;
    margins m_k instead of scores are the labels 0, -m_1, -m_2, …
    """
    scores, labels, mask = clean(scores, labels, mask)
    margins = scores[:, :1] - scores[:, 1:]
    teacher_margins = labels[:, :1] - labels[:, 1:]
    return mean_over_documents((margins - teacher_margins) ** 2, mask[:, :1] & mask[:, 1:])
