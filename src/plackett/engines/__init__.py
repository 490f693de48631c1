"""Engines run the forward pass: token ids in, raw logits out.

All of them keep one contract, `Engine`. `load_engine` finds one by its name in `ENGINES`; to add an engine, write its
module with a `load(checkpoint, device)` and give it a line there, with the extra that installs what it needs.
"""

import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plackett._extras import require
from plackett.batching import EncodedPairs
from plackett.checkpoint import Checkpoint
from plackett.errors import SettingError

ENGINES = {"torch": ("plackett.engines.torch", "train")}


class Engine(Protocol):
    """Scores one batch of token ids; safe to call from several threads."""

    token_budget: int
    """Tokens per batch at which this engine is fastest."""

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits of the pairs, in their order: float32 (pairs, labels)."""
        ...


class FakeEngine:
    """An engine for tests: `function(token_ids of one pair) -> logit`."""

    token_budget = 2048

    def __init__(self, function: Callable[[NDArray[np.int64]], float]) -> None:
        self._function = function

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """One logit for each pair, (pairs, 1)."""
        rows = (batch.token_ids[start:end] for start, end in itertools.pairwise(batch.cu_seqlens))
        return np.array([self._function(row) for row in rows], np.float32)[:, None]


def load_engine(name: str, checkpoint: Checkpoint, device: str | None) -> Engine:
    """The engine called `name`, with the weights of `checkpoint` on `device`; "auto" is the fastest exact one."""
    if name != "auto" and name not in ENGINES:
        raise SettingError.unknown("engine", name, [*ENGINES, "auto"])
    module, extra = ENGINES["torch" if name == "auto" else name]
    engine: Engine = require(module, extra=extra).load(checkpoint, device)
    return engine
