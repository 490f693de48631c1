"""Losses that make nDCG differentiable: ApproxNDCG and NeuralNDCG."""

import torch

from plackett.losses.matrices import (
    Mask,
    Matrix,
    Scalar,
    approximate_ranks,
    clean,
    doubly_stochastic_product,
    has_preference,
    mean_over_lists,
    normalised_gains,
    ranks_like,
    soft_sort,
)
from plackett.losses.options import check_cutoff, check_positive

_SINKHORN_ROUNDS = 50


def approx_ndcg(scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 0.1) -> Scalar:
    """1 - nDCG with ranks made differentiable by sigmoids (ApproxNDCG).

    1 - Σ_i G_i / log2(1 + r_i), with r_i = 1 + Σ_{j≠i} sigmoid((s_j - s_i) / temperature) and G the gain 2^label - 1
    over the ideal DCG; mean over lists (Qin, Liu & Li 2010, Information Retrieval; temperature 0.1 after Bruch,
    Zoghi, Bendersky & Najork 2019, SIGIR). Between 0 and 1; lists without a label above the others or above 0 give 0.
    """
    check_positive("temperature", temperature)
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
    check_positive("temperature", temperature)
    check_cutoff(cutoff)
    scores, labels, mask = clean(scores, labels, mask)
    gains = normalised_gains(labels, mask, cutoff)
    sorted_gains = doubly_stochastic_product(soft_sort(scores, mask, temperature), gains, _SINKHORN_ROUNDS)
    ndcg = (sorted_gains / torch.log2(1 + ranks_like(gains)))[:, :cutoff].sum(dim=1)
    return mean_over_lists((1 - ndcg).masked_fill(~has_preference(gains, mask), 0))
