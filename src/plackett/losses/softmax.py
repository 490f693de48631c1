"""Losses over the softmax of a list: ListNet, cross-entropy, distillation, in-batch negatives."""

import torch

from plackett.losses.matrices import Mask, Matrix, Scalar, clean, has_preference, log_softmax, mean_over_lists
from plackett.losses.options import check_positive


def list_net(scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 1.0) -> Scalar:
    """Cross-entropy between the softmax of the labels and the softmax of the scores (ListNet, top-one probabilities).

    -Σ_i softmax(labels / temperature)_i log softmax(scores)_i, mean over lists (Cao, Qin, Liu, Tsai & Li 2007, ICML).
    A low temperature sharpens the target: with one positive among ten binary labels, its share is 0.23 at 1.0
    and 0.9996 at 0.1.
    """
    check_positive("temperature", temperature)
    scores, labels, mask = clean(scores, labels, mask)
    target = log_softmax(labels / temperature, mask).exp().masked_fill(~mask, 0)
    return mean_over_lists(-(target * log_softmax(scores, mask)).sum(dim=1))


def list_softmax(scores: Matrix, labels: Matrix, mask: Mask) -> Scalar:
    """Softmax cross-entropy of one or more positives against all documents of the list.

    -Σ_i (y_i / Σ_j y_j) log softmax(scores)_i with y the labels above 0, so that several positives of equal label
    share the target equally; mean over lists (Bruch, Wang, Bendersky & Najork 2019, ICTIR). Lists without a positive
    give 0.
    """
    scores, labels, mask = clean(scores, labels, mask)
    gains = labels.clamp_min(0)
    target = gains / gains.sum(dim=1, keepdim=True).clamp_min(torch.finfo(gains.dtype).tiny)
    losses = -(target * log_softmax(scores, mask)).sum(dim=1)
    return mean_over_lists(losses.masked_fill(~has_preference(labels, mask), 0))


def kl_divergence(scores: Matrix, labels: Matrix, mask: Mask, *, temperature: float = 1.0) -> Scalar:
    """Kullback-Leibler divergence of the scores' distribution from the teacher's; the labels are teacher scores.

    T² Σ_i p_i (log p_i - log q_i) with p = softmax(labels / T), q = softmax(scores / T), mean over lists; T² keeps
    the size of the gradient (Hinton, Vinyals & Dean 2015, arXiv:1503.02531). 0 where scores and labels differ by a
    constant only.
    """
    check_positive("temperature", temperature)
    scores, labels, mask = clean(scores, labels, mask)
    teacher = log_softmax(labels / temperature, mask)
    student = log_softmax(scores / temperature, mask)
    divergence = (teacher.exp() * (teacher - student)).sum(dim=1)
    return temperature**2 * mean_over_lists(divergence)


def multiple_negatives(scores: Matrix, labels: Matrix, mask: Mask, *, scale: float = 10.0) -> Scalar:
    """Softmax cross-entropy of the document in column 0 against the other candidates, in-batch ones included.

    -log softmax(scale sigmoid(scores))_0, mean over lists; the labels are ignored (Henderson et al. 2017,
    arXiv:1705.00652; sigmoid and scale are the reference's). A list without a document in column 0 gives 0.
    """
    check_positive("scale", scale)
    scores, labels, mask = clean(scores, labels, mask)
    return mean_over_lists(-log_softmax(scale * scores.sigmoid(), mask)[:, 0])
