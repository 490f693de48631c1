"""Listwise cross-encoder rerankers: train one on ranked lists, measure it honestly, publish it, use it."""

from importlib.metadata import version

from plackett import _moved
from plackett.cross_encoder import CrossEncoder, RankedDocument
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
from plackett.tokenization.windows import LongDocuments

__version__ = version("plackett")

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
