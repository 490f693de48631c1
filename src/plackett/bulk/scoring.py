"""The work of an actor: it loads the model once, then scores parts and writes each one atomically."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from plackett._inputs import is_blank
from plackett.bulk.parts import Names, Part
from plackett.bulk.texts import Texts
from plackett.cross_encoder import CrossEncoder
from plackett.data.fields import checked_id
from plackett.data.trec import run_lines
from plackett.errors import DataError
from plackett.records import ScoredDoc

SCORE = "score"
TAG = "plackett"


@dataclass(frozen=True)
class Work:
    """Everything that an actor needs besides the parts.

    options: arguments of CrossEncoder. texts: the SQLite file of queries and corpus, if the input holds ids.
    as_run: whether parts are lines of a TREC run with raw logits, instead of Parquet with scores.
    """

    model: str | None
    options: Mapping[str, Any]
    names: Names
    folder: str
    texts: str | None = None
    as_run: bool = False

    def file(self, part: Part) -> Path:
        """Name of the file that a part is written to."""
        return Path(self.folder) / f"{part.name}{'.trec' if self.as_run else '.parquet'}"


class Counts(NamedTuple):
    """Counts of pairs in a part, and of pairs with a blank text, which are not scored."""

    pairs: int
    blank: int


class Scorer:
    """Scores parts of the input."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.encoder = CrossEncoder(work.model, **work.options)
        self.texts = Texts(Path(work.texts)) if work.texts else None

    def score(self, part: Part) -> Counts:
        """Score one part, and write its file."""
        table = part.table()
        queries, documents = read_pairs(part, table, self.work.names, self.texts)
        filled = np.array([not is_blank(text) for text in documents], bool)
        pairs = [(queries[index], documents[index]) for index in np.flatnonzero(filled)]
        write = self._write_run if self.work.as_run else self._write_table
        target = self.work.file(part)
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            write(beside, table, self._scores(pairs), filled)
            beside.replace(target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return Counts(len(filled), int((~filled).sum()))

    def _scores(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        return self.encoder.score(pairs)[:, 0] if self.work.as_run else self.encoder.predict(pairs)

    def _write_table(self, path: Path, table: pa.Table, scores: NDArray[np.float32], filled: NDArray[np.bool_]) -> None:
        """Write the rows in input order, with their scores; the score of a blank text is -inf."""
        column = np.full(len(filled), -np.inf, np.float32)
        column[filled] = scores
        pq.write_table(table.append_column(SCORE, pa.array(column)), path)

    def _write_run(self, path: Path, table: pa.Table, logits: NDArray[np.float32], filled: NDArray[np.bool_]) -> None:
        """Write the lines of each query, best first; blank texts come last."""
        column = np.full(len(filled), logits.min(initial=0) - 1, np.float32)
        column[filled] = logits
        names = self.work.names
        queries: dict[str, list[ScoredDoc]] = {}
        for query, document, score in zip(
            table[names.query].to_pylist(), table[names.document].to_pylist(), column.tolist(), strict=True
        ):
            queries.setdefault(query, []).append(ScoredDoc(query, document, score))
        lines = [line for candidates in queries.values() for line in run_lines(candidates, TAG)]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def count(part: Part, work: Work) -> Counts:
    """Count the pairs of a part as `score` does."""
    texts = Texts(Path(work.texts)) if work.texts else None
    _, documents = read_pairs(part, part.table(), work.names, texts)
    return Counts(len(documents), sum(map(is_blank, documents)))


def read_pairs(part: Part, table: pa.Table, names: Names, texts: Texts | None) -> tuple[list[str], list[str]]:
    """Return the texts of the queries and documents; DataError for an id without a text, and for a blank query."""
    queries, documents = (_values(part, table, name) for name in (names.query, names.document))
    if texts is not None:
        queries, documents = _ids(part, queries, "query"), _ids(part, documents, "document")
        queries = _joined(part, texts.find("queries", queries), queries, "query")
        documents = _joined(part, texts.find("corpus", documents), documents, "document")
    for index, query in enumerate(queries):
        if query is None or is_blank(query):
            raise DataError(f"{part.source}, row {part.first_row + index}: the query is empty")
    return queries, [text or "" for text in documents]


def _values(part: Part, table: pa.Table, name: str) -> list[Any]:
    try:
        values: list[Any] = table[name].to_pylist()
    except UnicodeDecodeError as error:
        rows = f"rows {part.first_row} to {part.first_row + len(table) - 1}"
        raise DataError(f"{part.source}, {rows}: the column {name} is not UTF-8 text: {error}") from error
    return values


def _ids(part: Part, ids: list[Any], what: str) -> list[str]:
    return [checked_id(item, f"{part.source}, row {part.first_row + i}: the {what} id") for i, item in enumerate(ids)]


def _joined(part: Part, texts: Mapping[str, str], ids: list[str], what: str) -> list[str]:
    for index, item in enumerate(ids):
        if item not in texts:
            option = "queries" if what == "query" else "corpus"
            raise DataError(
                f"{part.source}, row {part.first_row + index}: there is no text for the {what} {item!r}; add it to "
                f"--{option}, or remove the row"
            )
    return [texts[item] for item in ids]
