"""Ragged token sequences, batches within a token budget, and the way back to input order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray


class Pairs(Protocol):
    """Pairs as a tokenizer passes them to its engine, to be split into batches: `EncodedPairs` or `TextPairs`."""

    def __len__(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The cost of each pair, (pairs,), in the unit of the engine's `token_budget`."""
        ...

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of scores per row, (pairs,): one, unless a row is a whole list of documents."""
        ...

    def select(self, pairs: NDArray[np.int64]) -> Self:
        """The given pairs, in the given order."""
        ...


@dataclass(frozen=True)
class TextPairs:
    """Pairs of texts, for an engine that reads texts. Each costs one, so batches keep the input order."""

    texts: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """One for each pair, (pairs,)."""
        return np.ones(len(self), np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """One score for each pair, (pairs,)."""
        return np.ones(len(self), np.int64)

    def select(self, pairs: NDArray[np.int64]) -> "TextPairs":
        """The given pairs, in the given order."""
        return TextPairs([self.texts[pair] for pair in pairs])


@dataclass(frozen=True)
class EncodedPairs:
    """Token ids of pairs, concatenated.

    token_ids, type_ids: int64 (tokens,). cu_seqlens: int64 (pairs + 1,), the start of each pair and the end:
    pair i is `token_ids[cu_seqlens[i]:cu_seqlens[i + 1]]`.
    """

    token_ids: NDArray[np.int64]
    type_ids: NDArray[np.int64]
    cu_seqlens: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence["EncodedPairs"]) -> "EncodedPairs":
        """Join the pairs of all parts, in order."""
        none = np.empty(0, np.int64)
        token_ids, type_ids, lengths = (
            np.concatenate([none, *(getattr(part, name) for part in parts)])
            for name in ("token_ids", "type_ids", "lengths")
        )
        return cls(token_ids, type_ids, np.concatenate([[0], np.cumsum(lengths)]))

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each pair, (pairs,)."""
        return np.diff(self.cu_seqlens)

    @property
    def counts(self) -> NDArray[np.int64]:
        """One score for each pair, (pairs,)."""
        return np.ones(len(self), np.int64)

    def select(self, pairs: NDArray[np.int64]) -> "EncodedPairs":
        """The given pairs, in the given order."""
        lengths = self.lengths[pairs]
        cu_seqlens = np.concatenate([[0], np.cumsum(lengths)])
        tokens = ragged_positions(self.cu_seqlens[pairs], lengths)
        return EncodedPairs(self.token_ids[tokens], self.type_ids[tokens], cu_seqlens)

    def padded(
        self, pad_id: int, step: int = 1, *, left: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return `(token_ids, type_ids, attention_mask)`, each (pairs, longest), padded with `pad_id`, 0 and 0.

        The length is rounded up to a multiple of `step`. Padding is on the right unless `left`.
        """
        lengths = self.lengths
        longest = int(lengths.max(initial=0))
        mask = np.arange(longest + -longest % step) < lengths[:, None]
        if left:
            mask = mask[:, ::-1]
        token_ids = np.full(mask.shape, pad_id, np.int64)
        type_ids = np.zeros(mask.shape, np.int64)
        token_ids[mask] = self.token_ids
        type_ids[mask] = self.type_ids
        return token_ids, type_ids, mask.astype(np.int64)


@dataclass(frozen=True)
class WindowedPairs:
    """Pairs, each of which is one row or, for a long document, several rows (windows).

    cu_windows: int64 (pairs + 1,), the first row of each pair and the end.
    """

    rows: Pairs
    cu_windows: NDArray[np.int64]

    @classmethod
    def whole(cls, rows: Pairs) -> "WindowedPairs":
        """Return pairs without windows: each is one row, or one of the documents of a list."""
        return cls(rows, np.arange(int(rows.counts.sum()) + 1))

    def __len__(self) -> int:
        return len(self.cu_windows) - 1

    def pair_of(self, row: int) -> int:
        """Return the pair to which a window (row) belongs."""
        return int(np.searchsorted(self.cu_windows, row, side="right")) - 1

    def aggregate(self, logits: NDArray[np.float32], how: str) -> NDArray[np.float32]:
        """Return logits of pairs, (pairs, labels), from logits of rows, (rows, labels)."""
        starts = self.cu_windows[:-1]
        if how == "max":
            return np.maximum.reduceat(logits, starts)
        if how == "first":
            return logits[starts]
        return np.asarray(np.add.reduceat(logits, starts) / np.diff(self.cu_windows)[:, None], np.float32)

    def best(self, logits: NDArray[np.float32], pair: int) -> int:
        """Return the window that gives each pair its highest logit; logits: (rows,)."""
        return int(np.argmax(logits[self.cu_windows[pair] : self.cu_windows[pair + 1]]))


def groups(lengths: NDArray[np.int64], padding: str) -> list[NDArray[np.int64]]:
    """Yield indices of pairs that may share a batch: all or, with the padding "none", those of each length."""
    if padding != "none":
        return [np.arange(len(lengths))]
    return [np.flatnonzero(lengths == length) for length in np.unique(lengths)]


def places(counts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of the given rows' scores among the scores of all rows, `counts` for each row."""
    return ragged_positions((np.cumsum(counts) - counts)[rows], counts[rows])


def ragged_positions(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the concatenated runs `start, start + 1, ...`, each of its `length`."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())


def token_batches(
    lengths: NDArray[np.int64], token_budget: int, max_pairs: int | None = None, *, slack: int | None = None
) -> list[NDArray[np.int64]]:
    """Return batches of pair indices, longest first, with at most `token_budget` padded tokens each.

    A pair longer than the budget is a batch by itself. No pair is padded by more than `slack` tokens. Every index is in
    one batch: `scores[np.concatenate(batches)] = ...` is the way back to input order.
    """
    order = np.argsort(-lengths, kind="stable")
    ascending = -lengths[order]
    batches = []
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        fitting = token_budget // max(1, longest)
        size = max(1, min(fitting, max_pairs or fitting))
        if slack is not None:
            size = min(size, int(np.searchsorted(ascending, slack - longest, side="right")) - start)
        batches.append(order[start : start + size])
        start += size
    return batches
