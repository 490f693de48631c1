"""Determine how to query a server: its dialect, its path, and whether it returns logits.

TEI is recognised by its `/info`. All others use Cohere's format, but their scores are either logits, or probabilities
unless a server-specific field in the request selects logits. So the same request is sent twice, with all such fields
and without them, and the two replies are compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from plackett.dialects import DIALECTS, Dialect, RerankRequest
from plackett.dialects.cohere import COHERE
from plackett.dialects.scores import inverse_sigmoid
from plackett.dialects.tei import TEI
from plackett.engines.remote.connection import Connection, Reply
from plackett.errors import RemoteError

Float = TypeVar("Float", bound=np.floating[Any])

# Every field that makes some server return logits.
RAW = {name: value for dialect in DIALECTS.values() for name, value in dialect.raw.items()}

TEI_TEXTS = 32  # TEI's own default for texts in a request
TEXTS = 100  # Cohere counts up to 100 documents as one search

# A question whose documents get different scores from every reranker.
QUESTION = "what do cats eat"
ANSWERS = ["Cats eat meat: mice, birds and fish.", "The price of steel rose in March.", "0"]

CLOSE = 0.02  # two replies to the same question, with room for a server that computes in half precision


@dataclass(frozen=True)
class Server:
    """How to query one server: its dialect, its path, and its maximum number of documents per request, `most_texts`.

    `raw` holds the fields that request logits; if empty, the server's scores are probabilities. `says` describes the
    server's model.
    """

    dialect: Dialect
    path: str
    raw: Mapping[str, object]
    most_texts: int
    model: str | None = None
    says: str = ""

    def question(self, query: str, documents: Sequence[str]) -> dict[str, object]:
        """Build the body of a request."""
        return {**self.dialect.question(RerankRequest.of(query, documents, model=self.model)), **self.raw}

    def scores(self, body: object, count: int) -> NDArray[np.float64]:
        """Read the scores of `count` documents, as the server scales them. RemoteError if there are none."""
        return self.dialect.scores(body, count)

    def logits(self, body: object, count: int) -> NDArray[np.float32]:
        """Read the logits of `count` documents, (count,), in input order. RemoteError if there are none."""
        scores = self.scores(body, count)
        return (scores if self.raw else inverse_sigmoid(scores)).astype(np.float32)


def find_server(connection: Connection) -> Server:
    """Determine how to query a server. RemoteError if it is not a reranker, or uses no known dialect."""
    info = connection.get("/info")
    if info.good and isinstance(info.body, dict) and "model_type" in info.body:
        return _tei(connection, info.body)
    model = connection.address.model
    for path in connection.address.paths:
        server = Server(COHERE, path, RAW, TEXTS, model, f"{path} {model or ''}")
        raw = _ask(connection, server)
        if raw.status in {400, 422} and "texts" in raw.says:  # TEI without its /info, or a compatible server
            server = replace(server, dialect=TEI, raw=TEI.raw, most_texts=TEI_TEXTS, model=None)
            raw = _ask(connection, server)
        if raw.status not in {404, 405}:
            return _with_scale(connection, server, raw)
    raise connection.refusal(raw)


def gives_logits(raw: NDArray[np.float64], plain: NDArray[np.float64]) -> bool:
    """Whether scores that were requested as logits are logits, given the scores of a plain request.

    They are if any is outside [0, 1], or if the plain scores are their sigmoids and differ from them.
    """
    if raw.min() < 0 or raw.max() > 1:
        return True
    sigmoids = 1 / (1 + np.exp(-raw))
    return bool(np.abs(sigmoids - plain).max() < CLOSE and np.abs(raw - plain).max() > CLOSE)


def read_reply(
    connection: Connection, reply: Reply, read: Callable[[object, int], NDArray[Float]], count: int
) -> NDArray[Float]:
    """Apply `read` to a reply about `count` documents. RemoteError, with the server's name, if it fails."""
    if not reply.good:
        raise connection.refusal(reply)
    try:
        return read(reply.body, count)
    except RemoteError as error:
        raise RemoteError(f"{connection.address.host} returned {error}; is it a rerank server?") from error


def _ask(connection: Connection, server: Server) -> Reply:
    reply = connection.post(server.path, server.question(QUESTION, ANSWERS))
    if not reply.good and reply.status not in {400, 404, 405, 422}:
        raise connection.refusal(reply)
    return reply


def _with_scale(connection: Connection, server: Server, raw: Reply) -> Server:
    """Return `server` if `raw`, its reply, holds logits; otherwise a server that returns probabilities."""
    plain = replace(server, raw={})
    reply = _ask(connection, plain)
    scores = read_reply(connection, reply, plain.scores, len(ANSWERS))
    if raw.good:  # Cohere refuses the fields that ask for logits
        logits = read_reply(connection, raw, server.scores, len(ANSWERS))
        if raw.server == "llama.cpp" or gives_logits(logits, scores):
            return server
    read_reply(connection, reply, plain.logits, len(ANSWERS))
    return plain


def _tei(connection: Connection, info: Mapping[str, object]) -> Server:
    kind = info["model_type"]
    if not isinstance(kind, dict) or "reranker" not in kind:
        found = ", ".join(kind) if isinstance(kind, dict) else str(kind)
        raise RemoteError(f"{connection.address.host} serves a model of type {found}, not a reranker")
    most = info.get("max_client_batch_size")
    return Server(
        TEI,
        connection.address.paths[-1],
        TEI.raw,
        most if isinstance(most, int) and most > 0 else TEI_TEXTS,
        says=f"{info.get('model_id')} {info.get('model_sha')} {info.get('model_dtype')}",
    )
