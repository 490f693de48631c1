"""Two threads that work on the queue: one tokenises, the other scores. The event loop waits for neither."""

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
WEIGHT = 0.2  # of the latest batch in the measured rate

BATCH_SECONDS = 0.2
"""Time of a batch whose size is not set. A short request waits for one batch, and is scored in the next."""

LARGEST_BATCH = 16_384  # tokens: engines gain no speed from more


def _ignore(*_measured: float) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Observer:
    """What to call after a chunk was tokenised, with seconds, and after a batch, with tokens, pairs and seconds."""

    tokenised: Callable[[float], None] = _ignore
    scored: Callable[[int, int, float], None] = _ignore


class Batcher:
    """Runs jobs. All methods may be called from any thread; `Job.finished` is called from the threads here."""

    def __init__(
        self,
        batch_tokens: int = 0,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._given = batch_tokens
        self.rate = FIRST_RATE
        self._observer = observer or Observer()
        self._clock = clock
        self._queue = Queue()
        self._changed = threading.Condition()
        self._closed = False
        self._threads: list[threading.Thread] = []

    @property
    def batch_tokens(self) -> int:
        """Tokens of the next batch: as given, or what takes `BATCH_SECONDS` at the measured rate."""
        return self._given or min(max(int(self.rate * BATCH_SECONDS), ENOUGH), LARGEST_BATCH)

    def start(self) -> None:
        """Start the two threads."""
        for work in (self._tokenise, self._score):
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
        """Tokens that are still to be scored."""
        with self._changed:
            return self._queue.tokens

    @property
    def waiting(self) -> int:
        """Requests that are not finished."""
        with self._changed:
            return len(self._queue)

    def add(self, job: Job) -> None:
        """Queue a job."""
        with self._changed:
            self._queue.add(job)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Drop what is left of a job. What is being scored at this moment is finished."""
        with self._changed:
            self._queue.remove(job)

    def _next(self, pick: Callable[[], T | None]) -> T | None:
        """Wait for work. None once this is closed."""
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
        except Exception as error:  # of this request only
            self._finish(job, error)
        self._observer.tokenised(self._clock() - began)

    def _score(self) -> None:
        while pieces := self._next(lambda: self._queue.take(self.batch_tokens)):
            self._score_batch(pieces)

    def _score_batch(self, pieces: Sequence[Piece]) -> None:
        began = self._clock()
        for piece in pieces:
            piece.job.begun = piece.job.begun or began
        try:
            self._score_together(pieces)
        except Exception as error:
            if len(pieces) == 1:
                self._finish(pieces[0].job, error)
            else:
                LOGGER.warning("a batch of %d parts failed; scoring each alone", len(pieces), exc_info=True)
                self._score_apart(pieces)
        self._measure(pieces, self._clock() - began)

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
        """Score each piece alone, so that only the request at fault fails."""
        for piece in pieces:
            with self._changed:
                if piece.job not in self._queue:
                    continue
            try:
                self._score_together([piece])
            except Exception as error:
                self._finish(piece.job, error)

    def _finish(self, job: Job, error: Exception | None) -> None:
        with self._changed:
            known = self._queue.remove(job)
        if known:
            job.finished(error)

    def _measure(self, pieces: Sequence[Piece], seconds: float) -> None:
        tokens = sum(int(piece.rows.lengths.sum()) for piece in pieces)
        if seconds > 0:
            self.rate += WEIGHT * (tokens / seconds - self.rate)
        self._observer.scored(tokens, sum(int(piece.rows.counts.sum()) for piece in pieces), seconds)
