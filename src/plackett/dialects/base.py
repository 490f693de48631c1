"""What every dialect shares: the records that a server and its clients exchange, and `Dialect` itself."""

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
    """A document to rank: the text to score, and the JSON object it came in, if it came in one."""

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
    """Which relevant spans to return for each document."""

    threshold: float = 0.1
    max_spans: int | None = None


@dataclass(frozen=True)
class RerankRequest:
    """A request in any dialect. None means that the client left a setting to the server.

    `queries` holds one query, or one for each document. `activation` overrides the server's; `RAW` asks for logits.
    The `max_tokens` settings shorten what is longer, and `truncate=False` refuses pairs beyond the model's limit.
    `ignored` names the fields of the request that have no effect.
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
        """A request to rank plain texts."""
        return cls((query,), tuple(map(Document, documents)), **options)

    @property
    def raw(self) -> bool:
        """Whether it asks for logits."""
        return self.activation == RAW

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The (query, document) pairs to score, in input order."""
        queries = self.queries * len(self.documents) if len(self.queries) == 1 else self.queries
        return [(query, document.text) for query, document in zip(queries, self.documents, strict=True)]


@dataclass(frozen=True)
class Answer:
    """What a server found out about a request, before a dialect puts it into words.

    `logits` and `scores` hold one value for each pair, in input order: documents are sorted by `logits`, because
    scores such as probabilities can be equal where logits differ, and `scores` are returned. `tokens` counts those that
    the model read, `created` is in Unix seconds, and `spans` are the relevant parts of documents by index.
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
    """Why a server refuses: the HTTP status, a sentence without any of the request's content, the field at fault."""

    status: int
    message: str
    field: str = ""
    id: str = ""

    @classmethod
    def of(cls, error: RequestError, id: str = "") -> Self:
        """The problem that an unreadable request makes."""
        return cls(error.status, str(error), error.field, id)


def never(_body: Mapping[str, object]) -> bool:
    """For a dialect that cannot be recognised by a request: a path prefix selects it."""
    return False


@dataclass(frozen=True)
class Dialect:
    """One wire format, both ways: decoded JSON in, JSON values out. No HTTP, no engine.

    The server's side: `recognises` tells by the fields of a request whether it is in this dialect, `parse` reads it,
    `reply` and `error` build response bodies. `paths` are where clients send requests.

    The client's side: `question` builds a request, `raw` holds the fields that make its servers return logits, and
    `scores` reads a response: the scores of so many documents in input order, float64.

    `parse` raises RequestError, and `scores` RemoteError without the server's name.
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
        """The body of a request, with the fields that ask for logits if the request does."""
        return {**self.question(request), **(self.raw if request.raw else {})}
