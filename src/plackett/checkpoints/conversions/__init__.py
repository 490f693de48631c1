"""Rerankers in other layouts, converted once to plain sequence-classification folders.

The engines, training, export, `info` and `publish` read only one kind of folder. A reranker in another layout is
converted into the user's cache when it is first opened, and reused from there. Large weights are linked, not copied.

To add a layout, add a module to this package and an entry to `CONVERSIONS`.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from plackett.checkpoints.bundled import cache
from plackett.checkpoints.conversions import adapter, causal, chain, native
from plackett.errors import CheckpointError

FindFolder = Callable[[str], Path]


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

    `find` returns the folder of another checkpoint by name, such as the base of an adapter.
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
    """Return the cache folder for the current files of the inputs."""
    digest = hashlib.sha256()
    for folder in inputs:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            state = path.stat()
            digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return cache() / "converted" / digest.hexdigest()[:16] / inputs[0].resolve().name


def _make(target: Path, convert: Callable[[Path], None]) -> None:
    """Write a folder under a temporary name and rename it, so concurrent processes only see a complete one."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    except OSError as error:
        raise CheckpointError(
            f"{target.parent}, where a converted model is kept, cannot be written ({error.strerror}); set "
            "XDG_CACHE_HOME to a writable folder"
        ) from error
    try:
        convert(beside)
        os.rename(beside, target)
    except CheckpointError:  # an OSError too
        raise
    except OSError as error:
        if not target.is_dir():  # another process was faster
            raise CheckpointError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
