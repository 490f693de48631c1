"""Listwise cross-encoder rerankers: train one on ranked lists, measure it honestly, publish it, use it."""

from typing import TYPE_CHECKING

from plackett import _moved
from plackett._extras import lazily
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
    from plackett.integrations.frames import rank_frame
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
    "rank_frame",
]

# numpy, the tokenizers and the rest are imported on first use, so that the command line starts at once.
_imported = lazily(
    __name__,
    {
        "CrossEncoder": "cross_encoder",
        "LongDocuments": "tokenization.windows",
        "RankedDocument": "cross_encoder",
        "rank_frame": "integrations.frames",
    },
)


def __getattr__(name: str) -> object:
    """Import a public name, or look up the version, on first use."""
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("plackett")
        return globals()[name]
    return _imported(name)
