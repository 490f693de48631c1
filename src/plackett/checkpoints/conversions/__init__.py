"""Rerankers in other layouts, rewritten once as plain sequence-classification folders.

Everything above reads one kind of folder: every engine, training, export, `info` and `publish`. So a reranker that is
published otherwise is converted when it is first opened, into the user's cache, where the next process finds it. Large
weights are linked, not copied.

To add a layout, write a module beside this one and an entry of `CONVERSIONS`.
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

    fits: whether a folder has it. inputs: the folders that the result depends on. convert: write the plain folder into
    an empty one.
    """

    fits: Callable[[Path], bool]
    inputs: Callable[[Path, FindFolder], list[Path]]
    convert: Callable[[list[Path], Path], None]


def _itself(folder: Path, _: FindFolder) -> list[Path]:
    return [folder]


CONVERSIONS: Mapping[str, Conversion] = {
    "LoRA adapter": Conversion(adapter.fits, adapter.inputs, adapter.convert),
    "causal language model": Conversion(causal.fits, _itself, causal.convert),
    "code that transformers has now": Conversion(native.fits, _itself, native.convert),
    "chain of modules": Conversion(chain.fits, _itself, chain.convert),
}


def plain(folder: Path, find: FindFolder) -> Path:
    """Return the folder itself, or its plain form in the cache, made now if it is missing.

    `find` gives the folder of another checkpoint by its name, such as the base of an adapter.
    """
    layout = layout_of(folder)
    if layout is None:
        return folder
    conversion = CONVERSIONS[layout]
    inputs = conversion.inputs(folder, find)
    target = _place(inputs)
    if not target.is_dir():
        _make(target, lambda beside: conversion.convert(inputs, beside))
    return plain(target, find)  # an adapter may be that of a causal reranker


def layout_of(folder: Path) -> str | None:
    """Return the name of the layout that a folder is converted from; None for a plain folder."""
    return next((name for name, conversion in CONVERSIONS.items() if conversion.fits(folder)), None)


def _place(inputs: list[Path]) -> Path:
    """The folder in the cache that belongs to the present files of the inputs."""
    digest = hashlib.sha256()
    for folder in inputs:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            state = path.stat()
            digest.update(f"{path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return cache() / "converted" / digest.hexdigest()[:16] / inputs[0].resolve().name


def _make(target: Path, convert: Callable[[Path], None]) -> None:
    """Write a folder beside its place and rename it, so that two processes at once both find a whole one."""
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
        if not target.is_dir():  # another process was first
            raise CheckpointError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
