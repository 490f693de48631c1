"""Batches of lists for the tests of losses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from plackett.losses import LOSSES, to_matrix


def rows(*lists: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The lists as a padded matrix and its mask."""
    flat = torch.tensor([value for row in lists for value in row], dtype=torch.float32)
    return to_matrix(flat, [len(row) for row in lists])


def ragged(lengths: Sequence[int], seed: int = 0, grades: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Random scores, integer labels from 0 to grades - 1, and the mask."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(sum(lengths), generator=generator)
    labels = torch.randint(grades, (sum(lengths),), generator=generator).float()
    matrix, mask = to_matrix(scores, lengths)
    return matrix, to_matrix(labels, lengths)[0], mask


def value_and_gradient(
    name: str, scores: Tensor, labels: Tensor, mask: Tensor, **options: object
) -> tuple[Tensor, Tensor]:
    leaf = scores.detach().clone().requires_grad_()
    value = LOSSES[name](leaf, labels, mask, **options)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient
