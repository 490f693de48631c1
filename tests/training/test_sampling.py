"""Samples keep what matters, repeat by seed and epoch, and mix parts by their shares."""

import random
from collections import Counter

import pytest
from torch.utils.data import DataLoader

from plackett.errors import DataError, SettingError
from plackett.losses import LOSSES
from plackett.records import LabeledList
from plackett.training.recipe import loss_function
from plackett.training.sampling import Part, SampledLists, StreamedLists, check_labels, hold_out, sample


def numbered(count, depth=5, name="d"):
    return [
        LabeledList(f"{name}{i}", tuple(f"{name}{i} {j}" for j in range(depth)), (1.0, *[0.0] * (depth - 1)))
        for i in range(count)
    ]


def test_a_sampled_list_keeps_a_best_document_the_order_and_the_size():
    item = LabeledList("q", tuple("abcdefgh"), (0, 0, 2, 0, 1, 2, 0, 0))
    draws = [sample(item, 3, random.Random(seed)) for seed in range(50)]
    given = dict(zip(item.documents, item.labels, strict=True))
    for draw in draws:
        assert len(draw.documents) == 3
        assert max(draw.labels) == 2
        assert list(draw.documents) == sorted(draw.documents)
        assert [given[document] for document in draw.documents] == list(draw.labels)
    assert len({draw.documents for draw in draws}) > 20
    assert sample(item, 8, random.Random(0)) == item


def test_samples_differ_between_epochs_and_repeat_for_the_same_seed_and_epoch():
    first, again = (SampledLists([Part(numbered(20))], 3, seed=1) for _ in range(2))
    start = [first[index] for index in range(20)]
    assert start == [again[index] for index in range(20)]
    first.set_epoch(1)
    assert start != [first[index] for index in range(20)]


@pytest.mark.parametrize("shares", [(1, 1), (0.5, 2), (0.1, 3.7)])
def test_an_epoch_sees_each_part_by_its_share_and_every_list_as_often_as_the_others(shares):
    parts = [Part(numbered(10, name=name), share) for name, share in zip("ab", shares, strict=True)]
    mixed = SampledLists(parts, 3, seed=0)
    seen = []
    for epoch in range(10):
        mixed.set_epoch(epoch)
        counts = Counter(mixed[index].query for index in range(len(mixed)))
        for part in parts:
            of_part = [counts[item.query] for item in part.lists]
            assert sum(of_part) == round(part.share * 10)
            assert max(of_part) - min(of_part) <= 1
        seen.append(frozenset(counts))
    assert set().union(*seen) >= {item.query for item in parts[0].lists} or shares[0] < 0.5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_gives_every_list_once_to_one_worker(workers):
    stream = StreamedLists([Part(numbered(5)), Part(numbered(9)[5:])], 3, seed=0)
    loader = DataLoader(stream, batch_size=None, num_workers=workers)
    assert Counter(item.query for item in loader) == Counter(item.query for item in numbered(9))
    assert all(len(item.documents) == 3 for item in loader)


def test_first_negatives_are_those_of_the_file_beside_the_best():
    item = LabeledList("q", tuple("abcdefgh"), (0, 0, 0, 0, 1, 2, 2, 0))
    for seed in range(5):
        assert sample(item, 3, random.Random(seed), draw="first").documents == ("a", "b", "f")
    assert sample(LabeledList("q", tuple("abc"), (1, 1, 0)), 2, random.Random(0), draw="first").documents == ("a", "b")


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("kind", [SampledLists, StreamedLists])
def test_workers_draw_what_one_process_draws_in_every_epoch(kind, persistent):
    alone, shared = (kind([Part(numbered(12, depth=9), 1), Part(numbered(7, depth=9))], 3, seed=0) for _ in range(2))
    loader = DataLoader(shared, batch_size=None, num_workers=2, persistent_workers=persistent)
    drawn = []
    for epoch in range(3):
        alone.set_epoch(epoch)
        shared.set_epoch(epoch)
        expected = [alone[index] for index in range(len(alone))] if kind is SampledLists else list(alone)
        key = [(item.query, item.documents) for item in expected]
        assert sorted((item.query, item.documents) for item in loader) == sorted(key)
        drawn.append(tuple(key))
    assert len(set(drawn)) == 3


def test_an_empty_part_is_skipped():
    assert len(SampledLists([Part([]), Part(numbered(3))], 3, seed=0)) == 3


def test_held_out_lists_come_from_all_parts_and_are_not_trained_on():
    parts = [Part(numbered(10, name="a"), 0.5), Part(numbered(10, name="b"))]
    kept, held = hold_out(parts, 8, seed=3)
    assert len(held) == 8
    assert {item.query[0] for item in held} == {"a", "b"}
    assert [part.share for part in kept] == [0.5, 1.0]
    left = [item.query for part in kept for item in part.lists]
    assert sorted(left + [item.query for item in held]) == sorted(item.query for part in parts for item in part.lists)
    with pytest.raises(SettingError, match="hold_out=20"):
        hold_out(parts, 20, seed=3)


ORDER_ALONE = [
    {"name": "p_list_mle", "ties": "input_order"},
    {"name": "list_mle", "respect_input_order": True},
    {"name": "multiple_negatives"},
]


@pytest.mark.parametrize("settings", [*({"name": name} for name in LOSSES), *ORDER_ALONE], ids=str)
def test_a_loss_that_learns_from_labels_wants_some_that_differ(settings):
    loss = loss_function(settings)
    equal = [LabeledList("q", ("a", "b"), (0.0, 0.0))] * 3
    check_labels([Part(equal), Part(numbered(2))], loss, settings["name"])
    if settings in ORDER_ALONE:
        check_labels([Part(equal)], loss, settings["name"])
        return
    with pytest.raises(DataError, match=f"{settings['name']}.*3 lists"):
        check_labels([Part(equal)], loss, settings["name"])


def test_lists_of_one_document_are_enough_for_a_loss_of_each_document():
    lists = [LabeledList("q", ("a",), (label,)) for label in (0.0, 1.0)]
    for name in ("binary_cross_entropy", "mse"):
        check_labels([Part(lists)], LOSSES[name], name)
    with pytest.raises(DataError, match="list_softmax"):
        check_labels([Part(lists)], LOSSES["list_softmax"], "list_softmax")


def test_only_the_first_lists_of_a_stream_are_looked_at():
    def lists():
        yield from numbered(1000)
        raise AssertionError("read too far")

    class Stream:
        def __iter__(self):
            return lists()

    check_labels([Part(Stream())], LOSSES["list_mle"], "list_mle")


def test_the_head_of_a_stream_is_read_once():
    class Counted:
        opened = 0

        def __iter__(self):
            self.opened += 1
            yield from numbered(3)

    lists = Counted()
    part = Part(lists)
    check_labels([part], LOSSES["mse"], "mse")
    assert list(part.head) == numbered(3)
    check_labels([part], LOSSES["list_mle"], "list_mle")
    assert lists.opened == 1
