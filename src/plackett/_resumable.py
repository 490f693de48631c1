"""Output files that survive a crash: `OUTPUT.partial` grows in chunks, and a journal records where each chunk ends."""

import contextlib
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from plackett._files import growing_file
from plackett.errors import DataError, SettingError

if sys.platform != "win32":
    import fcntl


@dataclass
class PartialFile:
    """The output so far, as opened by `partial_file`.

    The journal is JSON lines: the facts, then one entry per chunk with the size of the file after it, and the counts.
    A chunk reaches the disk before its entry, so every entry within the file's size marks the end of a complete chunk.
    """

    output: Path
    path: Path
    journal: BinaryIO
    size: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    def append(self, lines: Sequence[str], counts: Mapping[str, int]) -> None:
        """Write a chunk, then its entry; a later call finds `counts` in the attribute of that name."""
        chunk = "".join(f"{line}\n" for line in lines).encode()
        with _writing(self.path):
            with self.path.open("ab") as stream:
                stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            self.size, self.counts = self.size + len(chunk), counts
            self._note({"size": self.size, "counts": counts})

    def finish(self) -> None:
        """Rename the partial file to the output."""
        try:
            self.path.replace(self.output)
        except OSError as error:
            raise DataError(
                f"{self.path} is finished, but could not be moved to its place ({error.strerror}). "
                f"To move it: mv {shlex.quote(str(self.path))} {shlex.quote(str(self.output))}"
            ) from error

    def kept(self) -> str:
        """Describe what an interrupted call leaves behind, and how to continue."""
        name, count = next(iter(self.counts.items()))
        return f"{count} {name} are done and kept in {self.path.name}; run the same command again to continue"

    def _begin(self, facts: Mapping[str, object]) -> None:
        """Return to the end of the last complete chunk, or start over if there is no partial file."""
        self.journal.seek(0)
        entries = list(_whole_entries(self.journal))
        if not self.path.exists():
            self.journal.truncate(0)
            self._note(facts)
            self.path.touch()
            return
        if not entries:
            raise SettingError(f"{self.path} has no record of its settings; delete it to start again")
        _check_same(self.path, entries[0][1], facts)
        on_disk = self.path.stat().st_size
        end, last = [entry for entry in entries if entry[1].get("size", 0) <= on_disk][-1]
        self.size, self.counts = last.get("size", 0), last.get("counts", {})
        self.journal.truncate(end)
        os.truncate(self.path, self.size)

    def _note(self, entry: Mapping[str, object]) -> None:
        self.journal.write(json.dumps(entry).encode() + b"\n")
        self.journal.flush()
        os.fsync(self.journal.fileno())


def file_fact(path: Path) -> str:
    """Return the file's name and a digest of its content."""
    try:
        with path.open("rb") as stream:
            return f"{path.name} {hashlib.file_digest(stream, 'sha256').hexdigest()[:12]}"
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def partial_file(output: Path, facts: Mapping[str, str]) -> Iterator[PartialFile]:
    """Open the partial file of `output` for this process alone, keeping what an earlier call wrote.

    `facts` holds everything that determines the bytes of the output. Raises SettingError if the partial file was
    started with other facts. An error or interruption after the first chunk gets a note on what is kept and how to
    continue; if nothing was written, no file is left behind.
    """
    output = growing_file(output)
    path, journal_path = (output.with_name(f"{output.name}.{end}") for end in ("partial", "partial.journal"))
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = journal_path.open("a+b")
    with journal:
        lock(journal, path)
        partial = PartialFile(output, path, journal)
        with _writing(path):
            partial._begin(facts)
        try:
            yield partial
        except BaseException as error:  # includes KeyboardInterrupt
            if partial.size:
                error.add_note(partial.kept())
            raise
        finally:
            if not partial.size:
                path.unlink(missing_ok=True)
            if not path.exists():
                journal_path.unlink()


def lock(file: int | BinaryIO, path: Path) -> None:
    """Hold an open file or folder until it is closed. SettingError if another process holds it to write `path`."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingError(f"another process is writing {path}; wait for it, or choose another output") from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from error


def _whole_entries(journal: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each entry of a journal after the offset of its end, up to the first incomplete one."""
    end = 0
    for line in journal:
        try:
            entry = json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n") or not isinstance(entry, dict):
            return
        end += len(line)
        yield end, entry


def _check_same(path: Path, begun: Mapping[str, object], now: Mapping[str, object]) -> None:
    names = [name for name in {**begun, **now} if begun.get(name) != now.get(name)]
    if names:
        differences = ", ".join(f"{name} {begun.get(name)} (now {now.get(name)})" for name in names)
        raise SettingError(
            f"{path} was started with {differences}; use the earlier settings to continue, or delete it to start again"
        )
