"""The checkpoints that a training leaves on its way: which of them are whole, and what a full disk makes of them."""

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from plackett.errors import CheckpointError
from plackett.training.callbacks import RecipeRecord

# What safetensors and torch.save say of a disk that is full; neither carries an errno.
_FULL = (
    *("No space left", "os error 28"),
    *("PytorchStreamWriter failed", "file write failed", "iostream error", "unexpected pos"),
)


def checkpoints(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any] | None]]:
    """Newest first, each with its recipe: None for one that was not saved to the end."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            recipe = RecipeRecord.read(checkpoint)
        except (OSError, ValueError, LookupError, TypeError):
            yield checkpoint, None
        else:
            yield checkpoint, recipe


@contextmanager
def disk_is_not_full(folder: Path) -> Iterator[None]:
    """One clear error where a checkpoint or the output did not fit on the disk; half-written ones are removed."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or any(text in str(error) for text in _FULL)
        if not full:
            raise
        whole = []
        for checkpoint, recipe in list(checkpoints(folder)):
            if recipe is not None:
                whole.append(checkpoint)
            else:
                shutil.rmtree(checkpoint, ignore_errors=True)
        what_next = f"{whole[0]} is whole: train again with --resume" if whole else "train again"
        raise CheckpointError(
            f"the disk is full: {folder} or the output could not be written. Free some space; {what_next}"
        ) from error


@contextmanager
def interrupted(folder: Path) -> Iterator[None]:
    """Note on a KeyboardInterrupt what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        whole = [checkpoint for checkpoint, recipe in checkpoints(folder) if recipe is not None]
        error.add_note(
            f"{whole[0]} is whole: the same command with --resume goes on"
            if whole
            else "no checkpoint was saved, so a new run begins again; training.save_strategy saves them on the way"
        )
        raise


@contextmanager
def no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder of the checkpoints where none was saved."""
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
