"""Samples keep what matters, repeat by seed and epoch, and mix parts by their shares."""

import random
from collections import Counter

import pytest
from torch.utils.data import DataLoader

from plackett.records import LabeledList
from plackett.sampling import Part, SampledLists, StreamedLists, sample


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
