"""Losses over single documents: score against label, or rank against the label's rank."""

import torch
from torch.nn import functional

from plackett.losses.matrices import (
    Mask,
    Matrix,
    Scalar,
    approximate_ranks,
    clean,
    differences,
    mean_over_documents,
    pairs,
)
from plackett.losses.options import check_positive


def binary_cross_entropy(scores: Matrix, labels: Matrix, mask: Mask, *, positive_weight: float = 1.0) -> Scalar:
    """Binary cross-entropy of each document; scores are logits, labels are within [0, 1].

    -(positive_weight y log sigmoid(s) + (1 - y) log(1 - sigmoid(s))), mean over the documents of the batch (Nogueira
    & Cho 2019, arXiv:1901.04085).
    """
    check_positive("positive_weight", positive_weight)
    scores, labels, mask = clean(scores, labels, mask)
    losses = -positive_weight * labels * functional.logsigmoid(scores) - (1 - labels) * functional.logsigmoid(-scores)
    return mean_over_documents(losses, mask)


def mse(scores: Matrix, labels: Matrix, mask: Mask) -> Scalar:
    """Squared error between score and label of each document, mean over the documents of the batch."""
    scores, labels, mask = clean(scores, labels, mask)
    return mean_over_documents((scores - labels) ** 2, mask)


def adr_mse(scores: Matrix, labels: Matrix, mask: Mask, *, alpha: float = 1.0) -> Scalar:
    """Squared error between approximate and true ranks, discounted by the true rank (ADR-MSE).

    (r_i - r̂_i)² / log2(1 + r_i) with r̂_i = 1 + Σ_{j≠i} sigmoid(alpha (s_j - s_i)) and r_i the label's rank, ties at
    their mean rank; mean over the documents of the batch (Schlatt et al. 2025, ECIR). Equal labels are a target too:
    equal scores.
    """
    check_positive("alpha", alpha)
    scores, labels, mask = clean(scores, labels, mask)
    higher = (pairs(mask) & (differences(labels) < 0)).sum(dim=2)
    equal = (pairs(mask) & (differences(labels) == 0)).sum(dim=2)
    ranks = (higher + (equal + 1) / 2).to(scores.dtype)
    error = (ranks - approximate_ranks(scores, mask, 1 / alpha)) ** 2
    return mean_over_documents(error / torch.log2(1 + ranks), mask)
