"""Errors of other libraries and Python, turned into CheckpointErrors."""

import contextlib
import os
from collections.abc import Iterator

from plackett.errors import CheckpointError, PlackettError

_PANIC = "PanicException"  # raised by tokenizers and safetensors; not an Exception


@contextlib.contextmanager
def own_errors(name: str | os.PathLike[str] | None) -> Iterator[None]:
    """Raise CheckpointError for anything but Plackett's own errors while the checkpoint `name` is loaded."""
    try:
        yield
    except (PlackettError, ImportError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        raise CheckpointError(
            f"{name} cannot be loaded: {type(error).__name__}: {error}. Its files are inconsistent: download them again"
        ) from error
