"""Scheduling: which pairs to tokenise next, and which to score together. It uses no threads and no clock.

For a listwise model, everything said here about pairs applies to whole lists, which are never split.

Requests with far fewer tokens left come first, so a short one only waits for the batch in progress. Requests
of similar size come in order of arrival, because preferring slightly shorter ones makes others wait much longer. If
`AGEING` - 1 batches in a row held nothing of the oldest request, the next one serves it, whatever its size and
priority, so none is starved.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plackett.tokenization.batches import EncodedPairs, places
from plackett.tokenization.lists import EncodedLists

Rows = EncodedPairs | EncodedLists

AGEING = 8
CHUNK = 64  # pairs tokenised at a time
CHUNK_CHARACTERS = 250_000  # their texts; for longer texts, a chunk has fewer pairs, because others wait for it
ENOUGH = 512  # tokens; engines are hardly faster with more
SIMILAR = 4  # a request of at most this many times the tokens of another is of similar size


class Scorer(Protocol):
    """Scores tokenised pairs. Requests with the same scorer object may share a batch."""

    def score(self, rows: Any, /) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs,)."""
        ...


@dataclass(frozen=True)
class Piece:
    """Some pairs of one request, in the order of `rows`; `pairs` are their indices in the request."""

    job: "Job"
    pairs: NDArray[np.int64]
    rows: Rows


class Job:
    """The work of one request.

    `encode(start, stop)` tokenises some of its pairs; until then, `estimates` are the tokens per pair, and `characters`
    the lengths of their texts. If `encode` works on lists, `bounds` holds the first pair of each list, and the end.
    `finished` is called once, with the error if any. `logits` and `tokens` hold the results.
    """

    def __init__(
        self,
        scorer: Scorer,
        encode: Callable[[int, int], Rows],
        estimates: NDArray[np.int64],
        finished: Callable[[BaseException | None], None],
        priority: int = 0,
        bounds: NDArray[np.int64] | None = None,
        characters: NDArray[np.int64] | None = None,
    ) -> None:
        self.scorer = scorer
        self.encode = encode
        self.finished = finished
        self.priority = priority
        self.logits = np.full(len(estimates), np.nan, np.float32)
        self.tokens = 0
        self.begun = 0.0  # time when its first pairs were scored
        self.number = 0
        self.left = self.size = int(estimates.sum())
        self._counts = np.ones(len(estimates), np.int64) if bounds is None else np.diff(bounds)
        self._estimates = estimates if bounds is None else _sums(estimates, bounds)
        sizes = np.zeros_like(estimates) if characters is None else characters
        self._characters = sizes if bounds is None else _sums(sizes, bounds)
        self._encoded = 0
        self._unscored = len(self._estimates)
        self._ready: list[tuple[NDArray[np.int64], Rows]] = []

    @property
    def is_ready(self) -> bool:
        """Whether any pairs are ready to be scored."""
        return bool(self._ready)

    @property
    def ready_tokens(self) -> int:
        """Number of tokens that are ready to be scored and not yet in a batch."""
        return sum(int(rows.lengths.sum()) for _, rows in self._ready)

    @property
    def is_encoded(self) -> bool:
        """Whether all pairs are tokenised."""
        return self._encoded >= len(self._estimates)

    @property
    def is_scored(self) -> bool:
        """Whether all pairs are scored."""
        return self._unscored == 0

    def chunk(self) -> tuple[int, int]:
        """Return the start and end of the pairs to tokenise next."""
        start = self._encoded
        ends = np.cumsum(self._characters[start : start + CHUNK])
        return start, start + max(1, int(np.searchsorted(ends, CHUNK_CHARACTERS, side="right")))

    def add(self, start: int, rows: Rows) -> None:
        """Add tokenised pairs, longest first, so that pairs scored together are of similar length."""
        stop = start + len(rows)
        order = np.argsort(-rows.lengths, kind="stable")
        self._ready.append((start + order, rows.select(order)))
        self._encoded = stop
        tokens = int(rows.lengths.sum())
        self.tokens += tokens
        self.left += tokens - int(self._estimates[start:stop].sum())

    def take(self, room: int, *, at_least_one: bool) -> Piece | None:
        """Remove pairs of at most `room` tokens from the front."""
        pairs, rows = self._ready[0]
        count = int(np.searchsorted(np.cumsum(rows.lengths), room, side="right"))
        count = max(count, 1) if at_least_one else count
        if not count:
            return None
        rest = np.arange(count, len(rows))
        self._ready[:1] = [(pairs[count:], rows.select(rest))] if len(rest) else []
        return Piece(self, pairs[:count], rows.select(np.arange(count)))

    def record(self, piece: Piece, logits: NDArray[np.float32]) -> None:
        """Store the scores of a piece."""
        self.logits[places(self._counts, piece.pairs)] = logits
        self.left -= int(piece.rows.lengths.sum())
        self._unscored -= len(piece.pairs)


class Queue:
    """The unfinished requests."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._passed_over = 0  # batches in a row without the oldest request

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return job.number in self._jobs

    @property
    def tokens(self) -> int:
        """Number of tokens that are waiting to be scored."""
        return sum(job.left for job in self._jobs.values())

    @property
    def next_tokens(self) -> int:
        """Number of tokens available for the next batches, of the most urgent request and of others of similar size."""
        ready = [job for job in self._jobs.values() if job.is_ready]
        if not ready:
            return 0
        first = min(ready, key=_urgency)
        return sum(job.ready_tokens for job in ready if job.size <= SIMILAR * first.size)

    def add(self, job: Job) -> None:
        """Add a request."""
        job.number = next(self._numbers)
        self._jobs[job.number] = job

    def remove(self, job: Job) -> bool:
        """Remove a request with all its work, and return whether it was there."""
        return self._jobs.pop(job.number, None) is not None

    def all(self) -> list[Job]:
        """Return the requests, oldest first."""
        return list(self._jobs.values())

    def next_to_encode(self) -> Job | None:
        """Return the request to tokenise a chunk of."""
        return min((job for job in self._jobs.values() if not job.is_encoded), key=_urgency, default=None)

    def take(self, budget: int, *, alone: bool = True) -> list[Piece]:
        """Take the next batch, of about `budget` tokens, for one scorer. It may be empty.

        If batches are scored one at a time (`alone`), it includes all of the first request if only a little would be
        left. Once it has `ENOUGH` tokens, it does not add parts of requests that it cannot finish, because short
        requests would wait for them.
        """
        order = self._in_turn()
        if not order:
            return []
        pieces: list[Piece] = []
        if alone and 0 < order[0].left - budget < ENOUGH <= budget:
            budget = order[0].left  # a small rest would be an inefficient batch
        taken = 0
        for job in order:
            room = budget - taken
            if job.scorer is order[0].scorer and (taken < ENOUGH or job.left <= room):
                taken += self._take_from(job, room, pieces)
        oldest = min(order, key=lambda job: job.number)
        self._passed_over = 0 if any(piece.job is oldest for piece in pieces) else self._passed_over + 1
        return pieces

    def _in_turn(self) -> list[Job]:
        """Return the requests that are ready, the next first."""
        ready = [job for job in self._jobs.values() if job.is_ready]
        order = sorted(ready, key=_urgency)
        if self._passed_over >= AGEING - 1:
            order.sort(key=lambda job: job is not ready[0])  # the oldest first, then the others as before
        return order

    @staticmethod
    def _take_from(job: Job, room: int, pieces: list[Piece]) -> int:
        taken = 0
        while job.is_ready and taken < room:
            piece = job.take(room - taken, at_least_one=not pieces)
            if piece is None:
                break
            pieces.append(piece)
            taken += int(piece.rows.lengths.sum())
        return taken


def joined(pieces: Sequence[Piece]) -> Rows:
    """Join the pairs of all pieces, which have the same scorer."""
    parts: list[Any] = [piece.rows for piece in pieces]
    found: Rows = type(parts[0]).joined(parts) if len(parts) > 1 else parts[0]
    return found


def _sums(values: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of the values between each two neighbours in `bounds`."""
    return np.diff(np.concatenate([[0], np.cumsum(values)])[bounds])


def _urgency(job: Job) -> tuple[int, int, int]:
    """Return the key to sort by: the priority, the size in powers of four, and the order of arrival."""
    return job.priority, job.left.bit_length() // 2, job.number
