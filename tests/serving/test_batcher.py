import threading

import numpy as np
import pytest

from plackett.serving.batcher import BATCH_SECONDS, FIRST_RATE, LARGEST_BATCH, WEIGHT, Batcher, Observer
from plackett.serving.scheduling import ENOUGH, Job
from plackett.tokenization.batches import EncodedPairs


def rows(values, length=4):
    ids = np.repeat(np.asarray(values, np.int64), length)
    return EncodedPairs(ids, np.zeros_like(ids), np.arange(len(values) + 1) * length)


class Scorer:
    """Returns the token ids; fails for those in `bad`. `gate` holds batches up."""

    def __init__(self, bad=(), error=RuntimeError):
        self.bad, self.error = set(bad), error
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches = []

    def score(self, batch):
        self.entered.release()
        self.gate.wait(30)
        values = batch.token_ids[batch.cu_seqlens[:-1]]
        self.batches.append(values.tolist())
        if self.bad & set(values.tolist()):
            raise self.error
        return values.astype(np.float32)


class Request:
    def __init__(self, scorer, values, encode=None):
        self.done, self.error = threading.Event(), None
        self.job = Job(scorer, encode or (lambda a, b: rows(values[a:b])), np.full(len(values), 4), self._finish)

    def _finish(self, error):
        self.error = error
        self.done.set()

    def result(self):
        assert self.done.wait(30)
        return self.job.logits.tolist() if self.error is None else self.error


@pytest.fixture
def batcher():
    made = Batcher(64)
    made.start()
    yield made
    made.close()


def test_results_come_back_in_input_order(batcher):
    requests = [Request(scorer, list(range(n, 200 + n))) for n, scorer in enumerate([Scorer()] * 5)]
    for request in requests:
        batcher.add(request.job)
    assert [request.result() for request in requests] == [list(map(float, range(n, 200 + n))) for n in range(5)]
    assert batcher.waiting == batcher.queued == 0


class Panic(BaseException):
    """As Rust's in Python."""


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, Panic])
def test_a_text_that_cannot_be_tokenised_fails_its_request_only(batcher, error):
    def broken(start, stop):
        raise error

    bad, good = Request(Scorer(), [1], encode=broken), Request(Scorer(), [2])
    batcher.add(bad.job)
    batcher.add(good.job)
    assert isinstance(bad.result(), error)
    assert good.result() == [2.0]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, Panic])
def test_an_error_fails_the_request_at_fault_only(batcher, error):
    scorer = Scorer(bad=[13], error=error)
    scorer.gate.clear()
    first = Request(scorer, [1])
    batcher.add(first.job)
    assert scorer.entered.acquire(timeout=30)  # what follows shares the next batch
    good, bad, other = Request(scorer, [2, 3]), Request(scorer, [13]), Request(scorer, [4])
    for request in (good, bad, other):
        batcher.add(request.job)
    while not all(request.job.is_ready for request in (good, bad, other)):
        threading.Event().wait(0.001)
    scorer.gate.set()
    assert isinstance(bad.result(), error)
    assert (first.result(), good.result(), other.result()) == ([1.0], [2.0, 3.0], [4.0])
    after = Request(scorer, [5])
    batcher.add(after.job)
    assert after.result() == [5.0]


def test_what_a_client_left_is_not_scored(batcher):
    scorer = Scorer()
    scorer.gate.clear()
    heavy = Request(scorer, list(range(1000)))
    batcher.add(heavy.job)
    assert scorer.entered.acquire(timeout=30)
    batcher.cancel(heavy.job)
    assert batcher.queued == 0
    scorer.gate.set()
    after = Request(scorer, [7])
    batcher.add(after.job)
    assert after.result() == [7.0]
    assert sum(map(len, scorer.batches)) == 16 + 1  # one batch was under way
    assert not heavy.done.is_set()


def test_the_rate_is_measured_by_its_own_clock():
    times = iter([0.0, 0.0, 10.0, 12.0])  # of the two threads: a chunk takes no time, a batch two seconds
    seen = []
    batcher = Batcher(64, Observer(scored=lambda *values: seen.append(values)), clock=lambda: next(times))
    request = Request(Scorer(), [1, 2, 3])
    batcher._queue.add(request.job)
    batcher._tokenise_chunk(request.job)
    batcher._score_batch(batcher._queue.take(64))
    assert seen == [(12, 3, 2.0)]
    tokens, seconds = FIRST_RATE * BATCH_SECONDS, BATCH_SECONDS
    expected = (tokens + WEIGHT * (12 - tokens)) / (seconds + WEIGHT * (2 - seconds))
    assert batcher.rate == pytest.approx(expected)


def test_the_rate_of_batches_that_overlap_is_that_of_all_lanes():
    batcher = Batcher(64)
    job = Request(Scorer(), list(range(5))).job
    job.add(0, rows(range(5)))
    piece = job.take(100, at_least_one=True)  # of 20 tokens
    for turn in range(400):  # each takes 4 seconds, and every 2 seconds one ends
        batcher._measure([piece], 2.0 * turn, 2.0 * turn + 4.0)
    assert batcher.rate == pytest.approx(10)


@pytest.mark.parametrize(
    ("ready", "running", "budget"),
    [
        (600, None, 300),  # the other lane will take as much
        (300, (1.0, 300), 300),  # the other lane has just begun
        (300, (0.995, 300), 250),  # ... has 200 tokens left, of 20,000 a second
        (300, (0.0, 300), 150),  # ... should have ended long ago
        (2000, None, ENOUGH),
        (3600, None, 900),  # half of a lane's share
        (40_000, None, 1000),  # the bound of a batch
    ],
)
def test_lanes_share_the_end_of_the_work(ready, running, budget):
    batcher = Batcher(clock=lambda: 1.0)
    batcher.lanes, batcher.rate = 2, 40_000
    if running:
        batcher._running[0] = running
    job = Request(Scorer(), list(range(ready // 4))).job
    batcher._queue.add(job)
    job.add(0, rows(range(ready // 4)))
    assert batcher._budget() == budget
    assert sum(len(piece.pairs) for piece in batcher._take()) == budget // 4


def test_lanes_share_a_short_request_before_they_begin_a_long_one():
    batcher = Batcher(clock=lambda: 1.0)
    batcher.lanes, batcher.rate = 2, 40_000
    for size in (10_000, 150):
        job = Request(Scorer(), list(range(size))).job
        batcher._queue.add(job)
        job.add(0, rows(range(size)))
    assert {piece.job.size for piece in batcher._take()} == {600}
    assert batcher._queue.next_tokens == 300


def test_a_finished_batch_is_no_longer_under_way(batcher):
    batcher.widen(2)
    requests = [Request(Scorer(), list(range(40))) for _ in range(4)]
    for request in requests:
        batcher.add(request.job)
    assert [request.result() for request in requests] == [list(map(float, range(40)))] * 4
    batcher.close()
    assert batcher._running == {}


def test_lanes_score_at_once(batcher):
    scorer = Scorer()
    scorer.gate.clear()
    batcher.widen(3)
    requests = [Request(scorer, list(range(16))) for _ in range(3)]
    for request in requests:
        batcher.add(request.job)
    for _ in requests:  # all batches are under way before one is done
        assert scorer.entered.acquire(timeout=30)
    assert scorer.batches == []
    batcher.widen(1)
    scorer.gate.set()
    assert [request.result() for request in requests] == [list(map(float, range(16)))] * 3
    assert sum(thread.is_alive() for thread in batcher._threads) == 1 + 3


@pytest.mark.parametrize(
    ("given", "rate", "expected"), [(0, 10_000, 1_000), (0, 100, ENOUGH), (0, 1e9, LARGEST_BATCH), (64, 1e9, 64)]
)
def test_a_batch_takes_a_bounded_time_where_no_size_is_given(given, rate, expected):
    batcher = Batcher(given)
    batcher.rate = rate
    assert batcher.batch_tokens == expected


def test_more_lanes_have_smaller_batches():
    batcher = Batcher()
    batcher.rate = 40_000
    batcher.lanes = 2
    assert batcher.batch_tokens == 40_000 / 2 * (BATCH_SECONDS / 2)
