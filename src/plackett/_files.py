"""Outputs: names are checked before any work, and results are put in place atomically.

`output_file` and `output_folder` check a name and return a record that writes. A result is created beside its target,
in a hidden `.NAME.XXXXXXXX.plackett` locked by the process, and then renamed. A killed run leaves that place behind,
unlocked; the next run with the same output removes it, or reports it if it is finished.
"""

import contextlib
import errno
import logging
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from plackett.errors import CheckpointError, DataError, PlackettError

if sys.platform != "win32":
    import fcntl

Name = str | os.PathLike[str]

LONGEST = 230  # bytes of a name: systems allow 255, and hidden and unfinished files have longer names
LONGEST_PATH = 3800  # bytes of a path: Linux allows 4,095

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Messages of safetensors and torch.save about a full disk; neither has an errno.
_FULL_TEXTS = (
    *("No space left", "os error 28", "os error 27"),
    *("PytorchStreamWriter failed", "file write failed", "iostream error", "unexpected pos"),
)
_STANDARD = {"-": "stdout", "/dev/stdout": "stdout", "/dev/stderr": "stderr"}
_UNFINISHED, _OLD = "unfinished", "old"  # in the hidden place of a folder, beside the result
_PLACE = r"\.[0-9a-f]{8}\.plackett"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutputFile:
    """A file that may be written. Devices and pipes are streams, which are written to, never replaced."""

    path: Path
    is_stream: bool = False

    @contextlib.contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open a new text file, which replaces the old one when the block ends without an error."""
        if self.is_stream:
            with _raised_as(DataError, self.path), _stream(self.path) as stream:
                yield stream
                stream.flush()
        else:
            with self.beside() as beside, beside.open("w", encoding="utf-8") as stream:
                yield stream

    @contextlib.contextmanager
    def beside(self) -> Iterator[Path]:
        """Yield an empty hidden file, which replaces the old one when the block ends without an error."""
        with _raised_as(DataError, self.path), _parents(self.path, DataError):
            for place in _places(self.path.name, self.path.parent):
                _remove_stale(place, self.path)  # a running process keeps its own
            place, lock = _new_place(self.path.name, self.path.parent)
            try:
                (place / self.path.name).touch()
                try:
                    yield place / self.path.name
                except BaseException:
                    _discard(place)
                    raise
                _put_file(place, self.path)
            finally:
                _close(lock)


@dataclass(frozen=True)
class OutputFolder:
    """A folder that may be written. `foreign` returns the entries that forbid replacing an existing folder."""

    path: Path
    foreign: Callable[[Path], Sequence[str]]

    @contextlib.contextmanager
    def work(self) -> Iterator[Path]:
        """Yield an empty folder beside the output, which replaces it when the block ends without an error.

        If replacing fails, the result is kept, and the error says how to move it.
        """
        with _parents(self.path, CheckpointError):
            with _raised_as(CheckpointError, self.path):
                self._remove_stale()
                place, lock = _new_place(self.path.name, self._where())
                (place / self.path.name).mkdir()
            try:
                with _raised_as(CheckpointError, self.path, within=place):
                    yield place / self.path.name
            except BaseException:
                _discard(place)
                _close(lock)
                raise
            try:
                self._finish(place)
            finally:
                _close(lock)

    def check(self) -> None:
        """Raise CheckpointError unless the output is missing, an empty folder, or contains only a checkpoint."""
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise CheckpointError(f"{self.path} is a file; choose another output folder")
        if not self.path.is_dir():
            return
        with _raised_as(CheckpointError, self.path):
            foreign = self.foreign(self.path) if self._entries() else ()
        if foreign:
            raise CheckpointError(
                f"{self.path} is not replaced, because it contains files that Plackett did not write: "
                f"{_few(foreign)}; choose another output folder, or move these files elsewhere"
            )

    def _entries(self) -> list[Path]:
        """The entries of the output, config.json last, so that a partly filled folder is not a checkpoint."""
        own = set(_places(self.path.name, self.path))
        return sorted((path for path in self.path.iterdir() if path not in own), key=_config_last)

    def _where(self) -> Path:
        """Return where the hidden place goes: into a folder to be filled, such as a mount point, else beside it."""
        if not self.path.is_dir():
            return self.path.parent
        fill = os.path.ismount(self.path) or not self._entries() or not os.access(self.path.parent, os.W_OK | os.X_OK)
        return self.path if fill else self.path.parent

    def _remove_stale(self) -> None:
        """Remove leftovers of killed runs; restore the old folder of one killed between two renames."""
        for place in [*_places(self.path.name, self.path.parent), *_places(self.path.name, self.path)]:
            if not _remove_stale(place, self.path):
                raise CheckpointError(f"another process is writing {self.path}; wait for it, or choose another")

    def _finish(self, place: Path) -> None:
        result = place / self.path.name
        try:
            follow_umask(result)
            (place / _UNFINISHED).unlink()
            self.check()
            self._put(result, place / _OLD)
        except OSError as error:  # `check` raises it too
            raise CheckpointError(
                f"{result} is finished, but could not be moved to its place ({_reason(error)}). "
                f"To move it: {self._by_hand(result)}"
            ) from error
        _discard(place)

    def _put(self, result: Path, old: Path) -> None:
        if not self.path.exists():
            result.rename(self.path)
        elif self.path in result.parents or not self._entries():
            old.mkdir()
            _move(self._entries()[::-1], old)
            _move(sorted(result.iterdir(), key=_config_last), self.path)
        else:
            self.path.rename(old)
            try:
                result.rename(self.path)
            except BaseException:
                old.rename(self.path)
                raise

    def _by_hand(self, result: Path) -> str:
        here, there = shlex.quote(str(result)), shlex.quote(str(self.path))
        if self.path in result.parents or (self.path.is_dir() and os.path.ismount(self.path)):
            return f"cp -R {here}/. {there}"
        if os.path.lexists(self.path):
            return f"mv {there} {shlex.quote(f'{self.path}.{secrets.token_hex(2)}')} && mv {here} {there}"
        return f"mkdir -p {shlex.quote(str(self.path.parent))} && mv {here} {there}"


def output_file(name: Name, *, inputs: Iterable[Name] = ()) -> OutputFile:
    """Check that a file may be written as `name`: DataError for a folder, a read-only place, or one of the `inputs`.

    A link at that path is replaced, and its target is left unchanged.
    """
    text = _text(name, DataError)
    path = Path(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))
    if text in _STANDARD:
        return OutputFile(Path(text), is_stream=True)
    if "/proc" in map(str, path.parents):  # descriptors of a process, where nothing can be created
        if not os.path.exists(text):
            raise DataError(f"{text} cannot be written: there is no such file; name another one")
        return OutputFile(Path(text), is_stream=True)
    if Path(text).is_dir():
        raise DataError(f"{text} is a folder; name a file to write to")
    if path.exists() and not path.is_file():
        return OutputFile(path, is_stream=True)
    check_apart(path, inputs, DataError)
    if path.exists() and not os.access(path, os.W_OK):
        raise DataError(f"{path} is read-only; name another file to write to")
    _check_parent(path, DataError)
    return OutputFile(path)


def growing_file(name: Name, *, inputs: Iterable[Name] = ()) -> Path:
    """Check a name as `output_file` does, for a file that grows chunk by chunk, which cannot be a device or pipe."""
    output = output_file(name, inputs=inputs)
    if output.is_stream:
        raise DataError(
            f"{name} is not a regular file, so an interrupted run could not continue; name a file to write to"
        )
    return output.path


def folder_of_files(name: Name, *, inputs: Iterable[Name] = ()) -> Path:
    """Check that files may be added to a folder, which need not exist yet; DataError if not."""
    path = _folder(_text(name, DataError), DataError)
    if os.path.lexists(path) and not path.is_dir():
        raise DataError(f"{path} is not a folder; name one to write to")
    check_apart(path, inputs, DataError)
    if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
        raise DataError(f"{path} is read-only; name another folder to write to")
    if not path.is_dir():
        _check_parent(path, DataError)
    return path


def output_folder(name: Name, foreign: Callable[[Path], Sequence[str]], *, inputs: Iterable[Name] = ()) -> OutputFolder:
    """Check that a folder may be written as `name`; CheckpointError if not.

    Refused are a file, a folder with `foreign` entries, a link to a folder that is not empty, a read-only place, and a
    path that is, contains or is inside one of the `inputs`.
    """
    text = _text(name, CheckpointError)
    path = _folder(text, CheckpointError)
    output = OutputFolder(path, foreign)
    check_apart(path, inputs, CheckpointError)
    output.check()
    link = text.rstrip(os.sep)
    if os.path.islink(link) and path.is_dir() and output._entries():
        raise CheckpointError(
            f"{link} is a link to {path}, which would be replaced; name that folder, or remove the link"
        )
    if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
        raise CheckpointError(f"{path} is read-only; choose another output folder")
    if not path.is_dir():
        _check_parent(path, CheckpointError)
    return output


@contextlib.contextmanager
def whole_file(target: Name) -> Iterator[TextIO]:
    """Open a new text file, which replaces `target` when the block ends without an error."""
    with output_file(target).open() as stream:
        yield stream


@contextlib.contextmanager
def whole_files(folder: Path, *, last: str = "") -> Iterator[Path]:
    """Yield a hidden folder in `folder`, whose files are moved to `folder` when the block ends without an error.

    A link at the path of a file is replaced, and its target is left unchanged. Each file is renamed: a process killed
    between two renames leaves every file complete, either new or old. The file `last` is removed before the others are
    moved, and moved after them.
    """
    output = OutputFolder(folder := folder.resolve(), lambda _: ())
    with _raised_as(DataError, folder):
        output._remove_stale()
        place, lock = _new_place(folder.name, folder)
        (place / folder.name).mkdir()
    try:
        with _raised_as(DataError, folder):
            yield place / folder.name
            _put_files(place / folder.name, folder, last)
    finally:
        _discard(place)
        _close(lock)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock in the block, waiting for other processes; yield False on a system or drive without locks.

    The system releases the lock of a killed process.
    """
    lock, is_held = None, False
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # some network drives have no locks
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            is_held = True
    try:
        yield is_held
    finally:
        _close(lock)


def check_apart(output: Path, inputs: Iterable[Name], error: type[PlackettError]) -> None:
    """Raise `error` if the output is, contains or is inside an input. Names that are not local paths are skipped."""
    for name in inputs:
        if not os.path.exists(os.path.expanduser(name)):
            continue
        source = Path(os.path.realpath(os.path.expanduser(name)))
        same = source == output or (output.exists() and source.samefile(output))
        if same or source in output.parents or output in source.parents:
            how = "is" if same else "is inside" if source in output.parents else "holds"
            raise error(f"the output {output} {how} the input {name}; choose another output")


def is_full(error: BaseException) -> bool:
    """Whether the cause of an error is a full disk, a quota or a limit on file sizes."""
    return getattr(error, "errno", None) in _FULL or any(text in str(error) for text in _FULL_TEXTS)


def follow_umask(folder: Path) -> None:
    """Give a folder and its contents the permissions of new files: safetensors writes files for the owner only."""
    mask = os.umask(0o077)
    os.umask(mask)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            new = 0o777 if path.is_dir() else 0o666
            path.chmod((path.stat().st_mode & 0o7000) | (new & ~mask))


def _text(name: Name, error: type[PlackettError]) -> str:
    text = os.path.expanduser(os.fspath(name))
    if not text.strip() or "\0" in text:
        raise error(f"the output {text!r} is not a path; name a file or folder")
    if any(len(os.fsencode(part)) > LONGEST for part in Path(text).parts) or len(os.fsencode(text)) > LONGEST_PATH:
        raise error(f"the output {text[:40]!r}... is too long; use at most {LONGEST} bytes")
    return text


def _folder(text: str, error: type[PlackettError]) -> Path:
    if text in _STANDARD or text.startswith(("/dev/fd/", "/proc/")):
        raise error(f"{text} is a stream, which cannot contain a folder; name a folder to write to")
    return Path(os.path.realpath(text))


def _check_parent(path: Path, error: type[PlackettError]) -> None:
    """Check that folders and files can be created where `path` will be."""
    nearest = next(parent for parent in path.parents if os.path.lexists(parent))
    if not nearest.is_dir():
        raise error(f"{path} cannot be written: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise error(f"{path} cannot be written: {nearest} is read-only")


def _places(name: str, folder: Path) -> list[Path]:
    """Return the hidden places for results called `name` in a folder."""
    if not folder.is_dir():
        return []
    pattern = re.compile(re.escape(f".{name}") + _PLACE)
    return [folder / entry for entry in os.listdir(folder) if pattern.fullmatch(entry)]


def _new_place(name: str, folder: Path) -> tuple[Path, int | None]:
    """Create a hidden folder for a result called `name`, marked as unfinished; return it and its lock."""
    while True:
        place = folder / f".{name}.{secrets.token_hex(4)}.plackett"
        place.mkdir()
        lock = None
        with contextlib.suppress(FileNotFoundError):  # another process mistook the new place for a stale one
            if sys.platform != "win32":
                lock = os.open(place, os.O_RDONLY)
                with contextlib.suppress(OSError):  # some network drives have no locks
                    fcntl.flock(lock, fcntl.LOCK_EX)
            (place / _UNFINISHED).touch()
            return place, lock
        _close(lock)


def _remove_stale(place: Path, target: Path) -> bool:
    """Remove what a killed run left for `target`, unless it is finished; return False if that run is still active.

    An old folder that such a run had moved away is restored.
    """
    with _unheld(place) as stale:
        if not stale:
            return stale is not None
        result, old = place / target.name, place / _OLD
        if old.is_dir() and not target.exists():
            old.rename(target)
        if not (place / _UNFINISHED).exists() and (result.is_file() or (result.is_dir() and any(result.iterdir()))):
            _log.warning("%s is the finished result of an earlier run that was stopped; move or delete it", result)
        else:
            _discard(place)
    return True


@contextlib.contextmanager
def _unheld(place: Path) -> Iterator[bool | None]:
    """Whether the process that created a place is gone: None while it runs, False if that cannot be determined."""
    if sys.platform == "win32" or place.is_symlink():
        yield False
        return
    lock = None
    try:
        lock = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        answer: bool | None = True
    except BlockingIOError:
        answer = None
    except OSError:
        answer = False
    try:
        yield answer
    finally:
        _close(lock)


def _close(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _put_file(place: Path, target: Path) -> None:
    result = place / target.name
    try:
        result.replace(target)
    except OSError as error:
        kept = place.with_name(place.name.removeprefix(".").removesuffix(".plackett"))
        with contextlib.suppress(OSError):
            (place / _UNFINISHED).unlink()
            result = result.rename(kept)
        raise DataError(
            f"{result} is finished, but could not be moved to its place ({_reason(error)}). "
            f"To move it: mv {shlex.quote(str(result))} {shlex.quote(str(target))}"
        ) from error
    finally:
        if not (place / target.name).exists():
            _discard(place)


def _discard(place: Path) -> None:
    """Remove a hidden place, its mark last: without the mark, a half-removed result would count as finished."""
    with contextlib.suppress(OSError):
        for path in place.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _UNFINISHED:
                path.unlink()
    shutil.rmtree(place, ignore_errors=True)


def _put_files(place: Path, folder: Path, last: str) -> None:
    follow_umask(place)
    names = [path.relative_to(place) for path in sorted(place.rglob("*")) if path.is_file()]
    names.sort(key=Path(last).__eq__)  # False before True
    for name in names:
        if (folder / name).is_dir():
            raise DataError(f"{folder / name} is a folder where a file is expected; move it elsewhere")
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
    if last:
        (folder / last).unlink(missing_ok=True)
    for name in names:
        (place / name).replace(folder / name)


def _move(paths: Iterable[Path], folder: Path) -> None:
    for path in paths:
        path.rename(folder / path.name)


def _config_last(path: Path) -> tuple[bool, str]:
    return path.name == "config.json", path.name


@contextlib.contextmanager
def _parents(path: Path, error: type[PlackettError]) -> Iterator[None]:
    """Create the folders above `path`, and remove them again if the block fails."""
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        with _raised_as(error, path):
            path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


@contextlib.contextmanager
def _raised_as(error: type[PlackettError], path: Path, *, within: Path | None = None) -> Iterator[None]:
    """Raise `error` for the system's errors; with `within`, only for errors about its files or a full disk."""
    try:
        yield
    except OSError as found:
        ours = within is None or found.errno in _FULL or str(found.filename).startswith(str(within))
        if isinstance(found, PlackettError) or not ours:
            raise
        raise error(f"{path} cannot be written: {_reason(found)}") from found


@contextlib.contextmanager
def _stream(path: Path) -> Iterator[TextIO]:
    """Open a device, a pipe or a standard stream, which is not replaced, truncated or closed."""
    standard = getattr(sys, _STANDARD.get(str(path), ""), None)
    if standard is not None:
        yield standard
        return
    with path.open("a", encoding="utf-8") as stream:
        yield stream


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
