"""Files of labelled lists, in several shapes, and their writer.

`SHAPES` lists the shapes that rows may have; the first row of a file decides which one applies.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from plackett._arguments import checked
from plackett._files import whole_file
from plackett._wording import counted
from plackett.data.fields import (
    DOCUMENT_NAMES,
    LABEL_NAMES,
    QUERY_ID_NAMES,
    QUERY_NAMES,
    RENAME,
    checked_id,
    checked_number,
    checked_text,
    name_in,
    names_of,
    nonempty_text,
    parsed,
)
from plackett.data.rows import NO_COLUMNS, Columns, Row, read_rows
from plackett.errors import DataError
from plackett.records import LabeledList

CLICKS = "clicked"  # may differ between rows of one document, because each row is one impression
TRIPLET = re.compile(r"(positive|negative)(s|_\d+)?").fullmatch  # not positive_id, negative_score

logger = logging.getLogger(__name__)


class ListEntry(NamedTuple):
    """A list in a file: its place, and the ids that the file gives, which are local to the list."""

    where: str
    item: LabeledList
    query_id: str | None = None
    doc_ids: Sequence[str] | None = None


class Shape(NamedTuple):
    """A shape of rows: the keys that its rows have, and the function that makes lists of them."""

    wanted: str
    fits: Callable[[Mapping[str, Any]], bool]
    parse: Callable[[Iterator[Row]], Iterator[ListEntry]]


@dataclass(frozen=True)
class ListFile:
    """The lists of a file, read again at each iteration."""

    path: Path
    columns: Columns = field(default_factory=dict)

    def __iter__(self) -> Iterator[LabeledList]:
        return read_lists(self.path, columns=self.columns)


@checked()
def read_lists(path: Path, *, columns: Columns = NO_COLUMNS) -> Iterator[LabeledList]:
    """Read labelled lists from a file in any of `rows.FORMATS` and `SHAPES`, one at a time.

    `columns` maps the names `query`, `document`, `label`, ... to those in the file. Rows with one document each are
    grouped by query, in order of first appearance; such a file is read whole.
    """
    for entry in read_list_entries(path, columns=columns):
        yield entry.item


def read_list_entries(path: Path, *, columns: Columns = NO_COLUMNS) -> Iterator[ListEntry]:
    """Read the lists of a file with their places and ids."""
    rows = read_rows(path, columns=columns)
    first = next(rows, None)
    if first is not None:
        yield from shape_of(*first).parse(chain([first], rows))


def shape_of(where: str, row: Mapping[str, Any]) -> Shape:
    """Return the first of `SHAPES` that fits a row; otherwise raise DataError, which lists all shapes."""
    shape = next((shape for shape in SHAPES if shape.fits(row)), None)
    if shape is None:
        wanted = "; or ".join(shape.wanted for shape in SHAPES)
        raise DataError(f"{where}: {names_of(row)}; a list needs {wanted}; {RENAME}")
    return shape


@checked()
def write_lists(path: Path, lists: Iterable[LabeledList]) -> None:
    """Write lists as JSON lines of `query`, `docs` and `labels`."""
    with whole_file(path) as stream:
        for item in lists:
            if not isinstance(item, LabeledList):
                raise DataError(f"{path}: a list is {type(item).__name__}, not a LabeledList")
            row = {"query": item.query, "docs": item.documents, "labels": [float(label) for label in item.labels]}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _has(row: Mapping[str, Any], *alternatives: Sequence[str]) -> bool:
    return all(any(name in row for name in names) for names in alternatives)


def _list_rows(rows: Iterator[Row]) -> Iterator[ListEntry]:
    for where, row in rows:
        yield ListEntry(where, _list(where, row), *_ids(where, row))


def _list(where: str, row: Mapping[str, Any]) -> LabeledList:
    query, documents, labels = (row.get(key) for key in ("query", "docs", "labels"))
    if not isinstance(documents, list) or not isinstance(labels, list):
        raise DataError(f"{where}: a list needs query (text), docs (list of texts) and labels (list of numbers)")
    if len(documents) != len(labels):
        raise DataError(f"{where}: {counted(len(documents), 'doc')} but {counted(len(labels), 'label')}")
    return LabeledList(
        query=nonempty_text(query, f"{where}: query"),
        documents=tuple(nonempty_text(text, f"{where}: docs[{index}]") for index, text in enumerate(documents)),
        labels=tuple(checked_number(label, f"{where}: labels[{index}]") for index, label in enumerate(labels)),
    )


def _ids(where: str, row: Mapping[str, Any]) -> tuple[str | None, Sequence[str] | None]:
    query_id = checked_id(row["qid"], f"{where}: qid") if "qid" in row else None
    given = row.get("docids")
    if given is None:
        return query_id, None
    if not isinstance(given, list) or len(given) != len(row["docs"]):
        raise DataError(f"{where}: docids needs {counted(len(row['docs']), 'id')}, one for each of the docs")
    doc_ids = [checked_id(doc_id, f"{where}: docids[{index}]") for index, doc_id in enumerate(given)]
    if len(set(doc_ids)) < len(doc_ids):
        raise DataError(f"{where}: {counted(len(doc_ids), 'doc')} but {counted(len(set(doc_ids)), 'distinct docid')}")
    return query_id, doc_ids


def _passage_rows(rows: Iterator[Row]) -> Iterator[ListEntry]:
    """Read MS MARCO: selected passages first, otherwise in file order; rows without a selected passage are skipped."""
    for where, row in rows:
        texts, selected = _passages(where, row)
        if not any(selected):
            continue
        order = sorted(range(len(texts)), key=lambda index: -selected[index])
        item = LabeledList(
            query=nonempty_text(row.get("query"), f"{where}: query"),
            documents=tuple(checked_text(texts[i], f"{where}: passages.passage_text[{i}]") for i in order),
            labels=tuple(float(selected[i]) for i in order),
        )
        yield ListEntry(where, item, checked_id(row["qid"], f"{where}: qid") if "qid" in row else None)


def _passages(where: str, row: Mapping[str, Any]) -> tuple[list[Any], list[int]]:
    passages = row.get("passages")
    passages = passages if isinstance(passages, dict) else {}
    texts, selected = passages.get("passage_text"), passages.get("is_selected")
    if not isinstance(texts, list) or not isinstance(selected, list) or len(texts) != len(selected):
        raise DataError(f"{where}: passages needs passage_text and is_selected, two lists of one length")
    for index, label in enumerate(selected):
        if label not in (0, 1):
            raise DataError(f"{where}: passages.is_selected[{index}] is {label!r}, not 0 or 1")
    return texts, selected


class _Labelled(NamedTuple):
    """One row of a flat file: a query with one of its documents. `is_click` distinguishes clicks from other labels."""

    where: str
    query: str
    query_id: str | None
    document: str
    label: float
    is_click: bool = False


def _flat_rows(rows: Iterator[Row]) -> Iterator[ListEntry]:
    yield from _grouped(_flat(where, row) for where, row in rows)


def _flat(where: str, row: Mapping[str, Any]) -> _Labelled:
    document, label = name_in(where, row, DOCUMENT_NAMES), name_in(where, row, LABEL_NAMES)
    value = {True: 1.0, False: 0.0, "true": 1.0, "false": 0.0}.get(_plain(row[label]))
    return _Labelled(
        where,
        *_query(where, row),
        nonempty_text(row[document], f"{where}: {document}"),
        checked_number(parsed(row[label]), f"{where}: {label}") if value is None else value,
        is_click=label == CLICKS,
    )


def _plain(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value if isinstance(value, bool) else None


def _triplet_rows(rows: Iterator[Row]) -> Iterator[ListEntry]:
    yield from _grouped(item for where, row in rows for item in _triplet(where, row))


def _triplet(where: str, row: Mapping[str, Any]) -> Iterator[_Labelled]:
    query, query_id = _query(where, row)
    for name, value in row.items():
        if not TRIPLET(name):
            continue
        for document in value if isinstance(value, list) else [value]:
            text = nonempty_text(document, f"{where}: {name}")
            yield _Labelled(where, query, query_id, text, float(name.startswith("positive")))


def _query(where: str, row: Mapping[str, Any]) -> tuple[str, str | None]:
    name = name_in(where, row, QUERY_NAMES)
    by_id = next((key for key in QUERY_ID_NAMES if key in row), None)
    query_id = None if by_id is None else checked_id(row[by_id], f"{where}: {by_id}")
    return nonempty_text(row[name], f"{where}: {name}"), query_id


def _grouped(items: Iterable[_Labelled]) -> Iterator[ListEntry]:
    """Yield one list for each query, identified by its id if it has one; repeated documents are merged."""
    groups: dict[tuple[bool, str], dict[str, _Labelled]] = {}
    repeated: list[str] = []  # places of rows whose clicks were merged
    for item in items:
        key = (False, item.query) if item.query_id is None else (True, item.query_id)
        group = groups.setdefault(key, {})
        first = next(iter(group.values()), item)
        if first.query != item.query:
            raise DataError(f"{item.where}: the query id {item.query_id!r} has a different text at {first.where}")
        if known := group.get(item.document):
            group[item.document] = _merged(known, item)
            repeated += [item.where] if item.is_click else []
        else:
            group[item.document] = item

    if repeated:
        _report_merged(len(repeated), repeated[0])
    for group in groups.values():
        first = next(iter(group.values()))
        labels = tuple(item.label for item in group.values())
        yield ListEntry(first.where, LabeledList(first.query, tuple(group), labels), first.query_id)


def _merged(known: _Labelled, item: _Labelled) -> _Labelled:
    """Merge two rows of one document: keep the most clicks, or the label on which they agree."""
    if item.is_click:
        return known._replace(label=max(known.label, item.label))
    if known.label != item.label:
        raise DataError(
            f"{item.where}: the document is labelled {item.label:g} here and {known.label:g} at {known.where}; keep "
            "one. If these are clicks, call the column clicked (--columns clicked=NAME) to keep the largest"
        )
    return known


@cache  # a file may be read in every epoch
def _report_merged(count: int, where: str) -> None:
    rows = counted(count, "row repeats", "rows repeat")
    logger.warning(
        "%s: %s an earlier query and document, the first time here; the largest number of clicks is used", where, rows
    )


SHAPES: list[Shape] = [
    Shape("query, docs and labels (lists of one length)", lambda row: _has(row, ["docs"]), _list_rows),
    Shape("query and passages (of MS MARCO)", lambda row: _has(row, ["passages"]), _passage_rows),
    Shape(
        "query, positive and negative (one document each)",
        lambda row: _has(row, QUERY_NAMES, ["positive"], ["negative", "negatives", "negative_1"]),
        _triplet_rows,
    ),
    Shape(
        "query, document and label (one row per document; label may be called clicked, relevance or score)",
        lambda row: _has(row, QUERY_NAMES, DOCUMENT_NAMES, LABEL_NAMES),
        _flat_rows,
    ),
]
