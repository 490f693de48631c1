"""Frozen records that stages hand to each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HELD_OUT = "held-out"  # the name of the lists that `training.sampling.hold_out` draws
FILE_ORDER = "the order in the file"  # the first stage of a file of lists


class ScoredDoc(NamedTuple):
    """One line of a run. The fields of ir-measures' record of the same name, which may take its place."""

    query_id: str
    doc_id: str
    score: float


class Qrel(NamedTuple):
    """One judgement. The first fields of ir-measures' record of the same name, which may take its place."""

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

    `source` is of the form `hf://datasets/…`, empty for what is on this machine only, `revision` its commit.
    `first_stage` says in words what ranked; `files` holds the names of files that are parts of it: qrels, for one.
    """

    source: str = ""
    revision: str = ""
    first_stage: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, str]:
        """Return the first stage, if known, and the files by name: what repeats a measurement."""
        return {**({"first_stage": self.first_stage} if self.first_stage else {}), **self.files}


NOWHERE = Origin()  # of what is made in a program


@dataclass(frozen=True)
class Collection:
    """Queries and documents by id, judgements, and the run of a first stage: what a reranker is measured on."""

    name: str
    queries: Mapping[str, str]
    corpus: Mapping[str, str]
    qrels: Sequence[Qrel]
    run: Sequence[ScoredDoc]
    origin: Origin = field(default=NOWHERE, compare=False)
