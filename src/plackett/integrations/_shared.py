"""Code shared by the adapters: opening a model, and checking the release of a framework."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from plackett._extras import extra
from plackett._inputs import checked_list
from plackett.cross_encoder import CrossEncoder
from plackett.errors import InputError, MissingExtraError

Source = str | os.PathLike[str] | CrossEncoder | None
"""A folder, a Hub id, the address of a server, or an open model; None for the embedded model."""


def opened(model: Source) -> CrossEncoder:
    """Return a model, opening it if necessary. Raises InputError for a model with several labels that cannot rank."""
    encoder = model if isinstance(model, CrossEncoder) else CrossEncoder(model)
    if not encoder.model.ranks:
        raise InputError(
            f"{encoder.model.name} has {encoder.model.labels} labels ({', '.join(encoder.model.names)}), and ranking "
            "needs one; pass plackett.CrossEncoder(..., positive_label=...) with the label that means relevant"
        )
    return encoder


def check_items(items: Sequence[object], kind: type, wrapped: str) -> None:
    """Raise InputError for anything but a list of a framework's class; `wrapped` shows how to wrap a text."""
    for number, item in enumerate(checked_list(items, "documents")):
        if not isinstance(item, kind):
            raise InputError(f"document {number} is {type(item).__name__}, not {kind.__name__}; pass {wrapped}")


@contextlib.contextmanager
def framework(name: str, distribution: str, least: str) -> Iterator[None]:
    """Raise MissingExtraError for imports of a framework that is not installed, or whose release is too old."""
    try:
        with extra(name):
            yield
    except MissingExtraError:
        raise
    except ImportError as error:
        raise _unsupported(name, distribution, least) from error
    if _numbers(version(distribution)) < _numbers(least):
        raise _unsupported(name, distribution, least)


def _numbers(release: str) -> list[int]:
    return [int(part) for part in release.split(".")[:2] if part.isdecimal()]


def _unsupported(name: str, distribution: str, least: str) -> MissingExtraError:
    return MissingExtraError(
        f"{distribution} {version(distribution)} is installed, and this adapter supports {least} and later: "
        f"pip install --upgrade 'plackett[{name}]'"
    )
