"""Reads texts for a listwise reranker: all documents of one query are one list, which is never split."""

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.folder import Checkpoint
from plackett.dialects import RerankRequest
from plackett.errors import RequestError
from plackett.explanations import Reading
from plackett.serving.texts import Token, guessed, tokens_of
from plackett.tokenization.lists import EncodedLists, ListTokenizer
from plackett.tokenization.windows import LongDocuments


class ListReader:
    """The tokenizer of a listwise checkpoint, with the interface of `TextReader`. Threads may share it."""

    takes_instructions = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.max_length = checkpoint.max_length
        self._cutting = ListTokenizer(checkpoint)
        self._refusing = ListTokenizer(checkpoint, LongDocuments("error"))
        self._lock = threading.Lock()

    def check(self, request: RerankRequest) -> None:
        """Raise RequestError for settings that apply only to pairs."""
        given = {
            "truncate_prompt_tokens": request.max_tokens is not None,
            "truncation_side": request.truncation_side == "left",
            "relevant_spans": request.relevant_spans is not None,
        }
        for name, is_given in given.items():
            if is_given:
                raise RequestError(
                    f"{name} does not apply to a model that reads lists of documents; leave it out",
                    field=name,
                    status=400,
                )

    def bounds(self, request: RerankRequest, pairs: int) -> NDArray[np.int64]:
        """Return the first pair of each list, and the end: one list per query, or one per pair."""
        return np.array([0, pairs]) if len(request.queries) == 1 else np.arange(pairs + 1)

    def estimates(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
        """Estimate the tokens of each pair from its characters, (pairs,)."""
        return guessed(pairs, 1, self.max_length)

    def encode(self, request: RerankRequest, pairs: Sequence[tuple[str, str]], indices: Sequence[int]) -> EncodedLists:
        """Tokenise whole lists of a request; errors refer to `indices`."""

        def refuse(index: int, reason: str) -> None:
            raise RequestError(f"document {indices[index]}: {reason}", field="truncate")

        tokenizer = (self._cutting if request.truncate else self._refusing).limited(
            request.max_tokens_per_query, request.max_tokens_per_doc
        )
        if request.instruction is not None:
            tokenizer = tokenizer.instructed(request.instruction)
        lists = [0] * len(pairs) if len(request.queries) == 1 else None
        with self._lock:
            return tokenizer.encode_lists(pairs, refuse, lists)

    def readings(self, _request: RerankRequest, _pairs: Sequence[tuple[str, str]]) -> list[Reading]:
        """Refuse; requests get here only if `check` has passed."""
        raise RequestError("relevant spans require a model that reads pairs", field="relevant_spans", status=400)

    def tokens(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        """Tokenise single texts."""
        with self._lock:
            return tokens_of(self._cutting.tokenizer, texts, special=special)
