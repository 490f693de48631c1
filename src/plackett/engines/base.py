"""The interface of an engine (one method that scores a batch), its settings, and a fake engine for tests."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import Bounds, check_fields
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.model import Model
from plackett.errors import CheckpointError, PlackettError, SettingError
from plackett.tokenization.batches import EncodedPairs, WindowedPairs
from plackett.tokenization.lists import ListTokenizer
from plackett.tokenization.windows import LongDocuments, Refuse, WindowTokenizer

PRECISIONS = ("fp32", "bf16", "int8")

Threads = Annotated[int, Bounds(1, 4096)]
"""An upper bound: with absurd numbers, a runtime fails in ways that look like a damaged file."""


@dataclass(frozen=True)
class EngineSettings:
    """Settings of an engine. `device` is a torch device name, None for the best available.

    `precision` is one of `PRECISIONS`, None for fp32 or the export's own. `threads` is the number of processor threads,
    None for all that this process may use; in torch it applies to the whole process.
    """

    device: str | None = None
    precision: str | None = None
    threads: Threads | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.precision is not None and self.precision not in PRECISIONS:
            raise SettingError.unknown("precision", self.precision, PRECISIONS)


@runtime_checkable
class Engine(Protocol):
    """Scores one tokenised batch. Several threads may call it.

    An engine that scores several batches at once, each on its share of the cores, has the attribute `lanes`, and a
    method `one_lane`: a copy whose calls each stay on one share, for callers that fill all lanes themselves.
    """

    token_budget: int
    """Tokens per batch at which this engine is fastest."""

    def score(self, batch: Any) -> NDArray[np.float32]:
        """Return the raw logits of the pairs, in their order: float32 (pairs, labels).

        `batch` is `EncodedPairs`, `EncodedLists` if the model reads lists, or `TextPairs` if the engine reads texts.
        """
        ...


def lanes_of(engine: Engine) -> int:
    """Return the number of batches that an engine scores at once."""
    return getattr(engine, "lanes", 1)


def one_lane(engine: Engine) -> Engine:
    """Return the engine with each call on one lane."""
    found: Engine = engine.one_lane() if hasattr(engine, "one_lane") else engine
    return found


class Tokenizer(Protocol):
    """Converts text pairs into the batch format that its engine expects."""

    def encode(
        self, pairs: Sequence[tuple[str, str]], refuse: Refuse, lists: Sequence[object] | None = None, /
    ) -> WindowedPairs:
        """Convert all pairs, in input order. `refuse` is called with the index of an unreadable pair and the reason.

        A listwise model reads adjacent pairs with equal values in `lists` together, as candidates of one query. For
        other models, `lists` has no effect.
        """
        ...

    def spans(self, pair: tuple[str, str], /) -> list[tuple[int, int]]:
        """Return the range of the document's characters, [start, end), that each window of a pair reads."""
        ...

    def instructed(self, instruction: str, /) -> "Tokenizer":
        """Return a copy with another instruction. Raises SettingError for a model that takes none."""
        ...


@dataclass(frozen=True)
class Parts:
    """Everything a CrossEncoder needs. `checkpoint` is None for a model without a folder, such as a server's."""

    model: Model
    tokenizer: Tokenizer
    engine: Engine
    checkpoint: Checkpoint | None = None
    long_documents: LongDocuments = LongDocuments()

    @classmethod
    def of(cls, checkpoint: Checkpoint, engine: Engine, long_documents: LongDocuments = LongDocuments()) -> "Parts":
        """Combine a checkpoint's tokenizer with an existing engine, such as a model in training or a fake."""
        tokenizer = (ListTokenizer if checkpoint.lists else WindowTokenizer)(checkpoint, long_documents)
        return cls(checkpoint.model, tokenizer, engine, checkpoint, long_documents)

    def instructed(self, instruction: str) -> "Parts":
        """Return a copy with another instruction. Raises SettingError for a model that takes none."""
        if not isinstance(instruction, str) or not instruction.strip():
            raise SettingError(f"instruction={instruction!r} is not text; leave it out to use the model's own")
        model = replace(self.model, instruction=instruction)
        return replace(self, model=model, tokenizer=self.tokenizer.instructed(instruction))


@contextlib.contextmanager
def computing(checkpoint: Checkpoint, engine: str) -> Iterator[None]:
    """Raise CheckpointError for errors of a library while a model computes."""
    try:
        yield
    except PlackettError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"the engine {engine} cannot score with {checkpoint.folder} ({reason}); its configuration, weights and "
            "tokenizer may not fit together"
        ) from error


def check_process(loaded_in: int, engine: str) -> None:
    """Raise SettingError in a process forked after an engine started its threads, where scoring would hang."""
    if os.getpid() != loaded_in:
        raise SettingError(
            f"the engine {engine} was loaded before this process forked, and its threads do not exist in this one; "
            "load the model here, start processes with spawn, or use engine='onnx'"
        )


class FakeEngine:
    """An engine for tests: `function(token_ids of one pair) -> logit`."""

    token_budget = 2048

    def __init__(self, function: Callable[[NDArray[np.int64]], float]) -> None:
        self._function = function

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Return one logit per pair, (pairs, 1)."""
        rows = (batch.token_ids[start:end] for start, end in itertools.pairwise(batch.cu_seqlens))
        return np.array([self._function(row) for row in rows], np.float32)[:, None]
