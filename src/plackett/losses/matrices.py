"""Lists of different lengths as matrices, and what the losses compute from them: orders, ties, gains and ranks.

`lists` is the number of lists and `depth` the length of the longest; a mask is True for documents.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plackett.errors import InputError

Matrix = Float[Tensor, "lists depth"]
Mask = Bool[Tensor, "lists depth"]
Order = Int[Tensor, "lists depth"]
PerList = Float[Tensor, " lists"]
PerPair = Float[Tensor, " pairs"]
Square = Float[Tensor, "lists depth depth"]
Scalar = Float[Tensor, ""]
ListMask = Bool[Tensor, " lists"]
PairMask = Bool[Tensor, "lists depth depth"]

# Gains beyond 2^60 are rescaled, which cancels in the division by the ideal gain.
_LARGEST_GRADE = 60.0
_EPSILON = 1e-10


def to_matrix(values: PerPair, lengths: Tensor | Sequence[int]) -> tuple[Matrix, Mask]:
    """Return the concatenated lists as rows padded with 0, and the mask; differentiable in `values`.

    `lengths` is the number of documents per list; InputError unless they sum to the number of values.
    """
    lengths = torch.as_tensor(lengths, dtype=torch.long, device=values.device)
    if int(lengths.sum()) != len(values):
        raise InputError(f"the lengths sum to {int(lengths.sum())}, but there are {len(values)} values")
    depth = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(depth, device=values.device) < lengths[:, None]
    return values.new_zeros(mask.shape).masked_scatter(mask, values), mask


def clean(scores: Matrix, labels: Matrix, mask: Mask) -> tuple[Matrix, Matrix, Mask]:
    """Return the inputs in at least fp32, with 0 for padding and a depth of at least 1, so every reduction is defined.

    The scores stay attached to their graph even without documents. InputError if the shapes differ.
    """
    if not scores.shape == labels.shape == mask.shape or scores.ndim != 2:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (scores, labels, mask))
        raise InputError(f"scores, labels and mask must have one shape (lists, depth), not {shapes}")
    dtype = torch.promote_types(scores.dtype, torch.float32)
    widen = (0, int(scores.shape[1] == 0))
    scores, labels, mask = (torch.nn.functional.pad(tensor, widen) for tensor in (scores, labels, mask))
    return scores.masked_fill(~mask, 0).to(dtype), labels.masked_fill(~mask, 0).to(dtype), mask


def mean_over_lists(values: PerList) -> Scalar:
    """Return the mean over all lists, including empty ones; 0 for no lists."""
    return values.sum() / max(len(values), 1)


def mean_over_documents(values: Matrix, mask: Mask) -> Scalar:
    """Return the mean over the documents in the mask; 0 if there are none."""
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp_min(1)


def has_preference(labels: Matrix, mask: Mask) -> ListMask:
    """Whether a list prefers any document to another: False for equal labels and for fewer than two documents."""
    highest = labels.masked_fill(~mask, -math.inf).amax(dim=1)
    return highest > labels.masked_fill(~mask, math.inf).amin(dim=1)


def log_softmax(scores: Matrix, mask: Mask) -> Matrix:
    """Return the log-softmax over the documents of each list; 0 in the padding, finite everywhere."""
    lowest = torch.finfo(scores.dtype).min / 4
    return scores.masked_fill(~mask, lowest).log_softmax(dim=1).masked_fill(~mask, 0)


def descending(values: Matrix, mask: Mask) -> Order:
    """Return the indices of each row, highest value first, ties in input order, padding last."""
    return values.masked_fill(~mask, -math.inf).argsort(dim=1, descending=True, stable=True)


def shuffled_ties(values: Matrix, mask: Mask, generator: torch.Generator | None) -> Order:
    """Return the indices as `descending` does, with ties in a new random order."""
    device = generator.device if generator else values.device
    shuffle = torch.rand(values.shape, generator=generator, device=device).to(values.device).argsort(dim=1)
    return shuffle.gather(1, descending(values.gather(1, shuffle), mask.gather(1, shuffle)))


def differences(values: Matrix) -> Square:
    """Return the value of document i (row) minus that of document j (column)."""
    return values[:, :, None] - values[:, None, :]


def pairs(mask: Mask) -> PairMask:
    """Return True for pairs of which both documents exist."""
    return mask[:, :, None] & mask[:, None, :]


def approximate_ranks(scores: Matrix, mask: Mask, temperature: float) -> Matrix:
    """Return differentiable 1-based ranks, 1 + Σ_{j≠i} sigmoid((s_j - s_i) / temperature) (Qin, Liu & Li 2010)."""
    others = pairs(mask) & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    beaten_by = torch.sigmoid(-differences(scores) / temperature)
    return 1 + beaten_by.masked_fill(~others, 0).sum(dim=2)


def ranks_like(values: Matrix) -> Matrix:
    """Return 1, 2, 3, … along every row."""
    return torch.arange(1, values.shape[1] + 1, device=values.device, dtype=values.dtype).expand_as(values)


def normalised_gains(labels: Matrix, mask: Mask, cutoff: int | None) -> Matrix:
    """Return (2^label - 1) / ideal DCG at the cut-off, the contribution at rank 1; labels below 0 count as 0."""
    grades = labels.masked_fill(~mask, 0).clamp_min(0)
    excess = (grades.amax(dim=1, keepdim=True) - _LARGEST_GRADE).clamp_min(0)
    gains = torch.exp2(grades - excess) - torch.exp2(-excess)
    gains = gains.masked_fill(~mask, 0)
    ideal = gains.sort(dim=1, descending=True).values / torch.log2(1 + ranks_like(gains))
    return gains / ideal[:, :cutoff].sum(dim=1, keepdim=True).clamp_min(_EPSILON)


def soft_sort(scores: Matrix, mask: Mask, temperature: float) -> Square:
    """NeuralSort: row i is the softmax over j of ((n + 1 - 2i) s_j - Σ_k |s_j - s_k|) / temperature; 0 in the padding.

    Near the permutation that sorts the scores, best first, when the temperature is low (Grover, Wang, Zweig & Ermon
    2019, ICLR).
    """
    ranks, lengths = ranks_like(scores), mask.sum(dim=1, keepdim=True)
    # Centred first: a shift changes nothing mathematically, but would cost digits when multiplied by n.
    scores = (scores - scores.sum(dim=1, keepdim=True) / lengths.clamp_min(1)).masked_fill(~mask, 0)
    spread = differences(scores).abs().masked_fill(~pairs(mask), 0).sum(dim=1)
    logits = (lengths + 1 - 2 * ranks)[:, :, None] * scores[:, None, :] - spread[:, None, :]
    lowest = torch.finfo(logits.dtype).min / 4
    rows = (logits / temperature).masked_fill(~mask[:, None, :], lowest).softmax(dim=2)
    return rows.masked_fill(~((ranks <= lengths)[:, :, None] & mask[:, None, :]), 0)


def doubly_stochastic_product(matrices: Square, values: Matrix, rounds: int) -> Matrix:
    """Return the product of each Sinkhorn-scaled matrix and its values.

    Only the scales of rows and columns are iterated, so the memory is that of one matrix.
    """
    rows = torch.ones_like(values)
    with torch.autocast(values.device.type, enabled=False):
        for _ in range(rounds):
            columns = 1 / (matrices.mT @ rows[:, :, None])[:, :, 0].clamp_min(_EPSILON)
            rows = 1 / (matrices @ columns[:, :, None])[:, :, 0].clamp_min(_EPSILON)
        return rows * (matrices @ (columns * values)[:, :, None])[:, :, 0]


@dataclass(frozen=True)
class TieGroups:
    """Rows sorted best first, padding last, and divided into groups of tied documents.

    `group` numbers the groups of a row from 0; `first` is the index where a document's group starts, and `size` the
    number of documents in the group. `chosen` is False for the padding and for the last group, which has no
    alternatives.
    """

    group: Order
    first: Order
    size: Order
    chosen: Mask

    @classmethod
    def of(cls, values: Matrix, mask: Mask) -> "TieGroups":
        """Group equal neighbours among the documents."""
        starts = torch.ones_like(mask)
        starts[:, 1:] = (values[:, 1:] != values[:, :-1]) | (mask[:, 1:] != mask[:, :-1])
        group = starts.cumsum(dim=1) - 1
        index = torch.arange(mask.shape[1], device=mask.device).expand_as(group)
        first = index.masked_fill(~starts, 0).cummax(dim=1).values
        size = torch.zeros_like(group).scatter_add(1, group, torch.ones_like(group)).gather(1, group)
        return cls(group, first, size, mask & (first + size < mask.sum(dim=1, keepdim=True)))

    def sum(self, values: Matrix) -> Matrix:
        """Return the sum over each document's group."""
        return torch.zeros_like(values).scatter_add(1, self.group, values).gather(1, self.group)

    def logsumexp(self, values: Matrix) -> Matrix:
        """Return the logarithm of the sum of exponentials over each document's group."""
        lowest = torch.full_like(values, -math.inf)
        highest = lowest.scatter_reduce(1, self.group, values.detach(), "amax").gather(1, self.group)
        return self.sum((values - highest).exp()).log() + highest


def choice_log_probabilities(scores: Matrix, mask: Mask, groups: TieGroups, *, efron: bool) -> Matrix:
    """Return log P of choosing each document from those not chosen before; 0 where `groups.chosen` is False.

    Rows are sorted best first. The documents of a group share the denominator at the group's start (Breslow 1974);
    with `efron` the l-th of them, from 0, has l/size of the group's mass taken off it (Efron 1977).
    """
    lowest = torch.finfo(scores.dtype).min / 4
    # A common shift changes no probability, and preserves the digits of scores around ±1e4.
    highest = scores.masked_fill(~mask, lowest).amax(dim=1, keepdim=True).detach()
    scores = (scores - highest).masked_fill(~mask, lowest)
    remaining = scores.flip(1).logcumsumexp(dim=1).flip(1)
    if efron:
        rest = torch.nn.functional.pad(remaining, (0, 1), value=lowest).gather(1, groups.first + groups.size)
        drawn = torch.arange(mask.shape[1], device=mask.device) - groups.first
        denominator = torch.logaddexp(groups.logsumexp(scores) + torch.log1p(-drawn / groups.size), rest)
    else:
        denominator = remaining.gather(1, groups.first)
    return (scores - denominator).masked_fill(~groups.chosen, 0)
