"""The records that all dialects share, and `Dialect` itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from plackett.errors import RequestError

Scores = NDArray[np.floating[Any]]

RAW = "identity"  # the activation that leaves logits as they are


@dataclass(frozen=True)
class Document:
    """A document to rank: the text to score, and the JSON object that contained it, if any."""

    text: str
    source: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Span:
    """Part of a document, `[start, end)` in Unicode code points, with its relevance from 0 to 1."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class SpanOptions:
    """Options for the relevant spans that are returned with each document."""

    threshold: float = 0.1
    max_spans: int | None = None


@dataclass(frozen=True)
class RerankRequest:
    """A request in any dialect. None means that the client left a setting to the server.

    `queries` holds one query, or one for each document. `activation` overrides the server's; `RAW` returns logits. The
    `max_tokens` settings truncate longer texts, and `truncate=False` refuses pairs beyond the model's limit. `ignored`
    names the fields of the request that have no effect.
    """

    queries: tuple[str, ...]
    documents: tuple[Document, ...]
    model: str | None = None
    top_n: int | None = None
    min_score: float | None = None
    return_documents: bool = False
    activation: str | None = None
    truncate: bool = True
    truncation_side: str | None = None
    max_tokens: int | None = None
    max_tokens_per_doc: int | None = None
    max_tokens_per_query: int | None = None
    relevant_spans: SpanOptions | None = None
    instruction: str | None = None
    priority: int | None = None
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: str, documents: Sequence[str], **options: Any) -> Self:
        """Build a request to rank plain texts."""
        return cls((query,), tuple(map(Document, documents)), **options)

    @property
    def raw(self) -> bool:
        """Whether the request is for raw logits."""
        return self.activation == RAW

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return the (query, document) pairs to score, in input order."""
        queries = self.queries * len(self.documents) if len(self.queries) == 1 else self.queries
        return [(query, document.text) for query, document in zip(queries, self.documents, strict=True)]


@dataclass(frozen=True)
class Answer:
    """The results of a request, before a dialect formats them.

    `logits` and `scores` hold one value per pair, in input order. Documents are sorted by `logits`, because
    probabilities can be equal where logits differ; `scores` are returned. `tokens` is the number of tokens that the
    model read, `created` is in Unix seconds, and `spans` holds the relevant parts of documents by index.
    """

    logits: Scores
    scores: Scores
    model: str
    tokens: int
    id: str = ""
    created: int = 0
    spans: Mapping[int, Sequence[Span]] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """An error to report: the HTTP status, a message without any text from the request, and the field at fault."""

    status: int
    message: str
    field: str = ""
    id: str = ""

    @classmethod
    def of(cls, error: RequestError, id: str = "") -> Self:
        """Report an unreadable request."""
        return cls(error.status, str(error), error.field, id)


def never(_body: Mapping[str, object]) -> bool:
    """Match no request: only a path prefix selects this dialect."""
    return False


@dataclass(frozen=True)
class Dialect:
    """One wire format, in both directions: decoded JSON in, JSON values out. No HTTP, no engine.

    For a server, `recognises` decides by the fields of a request whether it is in this dialect, `parse` reads it, and
    `reply` and `error` build response bodies. Clients send requests to `paths`, where `{model}`
    stands for a model's name.

    For a client, `question` builds a request, `raw` holds the extra fields that make a server return logits, and
    `scores` reads the scores from a response, given the number of documents: float64, in input order.

    `parse` raises RequestError. `scores` raises RemoteError, to which the caller adds the server's name.
    """

    name: str
    paths: tuple[str, ...]
    parse: Callable[[object], RerankRequest]
    reply: Callable[[RerankRequest, Answer], object]
    error: Callable[[Problem], dict[str, object]]
    question: Callable[[RerankRequest], dict[str, object]]
    scores: Callable[[object, int], NDArray[np.float64]]
    recognises: Callable[[Mapping[str, object]], bool] = never
    raw: Mapping[str, object] = field(default_factory=dict)

    def ask(self, request: RerankRequest) -> dict[str, object]:
        """Build a request, with the fields of `raw` if it requests logits."""
        return {**self.question(request), **(self.raw if request.raw else {})}
