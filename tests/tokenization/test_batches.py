"""Batches and padding: nothing lost, nothing twice, the budget kept."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett.tokenization.batches import EncodedPairs, token_batches

SLACKS = st.none() | st.integers(0, 40)
LENGTHS = st.lists(st.integers(0, 40), max_size=60).map(lambda lengths: np.array(lengths, np.int64))


def encoded(lengths, seed=0):
    """Pairs of the given lengths with random ids, none of them the padding id 0."""
    random = np.random.default_rng(seed)
    total = int(lengths.sum())
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedPairs(random.integers(1, 99, total), random.integers(0, 2, total), cu_seqlens)


def rows(pairs):
    return [
        (pairs.token_ids[a:b].tolist(), pairs.type_ids[a:b].tolist())
        for a, b in zip(pairs.cu_seqlens[:-1], pairs.cu_seqlens[1:], strict=True)
    ]


@given(LENGTHS, st.integers(1, 200), SLACKS)
def test_every_pair_is_in_one_batch(lengths, token_budget, slack):
    batches = token_batches(lengths, token_budget, slack=slack)
    indices = np.concatenate(batches) if batches else np.empty(0, np.int64)
    assert sorted(indices.tolist()) == list(range(len(lengths)))
    assert all(len(batch) for batch in batches)


@given(LENGTHS, st.integers(1, 200), SLACKS)
def test_a_padded_batch_keeps_the_budget_or_is_one_pair(lengths, token_budget, slack):
    for batch in token_batches(lengths, token_budget, slack=slack):
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= token_budget


@given(LENGTHS, st.integers(1, 200), st.integers(0, 40))
def test_a_batch_ends_where_padding_or_the_budget_would_be_exceeded(lengths, token_budget, slack):
    batches = token_batches(lengths, token_budget, slack=slack)
    for batch, rest in itertools.pairwise(batches):
        longest = lengths[batch[0]]
        assert longest - lengths[batch].min() <= slack
        assert longest - lengths[rest[0]] > slack or max(1, longest) * (len(batch) + 1) > token_budget


@given(LENGTHS, st.integers(1, 200))
def test_a_batch_is_as_large_as_the_budget_allows(lengths, token_budget):
    batches = token_batches(lengths, token_budget)
    for batch in batches[:-1]:
        assert max(1, lengths[batch].max()) * (len(batch) + 1) > token_budget


@given(LENGTHS, st.integers(1, 200))
def test_batches_go_from_long_to_short_and_stand_stable(lengths, token_budget):
    order = [index for batch in token_batches(lengths, token_budget) for index in batch.tolist()]
    assert order == sorted(range(len(lengths)), key=lambda index: -lengths[index])


@given(LENGTHS, st.randoms(use_true_random=False))
def test_select_is_indexing_and_undoes_itself(lengths, random):
    pairs = encoded(lengths)
    order = list(range(len(lengths)))
    random.shuffle(order)
    shuffled = pairs.select(np.array(order, np.int64))
    assert rows(shuffled) == [rows(pairs)[index] for index in order]
    back = shuffled.select(np.argsort(order).astype(np.int64))
    assert rows(back) == rows(pairs)


@given(LENGTHS)
def test_padding_comes_off_again(lengths):
    pairs = encoded(lengths)
    token_ids, type_ids, mask = pairs.padded(pad_id=0)
    assert token_ids.shape == type_ids.shape == mask.shape == (len(lengths), max(lengths, default=0))
    assert mask.sum(axis=1).tolist() == lengths.tolist() == pairs.lengths.tolist()
    unpadded = zip(token_ids, type_ids, mask.astype(bool), strict=True)
    assert [(ids[kept].tolist(), types[kept].tolist()) for ids, types, kept in unpadded] == rows(pairs)
    assert not token_ids[mask == 0].any()
    assert not type_ids[mask == 0].any()


@given(LENGTHS, st.integers(1, 9))
def test_rows_are_rounded_up_to_a_step(lengths, step):
    padded = encoded(lengths).padded(pad_id=0, step=step)
    width = next(width for width in range(0, 100, step) if width >= max(lengths, default=0))
    assert [matrix.shape for matrix in padded] == [(len(lengths), width)] * 3
    assert [matrix.dtype for matrix in padded] == [np.int64] * 3


def test_padding_is_on_the_left_where_a_model_wants_it_there():
    pairs = encoded(np.array([1, 3]))
    on_the_left, on_the_right = pairs.padded(pad_id=7, left=True), pairs.padded(pad_id=7)
    assert on_the_left[2].tolist() == [[0, 0, 1], [1, 1, 1]]
    for left, right in zip(on_the_left, on_the_right, strict=True):
        np.testing.assert_array_equal(left[0], np.roll(right[0], 2))
        np.testing.assert_array_equal(left[1], right[1])


def test_padding_holds_the_padding_id():
    token_ids, type_ids, mask = encoded(np.array([1, 3])).padded(pad_id=7)
    assert token_ids[0, 1:].tolist() == [7, 7]
    assert type_ids[0, 1:].tolist() == [0, 0]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("token_budget", [1, 1000])
def test_nothing_in_nothing_out(token_budget):
    nothing = np.empty(0, np.int64)
    assert token_batches(nothing, token_budget) == []
    assert len(encoded(nothing)) == len(encoded(np.array([2, 3])).select(nothing)) == 0
    assert encoded(nothing).padded(0)[0].shape == (0, 0)
