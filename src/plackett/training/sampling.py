"""Sampling: the lists that a training run draws, and the documents of each."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from plackett._wording import counted
from plackett.checkpoints.hub import parse_hub_file
from plackett.errors import DataError, SettingError
from plackett.facts import Lists, Sample, Spread, shortened
from plackett.losses import Loss
from plackett.records import LabeledList

HEAD = 1000
"""Number of lists at the beginning of each part that are inspected before training."""

LARGEST_SHARE = 1000.0
"""Largest share of a part in an epoch; for more, train more epochs."""

# Sizes of what a card shows of a file of lists.
SHOWN_LISTS = 3
SHOWN_DOCUMENTS = 5
SHOWN_CHARACTERS = 1000


@dataclass(frozen=True)
class Part:
    """Lists with their share: how much of them one epoch sees (0.5 for half, 2 for each list twice).

    `name` is the name of the file, `revision` the commit of a file from the Hub. Lists to be streamed only need to be
    iterable repeatedly. SettingError for a share that is not above 0 and at most `LARGEST_SHARE`.
    """

    lists: Sequence[LabeledList] | Iterable[LabeledList]
    share: float = 1.0
    name: str = ""
    revision: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.share <= LARGEST_SHARE:
            raise SettingError(
                f"the share of {self.name or 'a part'} is {self.share}; it must be above 0 and at most "
                f"{LARGEST_SHARE:g}; for more passes raise training.num_train_epochs"
            )

    @cached_property
    def head(self) -> tuple[LabeledList, ...]:
        """The first lists, read only once, even from a stream."""
        return tuple(islice(self.lists, HEAD))

    def facts(self) -> Lists:
        """Describe the first lists. A local file is identified by its name, not its path."""
        hub = parse_hub_file(self.name)
        return Lists(
            name=hub.repository if hub else Path(self.name).name,
            source=self.name if hub else "",
            revision=self.revision or (hub.revision if hub else None) or "",
            size=len(self.lists) if isinstance(self.lists, Sequence) else None,
            share=self.share,
            sampled=len(self.head),
            **_spreads(self.head),
            samples=tuple(_shown(item) for item in self.head[:SHOWN_LISTS]),
        )


class SampledLists(Dataset[LabeledList]):
    """Parts mixed by their shares, with `list_size` documents of each list, drawn by `draw` anew each epoch.

    Items depend only on (seed, epoch, index), so a resumed run and data-loader workers see the same as an uninterrupted
    run in one process.
    """

    def __init__(self, parts: Sequence[Part], list_size: int, seed: int, *, draw: str = "random") -> None:
        self._parts = [list(part.lists) for part in parts]
        self._shares = [part.share for part in parts]
        self._list_size = list_size
        self._seed = seed
        self._draw = draw
        self._epoch = _shared_number()
        self._drawn_for = -1
        self._draw_lists()

    def __len__(self) -> int:
        return len(self._drawn)

    def __getitem__(self, index: int) -> LabeledList:
        self._draw_lists()
        part, place = self._drawn[index]
        rng = random.Random(f"{self._seed} {self._drawn_for} {index}")
        return sample(self._parts[part][place], self._list_size, rng, draw=self._draw)

    def set_epoch(self, epoch: int) -> None:
        """Called at the start of each epoch, in the main process."""
        self._epoch.fill_(epoch)

    def _draw_lists(self) -> None:
        """Draw the lists of the epoch, once per process."""
        epoch = int(self._epoch)
        if epoch != self._drawn_for:
            self._drawn_for = epoch
            self._drawn = [
                (number, place)
                for number, (part, share) in enumerate(zip(self._parts, self._shares, strict=True))
                for place in _places(len(part), share, random.Random(f"{self._seed} {epoch} part {number}"))
            ]


class StreamedLists(IterableDataset[LabeledList]):
    """Parts read sequentially, as needed, with `list_size` documents of each list. Shares are ignored."""

    def __init__(self, parts: Sequence[Part], list_size: int, seed: int, *, draw: str = "random") -> None:
        self._parts = parts
        self._list_size = list_size
        self._seed = seed
        self._draw = draw
        self._epoch = _shared_number()

    def __iter__(self) -> Iterator[LabeledList]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = int(self._epoch)
        for index, item in enumerate(item for part in self._parts for item in part.lists):
            if index % workers == number:
                rng = random.Random(f"{self._seed} {epoch} {index}")
                yield sample(item, self._list_size, rng, draw=self._draw)

    def set_epoch(self, epoch: int) -> None:
        """Called at the start of each epoch, in the main process."""
        self._epoch.fill_(epoch)


def sample(item: LabeledList, list_size: int, rng: random.Random, *, draw: str = "random") -> LabeledList:
    """Return `list_size` documents of a list, in their order: one of the best-labelled, and others.

    The others are drawn at random, or with `draw="first"` taken from the beginning; one of several best-labelled
    documents is chosen the same way.
    """
    count = len(item.documents)
    if count <= list_size:
        return item
    best_ones = [index for index in range(count) if item.labels[index] == max(item.labels)]
    best = best_ones[0] if draw == "first" else rng.choice(best_ones)
    rest = [index for index in range(count) if index != best]
    others = rest[: list_size - 1] if draw == "first" else rng.sample(rest, list_size - 1)
    kept = sorted([best, *others])
    return LabeledList(item.query, tuple(item.documents[i] for i in kept), tuple(item.labels[i] for i in kept))


def check_labels(parts: Sequence[Part], loss: Loss, name: str) -> None:
    """Raise DataError if the first lists have no labels that the loss can learn from.

    A loss that uses labels needs two different ones: within one list, or among all lists if the loss applies to single
    documents.
    """

    def try_on(*labels: float) -> float:
        mask = torch.ones(1, len(labels), dtype=torch.bool)
        return float(loss(torch.arange(len(labels))[None] + 0.3, torch.tensor([labels]), mask))

    first = list(islice((item for part in parts for item in part.head), HEAD))
    if not first:
        raise DataError("there are no lists to train on")
    if try_on(1.0, 0.0) == try_on(0.0, 1.0):
        return  # the loss learns from the order of the documents
    if try_on(1.0) != try_on(0.0):
        enough = len({label for item in first for label in item.labels}) > 1
    else:
        enough = any(len(set(item.labels)) > 1 for item in first)
    if not enough:
        raise DataError(
            f"the loss {name} needs labels that differ within a list, but finds none ({counted(len(first), 'list')} "
            "checked): use graded, binary or a teacher's labels, or a loss that learns from the order alone (ties: "
            "input_order)"
        )


def hold_out(parts: Sequence[Part], count: int, seed: int) -> tuple[list[Part], list[LabeledList]]:
    """Return the parts without `count` random lists, and those lists, in their order."""
    lists = [list(part.lists) for part in parts]
    places = [(number, index) for number, part in enumerate(lists) for index in range(len(part))]
    if count >= len(places):
        raise SettingError(f"hold_out={count} leaves nothing to train on: the data has {counted(len(places), 'list')}")

    held = set(random.Random(f"{seed} held out").sample(places, count))
    kept: list[list[LabeledList]] = [[] for _ in parts]
    held_out: list[LabeledList] = []
    for number, index in places:
        (held_out if (number, index) in held else kept[number]).append(lists[number][index])
    return [replace(part, lists=rest) for part, rest in zip(parts, kept, strict=True) if rest], held_out


def _spreads(lists: Sequence[LabeledList]) -> dict[str, Spread]:
    """Return the spreads of a `Lists` record."""
    return {
        "query_characters": _spread(len(item.query) for item in lists),
        "document_characters": _spread(len(document) for item in lists for document in item.documents),
        "list_length": _spread(len(item.documents) for item in lists),
        "label": _spread(label for item in lists for label in item.labels),
    }


def _spread(values: Iterable[float]) -> Spread:
    known = list(values)
    return Spread(min(known), fmean(known), max(known))


def _shown(item: LabeledList) -> Sample:
    documents = tuple(shortened(text, SHOWN_CHARACTERS) for text in item.documents[:SHOWN_DOCUMENTS])
    labels = item.labels[: len(documents)]
    return Sample(shortened(item.query, SHOWN_CHARACTERS), documents, labels, len(item.documents))


def _shared_number() -> torch.Tensor:
    """A number shared with data-loader workers, because persistent ones are not notified of the next epoch."""
    number = torch.zeros((), dtype=torch.int64)
    number.share_memory_()  # type: ignore[no-untyped-call]
    return number


def _places(count: int, share: float, rng: random.Random) -> list[int]:
    """Return every place equally often, as far as the share allows."""
    if not count:
        return []
    whole, rest = divmod(max(1, round(share * count)), count)
    return [*range(count)] * whole + rng.sample(range(count), rest)
