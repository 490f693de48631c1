"""Split an input into parts: ranges of rows in Parquet files, which are the units of work and of the output.

Parquet is read in place. Other formats are copied, part by part, into Parquet files in the output folder.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from plackett.data.fields import (
    DOCUMENT_NAMES,
    ID_NAMES,
    QUERY_ID_NAMES,
    QUERY_NAMES,
    TEXT_NAMES,
    checked_text,
    names_of,
)
from plackett.data.rows import Columns, Row, checked_names, read_rows
from plackett.data.trec import stream_run
from plackett.errors import DataError
from plackett.ranking import best_first

RUNS = (".trec", ".run")
BYTES = 1 << 26
"""Maximum size of the text in a part. An actor's memory is a small multiple of it."""

TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
"""Tests for Arrow types of text; dictionaries of texts have such a type as their `value_type`."""

DOC_ID_NAMES = tuple(name for name in ID_NAMES if name not in QUERY_ID_NAMES)


@dataclass(frozen=True)
class Names:
    """The columns of the query and the document: texts, or ids in `queries` and a `corpus`."""

    query: str
    document: str
    are_ids: bool


@dataclass(frozen=True)
class Part:
    """Rows `start` to `stop` of a Parquet file, and the name of the input for errors."""

    number: int
    path: str
    start: int
    stop: int
    source: str
    first_row: int

    @property
    def name(self) -> str:
        """The stem of the part's file in the output."""
        return f"part-{self.number:06d}"

    def table(self) -> pa.Table:
        """Read the rows, one row group at a time."""
        file = pq.ParquetFile(self.path)
        slices, before = [], 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            start, stop = max(self.start - before, 0), min(self.stop - before, rows)
            if start < stop:
                slices.append(file.read_row_group(group).slice(start, stop - start))
            before += rows
        return pa.concat_tables(slices)


def names_in(columns: Iterable[str], given: Columns, source: Path) -> Names:
    """Find the columns of queries and documents; `given` overrides the usual names. DataError lists the columns."""
    found = list(columns)
    texts = _first(found, given, QUERY_NAMES), _first(found, given, (*TEXT_NAMES, *DOCUMENT_NAMES))
    if all(texts):
        return Names(texts[0], texts[1], are_ids=False)
    ids = _first(found, given, QUERY_ID_NAMES), _first(found, given, DOC_ID_NAMES)
    if all(ids):
        return Names(ids[0], ids[1], are_ids=True)
    raise DataError(
        f"{source} needs the columns query and text, or qid and docid; {names_of(dict.fromkeys(found))}; map other "
        "names with --columns query=NAME,text=NAME"
    )


def _first(found: list[str], given: Columns, names: Iterable[str]) -> str:
    """Return the first of the names that is a column, or a given replacement for any of them."""
    return next((given.get(name, name) for name in names if given.get(name, name) in found), "")


def parquet_parts(paths: Iterable[Path], names: Names, rows: int) -> Iterator[Part]:
    """Split Parquet files into parts of at most `rows` rows or `BYTES` bytes."""
    number = 0
    for path in paths:
        file = _parquet(path)
        for name in () if names.are_ids else (names.query, names.document):
            kind = file.schema_arrow.field(name).type
            if not any(fits(kind.value_type if pa.types.is_dictionary(kind) else kind) for fits in TEXTS):
                raise DataError(f"{path}: the column {name} contains {kind}, not text")
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        total = file.metadata.num_rows
        step = fitting(rows, sum(group.total_byte_size for group in groups) / max(total, 1))
        for start in range(0, total, step):
            stop = min(start + step, total)
            yield Part(number, str(path), start, stop, str(path), start + 1)
            number += 1


def fitting(rows: int, average: float) -> int:
    """Return the number of rows, at most `rows`, that fit into `BYTES` bytes, given their average size."""
    return max(1, min(rows, int(BYTES / max(average, 1))))


def is_run(path: Path) -> bool:
    """Whether a file is a TREC run, plain or `.gz`, by its name."""
    return path.name.removesuffix(".gz").endswith(RUNS)


def columns_of(path: Path) -> list[str]:
    """Return the columns of the first row, or of a Parquet file."""
    if is_run(path):
        return ["qid", "docid"]
    if path.suffix == ".parquet":
        return checked_names(str(path), _parquet(path).schema_arrow.names)
    with contextlib.closing(read_rows(path)) as rows:
        return next((list(row) for _, row in rows), [])


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, UnicodeEncodeError, pa.ArrowException) as error:  # Arrow takes no name that is not UTF-8
        raise DataError(f"{path} cannot be read: {error}") from error


def copied_parts(path: Path, names: Names, rows: int, folder: Path, depth: int | None) -> Iterator[Part]:
    """Copy another format into Parquet files in `folder`, one for each part. A run is split between queries."""
    blocks = _run_blocks(path, rows, depth) if is_run(path) else _row_blocks(path, names, rows)
    first = 1
    for number, table in enumerate(blocks):
        target = folder / f"input-{number:06d}.parquet"
        pq.write_table(table, target)
        yield Part(number, str(target), 0, table.num_rows, str(path), first)
        first += table.num_rows


def _run_blocks(path: Path, rows: int, depth: int | None) -> Iterator[pa.Table]:
    held: list[tuple[str, str]] = []
    for query_id, candidates in stream_run(path):
        held += [(query_id, scored.doc_id) for scored in best_first(candidates)[:depth]]
        if len(held) >= rows:
            yield _run_table(held)
            held = []
    if held:
        yield _run_table(held)


def _run_table(pairs: list[tuple[str, str]]) -> pa.Table:
    return pa.table({"qid": [query for query, _ in pairs], "docid": [document for _, document in pairs]})


def _row_blocks(path: Path, names: Names, rows: int) -> Iterator[pa.Table]:
    """Read rows as tables with the schema of the first block, and check their texts."""
    schema: pa.Schema | None = None
    for block in _blocks(read_rows(path), rows):
        for where, row in block:
            _check_row(where, row, names, schema)
        table = _table(block, schema)
        schema = table.schema
        yield table


def _blocks(entries: Iterable[Row], rows: int) -> Iterator[list[Row]]:
    """Group rows into blocks of at most `rows` rows or `BYTES` of text."""
    block: list[Row] = []
    size = 0
    for where, row in entries:
        block.append((where, row))
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(block) == rows or size >= BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _check_row(where: str, row: Mapping[str, Any], names: Names, schema: pa.Schema | None) -> None:
    for name in (names.query, names.document):
        value = row.get(name)
        if value is not None and not names.are_ids:
            checked_text(value, f"{where}: the column {name}")
    new = [name for name in row if schema is not None and name not in schema.names]
    if new:
        raise DataError(f"{where}: the column {new[0]} is missing from earlier rows; give every row the same columns")


def _table(rows: Sequence[Row], schema: pa.Schema | None) -> pa.Table:
    try:
        return pa.Table.from_pylist([dict(row) for _, row in rows], schema=schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{rows[0][0]} and the rows after it mix types in a column: {error}") from error
