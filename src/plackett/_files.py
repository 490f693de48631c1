"""Files that are written whole or not at all: each is written beside and renamed."""

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from plackett.errors import DataError, PlackettError


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[TextIO]:
    """A new text file that takes `target`'s place, in one step, when the block ends well; else nothing changes."""
    target = target.resolve()
    if target.is_dir():
        raise DataError(f"{target} is a folder; name a file to write to")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stream = beside.open("x", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with stream:
            yield stream
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` whose files take their places there when the block ends well; else nothing changes.

    A link in the place of a file is replaced, and what it leads to is left alone. Each file comes by a rename: a
    process killed between two of them leaves every file whole, the first new and the last old, and `folder/.NAME`.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:
            yield Path(beside)
            paths = sorted(Path(beside).iterdir())
            for path in paths:
                if (folder / path.name).is_dir():
                    raise DataError(f"{folder / path.name} is a folder in the place of a file; move it away")
            for path in paths:
                path.replace(folder / path.name)
    except OSError as error:
        if isinstance(error, PlackettError):
            raise
        raise DataError(f"{folder} cannot be written to: {error.strerror or error}") from error
