"""Passages of the files in a folder; only changed files are read again.

A text file is split at blank lines into passages of about `LENGTH` characters. A file of documents in one of
`rows.FORMATS` gives one passage per document.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plackett.data import read_documents
from plackett.data.rows import format_of
from plackett.errors import DataError

LENGTH = 1000
"""Characters of a passage: about 200 tokens."""

LARGEST = 20_000_000  # bytes of a text file in a folder; larger ones are rarely prose


@dataclass(frozen=True)
class Passage:
    """A part of a file: the file's name, the first line or the number of the document, and the text."""

    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """The place of the passage, as editors and terminals show it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class FileState:
    """A file as it was read: size, modification time, digest of its bytes, and passages."""

    size: int
    modified: int
    digest: str
    passages: tuple[Passage, ...]


def files_of(source: Path) -> Iterator[Path]:
    """Yield a file, or the files of a folder in order, except hidden ones and links to other folders."""
    if not source.is_dir():
        yield source
        return
    root = source.resolve()
    for path in sorted(source.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if not hidden and path.is_file() and path.resolve().is_relative_to(root):
            yield path


def read_passages(source: Path, known: Mapping[str, FileState]) -> tuple[dict[str, FileState], list[str]]:
    """Read the files that changed since `known`; return all files by name, and the names of skipped files.

    A file of the same size and time is not read again, and one with the same bytes is not split again. In a folder,
    files without text are skipped; a single file without text is a DataError.
    """
    states, left_out = {}, []
    for path in files_of(source):
        name = path.name if path == source else path.relative_to(source).as_posix()
        try:
            states[name] = _state(path, name, known.get(name))
        except DataError:
            if path == source:
                raise
            left_out.append(name)
    return states, left_out


def _state(path: Path, name: str, known: FileState | None) -> FileState:
    try:
        status = path.stat()
        if known is not None and (known.size, known.modified) == (status.st_size, status.st_mtime_ns):
            return known
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    passages = known.passages if known is not None and known.digest == digest else tuple(_passages(path, name))
    return FileState(status.st_size, status.st_mtime_ns, digest, passages)


def _passages(path: Path, name: str) -> Iterator[Passage]:
    if format_of(path.name) is not None:
        for number, text in enumerate(read_documents(path), start=1):
            yield Passage(name, number, text)
        return
    if path.stat().st_size > LARGEST:
        raise DataError(f"{path} is larger than {LARGEST:,} bytes")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text") from error
    if "\0" in text:
        raise DataError(f"{path} is not text: it contains null characters")
    yield from (Passage(name, line, part) for line, part in cut(text.splitlines()))


def cut(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Split lines into passages, with the numbers of their first lines: at blank lines, once a passage is long enough.

    A much longer paragraph is split between lines, and a much longer line between words.
    """
    held: list[str] = []
    start = length = 0
    for number, line in enumerate(lines, start=1):
        is_full = length >= LENGTH / 2 and not line.strip()
        if held and (is_full or length + len(line) > 2 * LENGTH):
            yield start, "\n".join(held)
            held, length = [], 0
        if line.strip():
            start = start if held else number
            *whole, rest = _pieces(line)
            yield from ((number, piece) for piece in whole)
            held.append(rest)
            length += len(rest)
    if held:
        yield start, "\n".join(held)


def _pieces(line: str) -> list[str]:
    """Split a line into pieces of at most twice `LENGTH` characters, between words if possible."""
    pieces = []
    while len(line) > 2 * LENGTH:
        end = line.rfind(" ", LENGTH, 2 * LENGTH)
        end = 2 * LENGTH if end < 0 else end
        pieces.append(line[:end])
        line = line[end:].lstrip()
    return [*pieces, line]
