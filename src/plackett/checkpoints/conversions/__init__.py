"""Rerankers in other layouts, converted once to plain sequence-classification folders.

The engines, training, export, `info` and `publish` read only one kind of folder. A reranker in another layout is
converted into the user's cache when it is first opened, and reused from there. Large weights are linked, not copied.

To add a layout, add a module to this package and an entry to `CONVERSIONS`.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from plackett._files import is_full, locked
from plackett.checkpoints.bundled import cache
from plackett.checkpoints.conversions import adapter, causal, chain, native
from plackett.errors import CheckpointError

FindFolder = Callable[[str, str | None], Path]
"""(name, revision) -> folder."""


@dataclass(frozen=True)
class Conversion:
    """One layout.

    fits: whether a folder has this layout. inputs: the folders that the result depends on. convert: writes the plain
    folder into an empty one.
    """

    fits: Callable[[Path], bool]
    inputs: Callable[[Path, FindFolder], list[Path]]
    convert: Callable[[list[Path], Path], None]


def _itself(folder: Path, _: FindFolder) -> list[Path]:
    return [folder]


CONVERSIONS: Mapping[str, Conversion] = {
    "LoRA adapter": Conversion(adapter.fits, adapter.inputs, adapter.convert),
    "causal language model": Conversion(causal.fits, _itself, causal.convert),
    "code that transformers now includes": Conversion(native.fits, _itself, native.convert),
    "chain of modules": Conversion(chain.fits, _itself, chain.convert),
}


def plain(folder: Path, find: FindFolder) -> Path:
    """Return the folder itself, or its converted form in the cache, which is created if it is missing.

    `find` returns the folder of another checkpoint by name and revision, such as the base of an adapter.
    """
    layout = layout_of(folder)
    if layout is None:
        return folder
    conversion = CONVERSIONS[layout]
    inputs = conversion.inputs(folder, find)
    target = _place(inputs)
    if not target.is_dir():
        _make(target, lambda beside: conversion.convert(inputs, beside))
    return plain(target, find)  # an adapter may belong to a causal reranker


def layout_of(folder: Path) -> str | None:
    """Return the name of the layout that a folder is converted from; None for a plain folder."""
    return next((name for name, conversion in CONVERSIONS.items() if conversion.fits(folder)), None)


def _place(inputs: list[Path]) -> Path:
    """Return the cache folder for the current files of the inputs and this release, whose conversions may differ."""
    digest = hashlib.sha256(version("plackett").encode())
    for folder in inputs:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            state = path.stat()
            digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return cache() / "converted" / digest.hexdigest()[:16] / inputs[0].resolve().name


def _make(target: Path, convert: Callable[[Path], None]) -> None:
    """Write a folder under a temporary name and rename it, so other processes only see a complete one.

    A process that needs the same folder waits for it. What a killed process left is removed.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(target.parent, error) from error
    with locked(target.parent) as is_alone:
        if target.is_dir():  # another process was faster
            return
        for path in target.parent.glob(".*") if is_alone else ():
            shutil.rmtree(path, ignore_errors=True)
        _write(target, convert)


def _write(target: Path, convert: Callable[[Path], None]) -> None:
    with _writing(target.parent):
        beside = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    try:
        with _writing(target.parent):
            convert(beside)
            if not target.is_dir():  # without locks, another process may have been faster
                os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Raise CheckpointError for a full disk, and for errors of the system about a file in `place`."""
    try:
        yield
    except Exception as error:
        name = getattr(error, "filename", None)
        if is_full(error) or (isinstance(name, str) and Path(name).is_relative_to(place)):
            raise _not_written(place, error) from error
        raise


def _not_written(place: Path, error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or "the disk is full"
    return CheckpointError(
        f"{place}, where a converted model is kept, cannot be written ({reason}); set XDG_CACHE_HOME to a folder that "
        "is writable and has room for a copy of the model"
    )
