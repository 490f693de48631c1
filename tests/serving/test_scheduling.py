import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett.serving.scheduling import AGEING, CHUNK, CHUNK_CHARACTERS, Job, Queue, joined
from plackett.tokenization.batches import EncodedPairs

SCORER = object()


def rows(lengths, mark=0):
    return EncodedPairs(
        np.full(sum(lengths), mark), np.zeros(sum(lengths), np.int64), np.concatenate([[0], np.cumsum(lengths)])
    )


def job(lengths, *, mark=0, priority=0, scorer=SCORER, encode=True):
    made = Job(scorer, None, np.array(lengths), lambda error: None, priority)
    if encode:
        made.add(0, rows(lengths, mark))
    return made


def queue(*jobs):
    made = Queue()
    for item in jobs:
        made.add(item)
    return made


def finish(queue, pieces):
    """Record a batch as the scoring thread does."""
    for piece in pieces:
        piece.job.record(piece, np.zeros(len(piece.pairs), np.float32))
        if piece.job.is_scored:
            queue.remove(piece.job)


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 100))
def test_every_pair_is_scored_once_in_batches_within_the_budget(requests, budget):
    jobs = [job(lengths, mark=number) for number, lengths in enumerate(requests)]
    waiting = queue(*jobs)
    seen = {item.number: [] for item in jobs}
    while pieces := waiting.take(budget):
        batch = joined(pieces)
        assert batch.lengths.sum() <= budget or len(batch) == 1
        for piece in pieces:
            seen[piece.job.number] += piece.pairs.tolist()
            assert piece.rows.lengths.tolist() == [requests[piece.rows.token_ids[0]][pair] for pair in piece.pairs]
        finish(waiting, pieces)
    assert [sorted(pairs) for pairs in seen.values()] == [list(range(len(lengths))) for lengths in requests]
    assert len(waiting) == waiting.tokens == 0


def test_a_short_request_is_in_the_next_batch_beside_heavy_ones():
    waiting = queue(*(job([100] * 50) for _ in range(3)))
    finish(waiting, waiting.take(1000))
    short = job([10, 10])
    waiting.add(short)
    pieces = waiting.take(1000)
    assert pieces[0].job is short
    assert len(pieces[0].pairs) == 2
    assert len(pieces) > 1  # and the rest of the batch is not wasted


@pytest.mark.parametrize(("tokens", "first"), [(2500, 0), (1900, 0), (900, 0), (400, 1)])
def test_only_a_far_shorter_request_overtakes(tokens, first):
    """With requests of one size, the shortest first would multiply the longest waits."""
    jobs = [job([50] * 40), job([50] * (tokens // 50))]
    assert queue(*jobs).take(500)[0].job is jobs[first]


def test_an_endless_stream_of_short_requests_does_not_starve_a_long_one():
    heavy = job([100] * 20)
    waiting = queue(heavy)
    for _ in range(20 * AGEING):
        for _ in range(3):
            waiting.add(job([50]))
        finish(waiting, waiting.take(100))
    assert heavy.is_scored


def test_a_long_request_that_is_served_in_between_does_not_delay_short_ones():
    waiting = queue(job([100] * 100))
    for _ in range(3 * AGEING):
        short = job([50])
        waiting.add(short)
        pieces = waiting.take(50)
        assert pieces[0].job is short
        finish(waiting, pieces)
        finish(waiting, waiting.take(50))


def test_low_priority_waits_but_is_not_starved():
    low, normal = job([10], priority=5), job([100] * 3)
    waiting = queue(low, normal)
    assert waiting.take(100)[0].job is normal
    for _ in range(AGEING):
        waiting.add(job([100]))
        finish(waiting, waiting.take(100))
    assert low.is_scored


@pytest.mark.parametrize(("short", "other", "shared"), [(300, 5000, True), (600, 5000, False), (600, 800, True)])
def test_a_batch_that_is_large_enough_takes_no_part_of_what_it_cannot_finish(short, other, shared):
    waiting = queue(job([100] * (other // 100)), job([50] * (short // 50)))
    pieces = waiting.take(2000)
    assert len({piece.job for piece in pieces}) == (2 if shared else 1)
    assert sum(int(piece.rows.lengths.sum()) for piece in pieces) == {(300, 5000): 2000, (600, 5000): 600}.get(
        (short, other), 1400
    )


@pytest.mark.parametrize(("tokens", "batches"), [(1800, [1800]), (2000, [1400, 600]), (3100, [1400, 1700])])
def test_no_small_rest_of_a_request_becomes_a_batch(tokens, batches):
    waiting = queue(job([50] * (tokens // 50)))
    for expected in batches:
        pieces = waiting.take(1400)
        assert sum(int(piece.rows.lengths.sum()) for piece in pieces) == expected
        finish(waiting, pieces)
    assert not waiting.tokens


def test_lanes_that_share_the_work_leave_a_small_rest_to_each_other():
    waiting = queue(job([50] * 36))
    assert [sum(int(piece.rows.lengths.sum()) for piece in waiting.take(1400, alone=False)) for _ in range(2)] == [
        1400,
        400,
    ]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], 0), ([300], 300), ([5000, 300], 300), ([800, 600, 5000], 1400), ([1200, 300], 1500)],
)
def test_what_comes_next_are_the_most_urgent_request_and_similar_ones(sizes, expected):
    assert queue(*(job([50] * (size // 50)) for size in sizes)).next_tokens == expected


def test_a_request_that_is_nearly_scored_is_still_similar_to_others_of_its_size():
    first, second = job([50] * 12), job([50] * 12)
    waiting = queue(first, second)
    finish(waiting, waiting.take(500, alone=False))
    assert (first.left, waiting.next_tokens) == (100, 700)


def test_models_do_not_share_a_batch():
    first, second = job([10]), job([10], scorer=object())
    waiting = queue(first, second)
    assert [piece.job for piece in waiting.take(100)] == [first]
    assert [piece.job for piece in waiting.take(100)] == [second]


def test_a_request_that_left_frees_its_work():
    heavy, short = job([100] * 50), job([100] * 60)
    waiting = queue(heavy, short)
    finish(waiting, waiting.take(200))
    waiting.remove(heavy)
    assert waiting.tokens == 6000
    assert {piece.job for piece in waiting.take(200)} == {short}


def test_a_chunk_of_the_request_with_the_least_left_is_tokenised_next():
    heavy, short = job([100] * 200, encode=False), job([100] * 2, encode=False)
    waiting = queue(heavy, short)
    assert waiting.next_to_encode() is short
    assert short.chunk() == (0, 2)
    short.add(0, rows([7, 8]))
    assert short.left == 15
    assert waiting.next_to_encode() is heavy
    heavy.add(0, rows([90] * CHUNK))
    assert heavy.chunk() == (CHUNK, 2 * CHUNK)
    assert heavy.left == 90 * CHUNK + 100 * (200 - CHUNK)


@pytest.mark.parametrize("budget", [1, 5])
def test_a_pair_beyond_the_budget_stands_alone(budget):
    waiting = queue(job([50, 40, 30]))
    assert [len(joined(waiting.take(budget))) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("characters", "stop"),
    [
        ([10] * 100, CHUNK),
        ([CHUNK_CHARACTERS // 3] * 100, 3),
        ([10 * CHUNK_CHARACTERS] * 100, 1),
        ([10] * 5, 5),
        ([10, CHUNK_CHARACTERS, 10], 1),
    ],
)
def test_a_chunk_of_long_texts_has_fewer_pairs(characters, stop):
    tokens = np.ones(len(characters), np.int64)
    made = Job(SCORER, None, tokens, lambda error: None, characters=np.array(characters))
    assert made.chunk() == (0, stop)
    made.add(0, rows([1] * stop))
    rest = Job(SCORER, None, tokens[stop:], lambda error: None, characters=np.array(characters[stop:]))
    assert made.chunk() == (stop, stop + rest.chunk()[1])
