"""Frozen records that the stages exchange."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HELD_OUT = "held-out"  # the name of the lists that `training.sampling.hold_out` draws
FILE_ORDER = "the order in the file"  # the first stage of a file of lists


class ScoredDoc(NamedTuple):
    """One line of a run. It has the fields of ir-measures' record of the same name, which may be used instead."""

    query_id: str
    doc_id: str
    score: float


class Qrel(NamedTuple):
    """One judgement. It has the first fields of ir-measures' record of the same name, which may be used instead."""

    query_id: str
    doc_id: str
    relevance: int


@dataclass(frozen=True)
class LabeledList:
    """A query with its documents and one label for each: what a reranker is trained on."""

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]


@dataclass(frozen=True)
class Origin:
    """The source of a collection, and what made its run.

    `source` is an address like `hf://datasets/…`, empty for local data, and `revision` is its commit.
    `first_stage` describes the ranking in words; `files` maps parts such as the qrels to the names of their files.
    """

    source: str = ""
    revision: str = ""
    first_stage: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, str]:
        """Return the first stage, if known, and the file names: what is needed to repeat a measurement."""
        return {**({"first_stage": self.first_stage} if self.first_stage else {}), **self.files}


NOWHERE = Origin()  # of collections made in a program


@dataclass(frozen=True)
class Collection:
    """Queries and documents by id, judgements, and the run of a first stage: what a reranker is measured on."""

    name: str
    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    qrels: Sequence[Qrel]
    run: Sequence[ScoredDoc]
    origin: Origin = field(default=NOWHERE, compare=False)
