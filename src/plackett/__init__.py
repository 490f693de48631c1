"""Listwise cross-encoder rerankers: train one on ranked lists, measure it honestly, publish it, use it."""

from typing import TYPE_CHECKING

from plackett import _moved
from plackett.errors import (
    CheckpointError,
    DataError,
    HubError,
    InputError,
    MissingExtraError,
    PlackettError,
    RemoteError,
    ScoreError,
    SettingError,
    TrainingError,
)

if TYPE_CHECKING:
    from plackett.cross_encoder import CrossEncoder, RankedDocument
    from plackett.tokenization.windows import LongDocuments

    __version__: str

_moved.install()

__all__ = [
    "CheckpointError",
    "CrossEncoder",
    "DataError",
    "HubError",
    "InputError",
    "LongDocuments",
    "MissingExtraError",
    "PlackettError",
    "RankedDocument",
    "RemoteError",
    "ScoreError",
    "SettingError",
    "TrainingError",
    "__version__",
]

_MODULES = {
    "CrossEncoder": "plackett.cross_encoder",
    "RankedDocument": "plackett.cross_encoder",
    "LongDocuments": "plackett.tokenization.windows",
}


def __getattr__(name: str) -> object:
    """Import numpy, the tokenizers and the rest on first use, so that the command line starts at once."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("plackett")
    elif name in _MODULES:
        from importlib import import_module

        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
