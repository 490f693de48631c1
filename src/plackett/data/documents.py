"""Texts: a corpus or queries by id, and documents to rank, in any of `rows.FORMATS`."""

import re
from collections.abc import Container, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from plackett._arguments import checked
from plackett.data.fields import ID_NAMES, QUERY_ID_NAMES, TEXT_NAMES, checked_text, id_of, text_of
from plackett.data.rows import (
    NO_COLUMNS,
    Columns,
    Entry,
    NotJsonError,
    Source,
    csv_rows,
    from_json,
    json_values,
    lines_of,
    parquet_rows,
    read_entries,
    read_rows,
    whole,
)
from plackett.errors import DataError

# The columns that apply to a file of queries and to a corpus -> their names in `read_texts`.
OF_QUERIES: Mapping[str, str] = {"query": "text"} | dict.fromkeys(QUERY_ID_NAMES, "_id")
OF_CORPUS: Mapping[str, str] = (
    {"title": "title"}
    | dict.fromkeys(TEXT_NAMES, "text")
    | {name: "_id" for name in ID_NAMES if name not in OF_QUERIES}
)

HEADER_LIMIT = 10_000  # bytes of a first line that may be a header


@checked()
def read_texts(path: Path, keep: Container[str] | None = None, *, columns: Columns = NO_COLUMNS) -> dict[str, str]:
    """Read texts by id: rows of an id (`_id`, `id`, ...), a text and an optional title, or lines of id, tab and text.

    `keep` limits what is kept in memory to the texts with these ids.
    """
    texts: dict[str, str] = {}
    for where, row in read_rows(path, columns=columns):
        text_id = id_of(where, row)
        if text_id in texts:
            raise DataError(f"{where}: the id {text_id!r} is listed twice")
        if keep is None or text_id in keep:
            texts[text_id] = text_of(where, row, (*TEXT_NAMES, "query"))
    return texts


def read_queries(path: Path, keep: Container[str] | None = None, *, columns: Columns = NO_COLUMNS) -> dict[str, str]:
    """Read the texts of queries; `columns` may rename `query` and `qid`."""
    return read_texts(path, keep, columns=_of_texts(columns, OF_QUERIES))


def read_corpus(path: Path, keep: Container[str] | None = None, *, columns: Columns = NO_COLUMNS) -> dict[str, str]:
    """Read the texts of documents; `columns` may rename `text`, `title` and `docid`."""
    return read_texts(path, keep, columns=_of_texts(columns, OF_CORPUS))


def _of_texts(columns: Columns, names: Mapping[str, str]) -> Columns:
    return {names[name]: given for name, given in columns.items() if name in names}


@checked()
def read_documents(file: Path | IO[bytes], *, columns: Columns = NO_COLUMNS) -> list[str]:
    """Read the documents of a file or of standard input.

    The file is in one of `rows.FORMATS`, and its values are texts, or rows with `text` and an optional `title`. Without
    a known suffix, the content decides: Parquet, a JSON array or object, CSV below a header line, else one document per
    line, each JSON or plain text.
    """
    return [text for text, _ in read_records(file, columns=columns)]


@checked()
def read_records(
    file: Path | IO[bytes], *, columns: Columns = NO_COLUMNS
) -> list[tuple[str, Mapping[str, Any] | None]]:
    """Read documents as `read_documents` does, each with its row, or None if it is only a text."""
    return [
        (text_of(where, value), value)
        if isinstance(value, dict)
        else (checked_text(value, f"{where}: the document"), None)
        for where, value in read_entries(file, columns=columns, default=_guessed)
    ]


def _guessed(source: Source) -> Iterator[Entry]:
    content = whole(source)
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    again = source._replace(stream=BytesIO(content))
    if content[:4] == b"PAR1":
        yield from parquet_rows(again)
    elif text[:1] in (b"[", b"{") and _is_json(source.name, text):
        yield from json_values(again)
    elif _has_names(source, text):
        yield from csv_rows(again)
    else:
        yield from _lines(again)


def _is_json(name: str, text: bytes) -> bool:
    try:
        from_json(name, text.decode("utf-8", "replace"))
    except NotJsonError:
        return False
    return True


def _has_names(source: Source, text: bytes) -> bool:
    """Return whether the first line is a header that names a text column."""
    line = text.partition(b"\n")[0][:HEADER_LIMIT].decode("utf-8", "replace").strip()
    cells = [cell.strip().strip('"') for cell in re.split("[,;\t]", line)]
    named = any(cell in TEXT_NAMES or cell in source.names for cell in cells)
    return named and len(cells) > 1 and all(re.fullmatch(r"[\w.-]*", cell) for cell in cells)


def _lines(source: Source) -> Iterator[Entry]:
    for number, line in lines_of(source):
        if line.strip():
            where = f"{source.name}:{number}"
            yield where, _value(where, line.strip())


def _value(where: str, line: str) -> object:
    """Return a JSON object or text, or the line as plain text."""
    if line[0] not in '{"':
        return line
    try:
        return from_json(where, line)
    except NotJsonError:
        return line
