"""Reading texts for one checkpoint: shortening them as requested, tokenising pairs, and estimating their tokens."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plackett.checkpoints.folder import Checkpoint
from plackett.dialects import RerankRequest
from plackett.errors import RequestError
from plackett.explanations import Reading
from plackett.tokenization.batches import EncodedPairs
from plackett.tokenization.shared_query import SharedQueryTokenizer
from plackett.tokenization.shortening import CHARACTERS as CUT
from plackett.tokenization.shortening import SLACK
from plackett.tokenization.templates import AnyTokenizer, TemplateTokenizer, over, takes_instructions
from plackett.tokenization.tokenizer import read_tokenizer, truncation_side

CHARACTERS = 4  # per token, in the estimate


@dataclass(frozen=True)
class Token:
    """A token, and the part of the text that it stands for; special tokens stand for none and show their name."""

    id: int
    text: str
    special: bool
    start: int | None = None
    stop: int | None = None


class TextReader:
    """The tokenizer of a checkpoint. Threads may share it."""

    takes_instructions: bool

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.max_length = checkpoint.max_length
        self._checkpoint = checkpoint
        self.takes_instructions = checkpoint.template is not None and takes_instructions(checkpoint.template)
        self._tokenizer = read_tokenizer(checkpoint)
        self._side = truncation_side(self._tokenizer, self._checkpoint.inputs)
        self._pairs = over(self._tokenizer, checkpoint)
        self._special = self.max_length - self._pairs.room
        self._shared = SharedQueryTokenizer(self._tokenizer, token_types=checkpoint.inputs.token_types)
        self._lock = threading.Lock()  # creating a PairTokenizer changes the settings of its tokenizer

    def check(self, request: RerankRequest) -> None:
        """Raise RequestError for token limits that do not fit the model."""
        if request.max_tokens is not None and not self._special < request.max_tokens <= self.max_length:
            raise RequestError(
                f"a limit on tokens per pair must be above {self._special} and at most {self.max_length}",
                field="truncate_prompt_tokens",
                status=400,
            )

    def bounds(self, _request: RerankRequest, pairs: int) -> NDArray[np.int64]:
        """Return the first pair of each unit of work, and the end; each pair is one unit."""
        return np.arange(pairs + 1)

    def estimates(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
        """Estimate the tokens of each pair from its characters, (pairs,)."""
        return guessed(pairs, self._special, self.max_length)

    def encode(self, request: RerankRequest, pairs: Sequence[tuple[str, str]], indices: Sequence[int]) -> EncodedPairs:
        """Tokenise some pairs of a request; errors refer to `indices`.

        Raises RequestError for a pair beyond the limit if the request does not allow truncation.
        """
        side, limit = self._limits(request)
        with self._lock:
            texts = self._shortened(request, pairs, side, limit)
            tokenizer = self._pair_tokenizer(request, side, limit)
            rows = self._rows(tokenizer, texts, side, limit)
            if not request.truncate:
                _refuse_long(tokenizer, texts, rows, limit, indices)
        return rows

    def _rows(self, tokenizer: AnyTokenizer, texts: Sequence[tuple[str, str]], side: str, limit: int) -> EncodedPairs:
        """Tokenise pairs; a shared query is tokenised once, unless there is a template."""
        if isinstance(tokenizer, TemplateTokenizer):
            return tokenizer.encode(texts)
        queries, documents = {query for query, _ in texts}, [document for _, document in texts]
        query = texts[0][0]
        if len(queries) == 1 and self._shared.takes(query, documents, limit):
            return self._shared.encode(query, documents, limit, side)
        return tokenizer.encode(texts)

    def readings(self, request: RerankRequest, pairs: Sequence[tuple[str, str]]) -> list[Reading]:
        """Return the part of each document that its score comes from."""
        side, limit = self._limits(request)
        with self._lock:
            tokenizer = self._pair_tokenizer(request, side, limit)
            texts = self._shortened(request, pairs, side, limit)
            return [_reading(tokenizer, pair, text, side) for pair, text in zip(pairs, texts, strict=True)]

    def _limits(self, request: RerankRequest) -> tuple[str, int]:
        """Return the side at which long texts are cut, and the tokens of a pair."""
        return request.truncation_side or self._side, request.max_tokens or self.max_length

    def _pair_tokenizer(self, request: RerankRequest, side: str, limit: int) -> AnyTokenizer:
        tokenizer = self._pairs.limited(limit, left=side == "left")
        if request.instruction is not None and self.takes_instructions and isinstance(tokenizer, TemplateTokenizer):
            return tokenizer.instructed(request.instruction)
        return tokenizer

    def tokens(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        """Tokenise single texts."""
        with self._lock:
            return tokens_of(self._tokenizer, texts, special=special)

    def _shortened(
        self, request: RerankRequest, pairs: Sequence[tuple[str, str]], side: str, limit: int
    ) -> list[tuple[str, str]]:
        """Cut queries, each once, and documents.

        A query far beyond the limit is always cut, because it is tokenised again for each document.
        """
        of_query = limit + SLACK if request.max_tokens_per_query is None else request.max_tokens_per_query
        found = dict.fromkeys(query for query, _ in pairs)
        queries = {query: self._cut(self._checkpoint.prompt + query, of_query, side) for query in found}
        of_document = {query: self._document_limit(request, text) for query, text in queries.items()}
        return [(queries[query], self._cut(document, of_document[query], side)) for query, document in pairs]

    def _document_limit(self, request: RerankRequest, query: str) -> int | None:
        """Return the token limit of a document.

        A request's limit on pairs cuts only documents, because a truncated query has another meaning. If a query leaves
        no room, both are cut.
        """
        limits = [request.max_tokens_per_doc]
        if request.max_tokens is not None and request.truncate:
            tokens = len(self._tokenizer.encode(query, add_special_tokens=False))
            limits.append(request.max_tokens - self._special - tokens)
        return min((limit for limit in limits if limit is not None and limit > 0), default=None)

    def _cut(self, text: str, tokens: int | None, side: str) -> str:
        if tokens is None or len(text.encode()) <= tokens:  # no tokenizer makes more tokens than there are bytes
            return text
        most = (tokens + SLACK) * CUT
        near = text[-most:] if side == "left" else text[:most]
        offsets = self._tokenizer.encode(near, add_special_tokens=False).offsets
        if len(offsets) <= tokens:
            return near
        return near[offsets[-tokens][0] :] if side == "left" else near[: offsets[tokens - 1][1]]


def _refuse_long(
    tokenizer: AnyTokenizer,
    texts: Sequence[tuple[str, str]],
    rows: EncodedPairs,
    limit: int,
    indices: Sequence[int],
) -> None:
    most = (limit + SLACK) * CUT
    for row in map(int, np.flatnonzero(rows.lengths >= limit)):
        query, document = texts[row]
        if tokenizer.length((query[:most], document[:most])) > limit:
            name = f"document {indices[row]}"
            raise RequestError(f"{name} and its query have more than {limit} tokens", field="truncate")


def _reading(tokenizer: AnyTokenizer, pair: tuple[str, str], text: tuple[str, str], side: str) -> Reading:
    """Return the part of a document that the model reads, given its shortened `text`."""
    [(start, end)] = tokenizer.spans(text, tokenizer.longest_first)
    skipped = len(pair[1]) - len(text[1]) if side == "left" else 0
    return Reading(*pair, start + skipped, end + skipped)


def guessed(pairs: Sequence[tuple[str, str]], special: int, most: int) -> NDArray[np.int64]:
    """Estimate the tokens of each pair from its characters, (pairs,), including `special` ones, at most `most`."""
    characters = np.array([len(query) + len(document) for query, document in pairs], np.int64)
    return np.minimum(characters // CHARACTERS + special, most)


def tokens_of(tokenizer: Tokenizer, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
    """Tokenise single texts."""
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=special)
    return [_tokens(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]


def _tokens(text: str, encoding: Encoding) -> list[Token]:
    rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        Token(id, name, special=True) if special else Token(id, text[slice(*offsets)], False, *offsets)
        for id, name, special, offsets in rows
    ]
