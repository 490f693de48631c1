"""Which lists, and which documents of them, a training sees."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset, IterableDataset, get_worker_info

from plackett.records import LabeledList


@dataclass(frozen=True)
class Part:
    """Lists with their share: how much of them one epoch sees (0.5 a half, 2 each of them twice).

    Lists to be streamed need only be iterable, again and again.
    """

    lists: Sequence[LabeledList] | Iterable[LabeledList]
    share: float = 1.0


class SampledLists(Dataset[LabeledList]):
    """Parts mixed by their shares, each list cut to `list_size` documents, drawn afresh each epoch.

    What an index gives is a function of (seed, epoch, index) alone, so a resumed run sees what the first would have.
    """

    def __init__(self, parts: Sequence[Part], list_size: int, seed: int) -> None:
        self._parts = [list(part.lists) for part in parts]
        self._shares = [part.share for part in parts]
        self._list_size = list_size
        self._seed = seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self._drawn)

    def __getitem__(self, index: int) -> LabeledList:
        part, place = self._drawn[index]
        rng = random.Random(f"{self._seed} {self._epoch} {index}")
        return sample(self._parts[part][place], self._list_size, rng)

    def set_epoch(self, epoch: int) -> None:
        """Draw the lists of an epoch. Called by accelerate's data loader."""
        self._epoch = epoch
        self._drawn = [
            (number, place)
            for number, (part, share) in enumerate(zip(self._parts, self._shares, strict=True))
            for place in _draw(len(part), share, random.Random(f"{self._seed} {epoch} part {number}"))
        ]


class StreamedLists(IterableDataset[LabeledList]):
    """Parts read one after the other, as they are needed, lists cut to `list_size` documents. Shares do not count."""

    def __init__(self, parts: Sequence[Part], list_size: int, seed: int) -> None:
        self._parts = parts
        self._list_size = list_size
        self._seed = seed
        self._epoch = 0

    def __iter__(self) -> Iterator[LabeledList]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for index, item in enumerate(item for part in self._parts for item in part.lists):
            if index % workers == number:
                yield sample(item, self._list_size, random.Random(f"{self._seed} {self._epoch} {index}"))

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate's data loader."""
        self._epoch = epoch


def sample(item: LabeledList, list_size: int, rng: random.Random) -> LabeledList:
    """`list_size` documents of a list in their order: one of the best-labelled, and others drawn at random."""
    count = len(item.documents)
    if count <= list_size:
        return item
    best = rng.choice([index for index in range(count) if item.labels[index] == max(item.labels)])
    others = rng.sample([index for index in range(count) if index != best], list_size - 1)
    kept = sorted([best, *others])
    return LabeledList(item.query, tuple(item.documents[i] for i in kept), tuple(item.labels[i] for i in kept))


def _draw(count: int, share: float, rng: random.Random) -> list[int]:
    """Every place as often as the others, as nearly as the share allows."""
    whole, rest = divmod(max(1, round(share * count)), count)
    return [*range(count)] * whole + rng.sample(range(count), rest)
