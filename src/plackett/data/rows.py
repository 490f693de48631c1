"""Bytes of a file -> rows: all parsing of lines, arrays and tables happens here.

`FORMATS` maps a file's suffix to its parser. Every reader takes every format, plain or compressed (`.gz`, or gzip's
first bytes), with or without a byte order mark, with Unix or Windows line endings; blank lines are skipped. Errors name
the file and the line. Memory use: one line, or a whole `.json` file up to a limit.
"""

import contextlib
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple, cast

from plackett._arguments import checked
from plackett._extras import require
from plackett._wording import counted
from plackett.data.fields import SYNONYMS, kind_of, names_of
from plackett.data.hits import unwrapped
from plackett.errors import DataError, SettingError

LINE_LIMIT = 1 << 28  # bytes per line: a file without line endings (a device, a binary) must not fill the memory
FILE_LIMIT = 1 << 32  # bytes of a file that is read at once
CHUNK = 1 << 20
READ_ERRORS = (OSError, EOFError, zlib.error)

# First bytes of what is not text in UTF-8 -> what it is, and what to do.
FOREIGN = {
    rb"BZh\d1AY&SY": "compressed with bzip2; decompress it first",
    rb"\xfd7zXZ\0": "compressed with xz; decompress it first",
    rb"\(\xb5/\xfd": "compressed with zstd; decompress it first",
    rb"PK\x03\x04": "a zip archive, as .docx and .xlsx are; unpack it, or save it as text",
    rb"%PDF-\d": "a PDF; save its text",
    rb"\xff\xfe|\xfe\xff|[^\0]\0[^\0]\0|\0[^\0]\0[^\0]": "text in UTF-16; save it as UTF-8",
}

Row = tuple[str, Mapping[str, Any]]  # ("file:line", its values)
Entry = tuple[str, Any]  # the same for any value: an object, a text
Columns = Mapping[str, str]  # a name that Plackett reads -> the name in the file; dots lead into objects
NO_COLUMNS: Columns = {}

# Cells of a first line that are column names, not data.
NAMES = frozenset({"title", "positive", "negative"}.union(*SYNONYMS))

SETTABLE = NAMES | {"docs", "labels", "docids", "passages"}


class Source(NamedTuple):
    """An open, decompressed file, and its name for errors. `names` are column names that the caller expects."""

    name: str
    stream: IO[bytes]
    names: Collection[str] = ()


Parser = Callable[[Source], Iterator[Entry]]


@checked()
def parse_columns(text: str) -> Columns:
    """Parse `query=q,document=d`: Plackett's names and the file's. Raises SettingError for any other form."""
    columns = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, given = (item.strip() for item in part.partition("="))
        if not name or not given:
            raise SettingError(f"--columns contains {part!r}; write it like query=q,document=d,label=clicked")
        columns[name] = given
    return check_columns(columns)


def check_columns(columns: Columns) -> Columns:
    """Return the mapping. Raises SettingError for an unknown name."""
    for name in columns:
        if name not in SETTABLE:
            raise SettingError.unknown("column", name, SETTABLE)
    return columns


def read_rows(path: Path, *, columns: Columns = NO_COLUMNS) -> Generator[Row]:
    """Read the objects of a file in any of `FORMATS` (JSON lines for other suffixes), with their places."""
    for where, value in read_entries(path, columns=columns):
        if not isinstance(value, dict):
            raise DataError(f"{where}: not a JSON object but {kind_of(value)}")
        yield where, value


def read_entries(
    file: Path | IO[bytes], *, columns: Columns = NO_COLUMNS, default: Parser | None = None
) -> Iterator[Entry]:
    """Read the values of a file: objects or other JSON values. A search engine's response gives its hits.

    `default` parses a file without a known suffix.
    """
    check_columns(columns)
    hidden = {other for names in SYNONYMS if not columns.keys().isdisjoint(names) for other in names}
    with opened(file, names=tuple(columns.values())) as source:
        parse = format_of(source.name) or default or json_lines
        for where, value in unwrapped(parse(source)):
            yield where, _renamed(where, value, columns, hidden) if columns and isinstance(value, dict) else value


def columns_in(path: Path, columns: Columns) -> Columns:
    """Return the columns if the first row of a file has them all, otherwise none."""
    try:
        with contextlib.closing(read_rows(path, columns=columns)) as rows:
            next(rows, None)
    except DataError:  # also for folders; files that cannot be read fail later with a better message
        return NO_COLUMNS
    return columns


def read_lines(path: Path) -> Iterator[str]:
    """Read the lines of a text file. Raises DataError, naming the line, for invalid UTF-8 or a read error."""
    with opened(path) as source:
        for _, line in lines_of(source):
            yield line


@contextlib.contextmanager
def opened(file: Path | IO[bytes], *, names: Collection[str] = ()) -> Iterator[Source]:
    """Open and decompress a file, which may be an open stream (standard input)."""
    if not isinstance(file, Path):
        name = str(getattr(file, "name", "<stream>"))
        yield Source(name, _decompressed(name, file), names)
        return
    try:
        stream = file.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{file} cannot be read: there is no such file") from error
    except (OSError, ValueError) as error:
        raise _unreadable(str(file), error) from error
    with stream:
        yield Source(str(file), _decompressed(str(file), stream), names)


def format_of(name: str) -> Parser | None:
    """Return the parser for a file's suffix, ignoring `.gz`."""
    return FORMATS.get(PurePath(name.lower().removesuffix(".gz")).suffix)


def _renamed(where: str, row: Mapping[str, Any], columns: Columns, hidden: Collection[str]) -> Mapping[str, Any]:
    """Return the row with the names that Plackett reads. The file's own names stay, except those that are `hidden`."""
    kept = {name: value for name, value in row.items() if name not in hidden}
    return kept | {name: _picked(where, row, given) for name, given in columns.items()}


def _picked(where: str, row: Mapping[str, Any], given: str) -> Any:
    if given in row:
        return row[given]
    value: Any = row
    for name in given.removeprefix("_source.").split("."):  # which `unwrapped` has removed
        if not isinstance(value, dict) or name not in value:
            raise DataError(f"{where}: no column {given}; {names_of(row)}")
        value = value[name]
    return value


def _decompressed(name: str, file: IO[bytes]) -> IO[bytes]:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(_Raw(file))
    try:
        first = buffered.peek(16)
    except READ_ERRORS as error:
        raise _unreadable(name, error) from error
    for signature, what in FOREIGN.items():
        if re.match(signature, first):
            raise DataError(f"{name} cannot be read: it is {what}")
    zipped = name.lower().endswith(".gz") or first.startswith(b"\x1f\x8b")
    stream = gzip.GzipFile(fileobj=buffered) if zipped else buffered
    return cast(IO[bytes], stream)


class _Raw(io.RawIOBase):
    """Wraps any binary stream as a raw one, for a buffer that can look ahead."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _unreadable(name: str, error: Exception, number: int | None = None) -> DataError:
    reason = getattr(error, "strerror", None) or str(error)
    after = f" after line {number}" if number else ""
    return DataError(f"{name} cannot be read{after}: {reason}")


def lines_of(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the lines of a source, each with its number and its line end."""
    number = 0
    while True:
        try:
            line = source.stream.readline(LINE_LIMIT + 1)
        except READ_ERRORS as error:
            raise _unreadable(source.name, error, number) from error
        if not line:
            return
        number += 1
        if len(line) > LINE_LIMIT:
            raise DataError(f"{source.name}:{number}: the line is longer than {LINE_LIMIT >> 20} MiB")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{source.name}:{number}: not UTF-8 text ({error.reason} at byte {error.start} of the line)"
            ) from error
        yield number, text


def whole(source: Source) -> bytes:
    """Read the rest of a source."""
    content = io.BytesIO()
    try:
        while part := source.stream.read(CHUNK):  # read(FILE_LIMIT) would allocate that much memory at once
            if content.tell() + len(part) > FILE_LIMIT:
                raise DataError(
                    f"{source.name} is larger than {FILE_LIMIT >> 30} GiB; write one JSON object per line (.jsonl)"
                )
            content.write(part)
    except READ_ERRORS as error:
        raise _unreadable(source.name, error) from error
    return content.getvalue()


class NotJsonError(Exception):
    """Text that is not JSON. `line` is where, 0 if unknown; `unfinished` means that the text ends within a value."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.line, self.unfinished = 0, False
        if isinstance(error, json.JSONDecodeError):
            self.args = (f"{error.msg.removesuffix(' at')} at column {error.colno}",)
            self.line, self.unfinished = error.lineno, not error.doc[error.pos :].strip()


def from_json(where: str, text: str) -> Any:
    """Return the value that a text spells. NotJsonError for other texts, DataError for a key that occurs twice."""
    try:
        return _JSON.decode(text)
    except KeyError as error:
        raise DataError(f"{where}: the key {error} occurs twice in an object") from error
    except (ValueError, RecursionError) as error:
        raise NotJsonError(error) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise KeyError(next(key for key in keys if keys.count(key) > 1))
    return made


_JSON = json.JSONDecoder(object_pairs_hook=_object)  # Python's own keeps the last of two equal keys


def json_lines(source: Source) -> Iterator[Entry]:
    """Parse one JSON value per line."""
    for number, line in lines_of(source):
        if line.strip():
            where = f"{source.name}:{number}"
            try:
                yield where, from_json(where, line)
            except NotJsonError as error:
                raise DataError(f"{where}: not a line of JSON: {_reason(source, error)}") from error


def _reason(source: Source, error: NotJsonError) -> str:
    if error.unfinished:
        return "the line ends within a value; name a file whose values span several lines .json"
    if format_of(source.name) is None:
        return f"{error}; a file in another format needs its suffix: {', '.join(FORMATS)}"
    return str(error)


def json_values(source: Source) -> Iterator[Entry]:
    """Parse a JSON array, on one line or many; one object; or one JSON value per line."""
    content = whole(source)
    try:
        value = from_json(source.name, content.decode("utf-8-sig"))
    except (NotJsonError, UnicodeDecodeError) as error:
        if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            line = f":{error.line}" if isinstance(error, NotJsonError) and error.line else ""
            raise DataError(f"{source.name}{line}: not a JSON array: {error}") from error
        yield from json_lines(source._replace(stream=io.BytesIO(content)))
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield f"{source.name}[{index}]", item
    else:
        yield f"{source.name}:1", value


def csv_rows(source: Source) -> Iterator[Entry]:
    """Parse comma-separated values below a header line; semicolons and tabs also work, if the header uses them."""
    lines = lines_of(source)
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    if not number:
        return
    csv.field_size_limit(max(csv.field_size_limit(), LINE_LIMIT))
    rest = (line for _, line in lines)
    table = csv.reader(chain([first], rest), delimiter=max(",;\t", key=first.count), strict=True)

    line = number  # of the start of the row: quoted cells may contain line endings
    try:
        names = checked_names(f"{source.name}:{line}", next(table))
        while True:
            line = number + table.line_num
            cells = next(table, None)
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield _table_row(f"{source.name}:{line}", names, cells)
    except csv.Error as error:
        raise DataError(f"{source.name}:{line}: not a row of CSV: {_csv_reason(error)}") from error


def _csv_reason(error: csv.Error) -> str:
    return next((reason for part, reason in _CSV_REASONS.items() if part in str(error)), str(error))


# Parts of Python's messages -> what they mean.
_CSV_REASONS = {
    "unexpected end of data": "a quote that opens here is never closed",
    "new-line character": "it contains a carriage return outside quotes; save the file with Unix or Windows line ends",
}


def tsv_rows(source: Source) -> Iterator[Entry]:
    """Parse tab-separated values below a header line; without one, lines of an id, a tab and a text."""
    names: list[str] | None = None
    first = True
    for number, line in lines_of(source):
        if not line.strip():
            continue
        where = f"{source.name}:{number}"
        cells = line.rstrip("\r\n").split("\t")
        plain = [unquoted(cell) for cell in cells]
        if first and _are_names(source, plain):
            names = checked_names(where, plain)
        elif names is not None:
            yield _table_row(where, names, plain)
        elif len(cells) < 2:
            raise DataError(
                f"{where}: expected an id, a tab and a text, because the file has no header line of column names"
            )
        else:
            yield where, {"_id": cells[0], "text": " ".join(cells[1:])}
        first = False


def _are_names(source: Source, cells: list[str]) -> bool:
    known = sum(cell.strip() in NAMES or cell.strip() in source.names for cell in cells)
    return known >= min(2, len(cells))


def checked_names(where: str, cells: list[str]) -> list[str]:
    """Return the names of a table's columns; DataError where two have the same."""
    names = [cell.strip() for cell in cells]
    double = next((name for index, name in enumerate(names) if name and name in names[:index]), None)
    if double is not None:
        raise DataError(f"{where}: two columns have the name {double}")
    return names


def _table_row(where: str, names: list[str], cells: list[str]) -> Row:
    if len(cells) != len(names):
        raise DataError(
            f"{where}: {counted(len(cells), 'cell')}, but {counted(len(names), 'column')} ({', '.join(names)})"
        )
    return where, dict(zip(names, cells, strict=True))


def unquoted(cell: str) -> str:
    """Return the cell without the quotes that pandas and spreadsheets put around cells that contain quotes."""
    inner = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else cell


def parquet_rows(source: Source) -> Iterator[Entry]:
    """Parse Parquet; the line number is that of the row."""
    parquet = require("pyarrow.parquet", extra="train")
    pyarrow = require("pyarrow", extra="train")
    seekable = isinstance(source.stream, io.BufferedReader) and source.stream.seekable()
    stream = source.stream if seekable else io.BytesIO(whole(source))
    number = 0
    try:
        file = parquet.ParquetFile(stream)
        checked_names(source.name, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield f"{source.name}:{number}", row
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
        after = f" after row {number}" if number else ""
        raise DataError(f"{source.name} cannot be read{after}: {error}") from error


FORMATS: dict[str, Parser] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_values,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".parquet": parquet_rows,
}
