"""Engines run the forward pass: token ids in, raw logits out.

All of them keep one contract, `Engine`. `load_engine` finds one by its name in `ENGINES`; to add an engine, write its
module with a `load(checkpoint, settings)` and give it a line there, with the extra that installs what it needs.
"""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plackett._extras import is_installed, require
from plackett.batching import EncodedPairs, WindowedPairs
from plackett.checkpoint import Checkpoint, has_weights
from plackett.errors import SettingError
from plackett.exports import EXPORTS, STORED_AS, exports_of
from plackett.hub import Patterns, torch_files

# Name -> (module, extra that installs what it needs). onnxruntime comes with the bare install.
ENGINES = {
    "torch": ("plackett.engines.torch", "train"),
    "onnx": ("plackett.engines.onnx", "train"),
    "openvino": ("plackett.engines.openvino", "openvino"),
}


PRECISIONS = ("fp32", "bf16", "int8")


@dataclass(frozen=True)
class EngineSettings:
    """How an engine should run. `device` is torch's name of one, None for the best that is there.

    `precision` is one of `PRECISIONS`, None for fp32, or what an export was made in. `threads` is a number of processor
    threads, None for all that this process may use; torch has one such number for the whole process.
    """

    device: str | None = None
    precision: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in PRECISIONS:
            raise SettingError.unknown("precision", self.precision, PRECISIONS)
        if self.threads is not None and (
            isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 1
        ):
            raise SettingError(f"threads={self.threads!r} is not a number of threads; leave it out for all of them")


class Engine(Protocol):
    """Scores one batch of what the tokenizer beside it makes; safe to call from several threads."""

    token_budget: int
    """Tokens per batch at which this engine is fastest."""

    def score(self, batch: Any) -> NDArray[np.float32]:
        """Raw logits of the pairs, in their order: float32 (pairs, labels).

        `batch` is `EncodedPairs`, or `TextPairs` where the engine reads texts.
        """
        ...


class Tokenizer(Protocol):
    """Makes of pairs of texts what the engine beside it scores."""

    def encode(self, pairs: Sequence[tuple[str, str]], name: Callable[[int], str], /) -> WindowedPairs:
        """All pairs, in input order. `name` gives what an error calls a pair."""
        ...

    def spans(self, pair: tuple[str, str], /) -> list[tuple[int, int]]:
        """The characters of its document that each window of a pair reads: first, and behind the last."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a CrossEncoder is made of."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    engine: Engine


class FakeEngine:
    """An engine for tests: `function(token_ids of one pair) -> logit`."""

    token_budget = 2048

    def __init__(self, function: Callable[[NDArray[np.int64]], float]) -> None:
        self._function = function

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """One logit for each pair, (pairs, 1)."""
        rows = (batch.token_ids[start:end] for start, end in itertools.pairwise(batch.cu_seqlens))
        return np.array([self._function(row) for row in rows], np.float32)[:, None]


def load_engine(name: str, checkpoint: Checkpoint, settings: EngineSettings = EngineSettings()) -> Engine:
    """The engine called `name` with the weights of `checkpoint`; "auto" is the fastest exact one."""
    _check_name(name)
    module, extra = ENGINES[automatic(checkpoint, settings) if name == "auto" else name]
    engine: Engine = require(module, extra=extra).load(checkpoint, settings)
    return engine


def automatic(checkpoint: Checkpoint, settings: EngineSettings) -> str:
    """What "auto" stands for: torch for weights where it is installed, else the fastest engine that has an export."""
    if _torch_first(settings) and (settings.device not in (None, "cpu") or has_weights(checkpoint.folder)):
        return "torch"
    there = exports_of(checkpoint.folder)
    return next((engine for engine, stored in _preferred(settings) if (engine, stored) in there), "torch")


def files_for(name: str, settings: EngineSettings, *, allow_pickle: bool) -> list[Patterns]:
    """What to fetch of a repository for the engine called `name`: the first of these that it has.

    Weights come last for an engine that cannot run them, so that the error can say how to export them.
    """
    _check_name(name)
    for_torch = torch_files(allow_pickle=allow_pickle)
    exports = [
        tuple(f"{file}*" for file in EXPORTS[key])  # a large graph has its weights beside it
        for key in _preferred(settings)
        if name in ("auto", key[0])
    ]
    first = name == "torch" or (name == "auto" and _torch_first(settings))
    return [*for_torch, *exports] if first else [*exports, *for_torch]


def _check_name(name: str) -> None:
    if name != "auto" and name not in ENGINES:
        raise SettingError.unknown("engine", name, [*ENGINES, "auto"])


def _torch_first(settings: EngineSettings) -> bool:
    """Whether "auto" is torch where there are weights."""
    return settings.device not in (None, "cpu") or is_installed("torch")


def _preferred(settings: EngineSettings) -> list[tuple[str, str]]:
    """The keys of `EXPORTS` that will do, the exact ones first, and among those the fastest that is installed."""
    fastest = "openvino" if is_installed("openvino") else "onnx"
    fitting = [key for key in EXPORTS if settings.precision is None or key[1] == STORED_AS[settings.precision]]
    return sorted(fitting, key=lambda key: (key[1] != "fp32", key[0] != fastest))


def is_url(model: str | os.PathLike[str]) -> bool:
    """Whether a name is a server's address, in place of a folder or a hub id."""
    return str(model).startswith(("http://", "https://"))


def open_remote(url: str, *, activation: str | None, settings: Mapping[str, object]) -> Parts:
    """A server that reranks, as an engine. SettingError for `settings` that were given: they are the server's own."""
    given = [name for name, value in settings.items() if value not in (None, False, "auto")]
    if given:
        raise SettingError(
            f"{', '.join(given)} cannot be chosen for {url}: a server runs as it was started; leave it out"
        )
    from plackett.engines import remote  # here, because the HTTP client is a third of `import plackett`

    return remote.connect(url, activation)
