"""Threads that work on the queue: one tokenises, the others score. The event loop never waits for them.

There are as many scoring threads as the engine has lanes, so no core is idle at the end of a batch.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from plackett.serving.scheduling import ENOUGH, Job, Piece, Queue, joined

T = TypeVar("T")
LOGGER = logging.getLogger("plackett.serving")
FIRST_RATE = 10_000.0  # tokens per second, until the first batch is measured
WEIGHT = 0.2  # weight of the latest batch in the measured rate

BATCH_SECONDS = 0.1
"""Target duration of a batch if no size is set, divided by the lanes. A short request may wait for one batch."""

LARGEST_BATCH = 16_384  # tokens; more do not make engines faster


def _ignore(*_measured: float) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Observer:
    """Callbacks after a chunk is tokenised (with seconds) and after a batch is scored (with tokens, pairs, seconds)."""

    tokenised: Callable[[float], None] = _ignore
    scored: Callable[[int, int, float], None] = _ignore


class Batcher:
    """Runs jobs. All methods may be called from any thread; `Job.finished` is called from its threads."""

    def __init__(
        self,
        batch_tokens: int = 0,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._given = batch_tokens
        self.rate = FIRST_RATE
        self.lanes = 1
        self._observer = observer or Observer()
        self._clock = clock
        self._queue = Queue()
        self._changed = threading.Condition()
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._scorers = 0
        self._running: dict[int, tuple[float, int]] = {}  # thread -> start and tokens of its batch
        self._ended = 0.0  # end of the latest batch
        self._tokens, self._seconds = FIRST_RATE * BATCH_SECONDS, BATCH_SECONDS  # of the latest batches, weighted

    @property
    def batch_tokens(self) -> int:
        """Return the tokens of the next batch: as configured, or computed from one lane's measured rate."""
        in_time = int(self.rate / self.lanes * BATCH_SECONDS / self.lanes)
        return self._given or min(max(in_time, ENOUGH), LARGEST_BATCH)

    def _budget(self) -> int:
        """Return the tokens to take now: a lane's even share if little is left of the most urgent requests.

        So all lanes end together, and no request waits for one while the others begin less urgent ones.
        """
        if self.lanes == 1:
            return self.batch_tokens
        share = -(-(self._queue.next_tokens + self._under_way()) // self.lanes)
        return min(self.batch_tokens, share if share <= ENOUGH else max(ENOUGH, share // 2))

    def _under_way(self) -> int:
        """Estimate the tokens that are left in the batches being scored."""
        now, rate = self._clock(), self.rate / self.lanes
        return sum(max(0, tokens - int(rate * (now - began))) for began, tokens in self._running.values())

    def start(self) -> None:
        """Start one thread to tokenise and one to score."""
        self._start(self._tokenise)
        self.widen(1)

    def widen(self, lanes: int) -> None:
        """Score this many batches at once; threads started for a larger number stay."""
        with self._changed:
            self.lanes = lanes
            missing = lanes - self._scorers
            self._scorers = max(self._scorers, lanes)
        for _ in range(missing):
            self._start(self._score)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"plackett{work.__name__}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Stop after the work in progress."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def queued(self) -> int:
        """Number of tokens that are waiting to be scored."""
        with self._changed:
            return self._queue.tokens

    @property
    def waiting(self) -> int:
        """Number of unfinished requests."""
        with self._changed:
            return len(self._queue)

    def add(self, job: Job) -> None:
        """Queue a job."""
        with self._changed:
            self._queue.add(job)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Drop the rest of a job. Batches in progress are finished."""
        with self._changed:
            self._queue.remove(job)

    def _next(self, pick: Callable[[], T | None]) -> T | None:
        """Wait for work; return None once this is closed."""
        with self._changed:
            while not self._closed:
                found = pick()
                if found:
                    return found
                self._changed.wait()
        return None

    def _tokenise(self) -> None:
        while job := self._next(self._queue.next_to_encode):
            self._tokenise_chunk(job)

    def _tokenise_chunk(self, job: Job) -> None:
        start, stop = job.chunk()
        began = self._clock()
        try:
            rows = job.encode(start, stop)
            with self._changed:
                job.add(start, rows)
                self._changed.notify_all()
        except BaseException as error:  # an error of this request only; a panic of the tokenizer is no Exception
            self._finish(job, error)
        self._observer.tokenised(self._clock() - began)

    def _score(self) -> None:
        while pieces := self._next(self._take):
            self._score_batch(pieces)

    def _take(self) -> list[Piece]:
        pieces = self._queue.take(self._budget(), alone=self.lanes == 1)
        if pieces:
            self._running[threading.get_ident()] = self._clock(), _tokens(pieces)
        return pieces

    def _score_batch(self, pieces: Sequence[Piece]) -> None:
        began = self._clock()
        for piece in pieces:
            piece.job.begun = piece.job.begun or began
        try:
            self._score_together(pieces)
        except BaseException as error:
            if len(pieces) == 1:
                self._finish(pieces[0].job, error)
            else:
                LOGGER.warning("a batch of %d parts failed; scoring them separately", len(pieces), exc_info=True)
                self._score_apart(pieces)
        self._measure(pieces, began, self._clock())

    def _score_together(self, pieces: Sequence[Piece]) -> None:
        logits = pieces[0].job.scorer.score(joined(pieces))
        ends = np.cumsum([piece.rows.counts.sum() for piece in pieces])[:-1]
        with self._changed:
            for piece, part in zip(pieces, np.split(logits, ends), strict=True):
                piece.job.record(piece, part)
        for job in {piece.job.number: piece.job for piece in pieces}.values():
            if job.is_scored:
                self._finish(job, None)

    def _score_apart(self, pieces: Sequence[Piece]) -> None:
        """Score each piece separately, so that only the request at fault fails."""
        for piece in pieces:
            with self._changed:
                if piece.job not in self._queue:
                    continue
            try:
                self._score_together([piece])
            except BaseException as error:
                self._finish(piece.job, error)

    def _finish(self, job: Job, error: BaseException | None) -> None:
        with self._changed:
            known = self._queue.remove(job)
        if known:
            job.finished(error)

    def _measure(self, pieces: Sequence[Piece], began: float, ended: float) -> None:
        """Measure a batch. Time shared by overlapping batches counts once."""
        tokens = _tokens(pieces)
        with self._changed:
            self._running.pop(threading.get_ident(), None)
            self._tokens += WEIGHT * (tokens - self._tokens)
            own = max(0.0, ended - max(began, self._ended))
            self._seconds += WEIGHT * (own - self._seconds)
            self._ended = max(ended, self._ended)
            if self._seconds > 0:
                self.rate = self._tokens / self._seconds
        self._observer.scored(tokens, sum(len(piece.pairs) for piece in pieces), ended - began)


def _tokens(pieces: Sequence[Piece]) -> int:
    return sum(int(piece.rows.lengths.sum()) for piece in pieces)
