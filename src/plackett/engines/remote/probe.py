"""The dialects of rerank servers: how a server wants to be asked, and how its scores are read.

Two shapes are spoken. TEI takes `texts` and answers `[{index, score}]`; Cohere, Jina, vLLM, Infinity and llama.cpp take
`documents` and answer `{results: [{index, relevance_score}]}`. What a score is differs more than its shape: a logit, or
a sigmoid of it, unless the server is asked for logits in words of its own. So a server of the second shape is asked one
question both ways, and its answers tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plackett.engines.remote.connection import Connection, Reply
from plackett.errors import RemoteError

RAW = {"raw_scores": True, "use_activation": False}  # Infinity's words and vLLM's
TEI = {"raw_scores": True, "truncate": True}

TEI_TEXTS = 32  # TEI's own default for texts in a request
TEXTS = 100  # Cohere counts up to 100 documents as one search

# A question whose documents every reranker scores apart from each other.
QUESTION = "what do cats eat"
ANSWERS = ["Cats eat meat: mice, birds and fish.", "The price of steel rose in March.", "0"]

CLOSE = 0.02  # between two answers to the same question, with room for a server that computes in half precision

# The outermost probabilities that are not 1 and 0, in the precision that they are computed in.
MOST, LEAST = 1 - 2.0**-53, 2.0**-149

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Dialect:
    """How one server is asked: at `path`, with the documents under the key `texts`, and with `words` beside them.

    `probabilities` says that scores are sigmoids of logits. At most `most_texts` go into a request. `says` is what the
    server tells of its model.
    """

    path: str
    texts: str
    words: Mapping[str, object]
    probabilities: bool
    most_texts: int
    says: str = ""

    def question(self, query: str, documents: Sequence[str]) -> dict[str, object]:
        """The body of a request."""
        return {"query": query, self.texts: list(documents), **self.words}

    def logits(self, body: object, count: int) -> NDArray[np.float32]:
        """The logits of `count` documents in their order, (count,). ValueError says what is wrong with an answer."""
        scores = read_scores(body, count)
        return (inverse_sigmoid(scores) if self.probabilities else scores).astype(np.float32)


def find_dialect(connection: Connection) -> Dialect:
    """Ask a server what it is. RemoteError where it is no reranker that can be asked."""
    info = connection.get("/info")
    if info.good and isinstance(info.body, dict) and "model_type" in info.body:
        return _tei(connection, info.body)
    words: dict[str, object] = {"model": connection.address.model} if connection.address.model else {}
    for path in connection.address.paths:
        asked = Dialect(path, "documents", words | RAW, False, TEXTS, f"{path} {connection.address.model or ''}")
        raw = _ask(connection, asked)
        if raw.status in {400, 422} and "texts" in raw.says:  # TEI without its /info, or a copy of it
            asked = replace(asked, texts="texts", words=TEI, most_texts=TEI_TEXTS)
            raw = _ask(connection, asked)
        if raw.status not in {404, 405}:
            return _with_scale(connection, asked, raw)
    raise connection.refusal(raw)


def gives_logits(raw: NDArray[np.float64], plain: NDArray[np.float64]) -> bool:
    """Whether scores asked for raw are logits, given those of the same documents without asking.

    They are where they lie outside of [0, 1], or where the others are their sigmoids and differ from them.
    """
    if raw.min() < 0 or raw.max() > 1:
        return True
    sigmoids = 1 / (1 + np.exp(-raw))
    return bool(np.abs(sigmoids - plain).max() < CLOSE and np.abs(raw - plain).max() > CLOSE)


def read_scores(body: object, count: int) -> NDArray[np.float64]:
    """The scores of either shape in the order of the documents, (count,). ValueError says what is wrong."""
    items = body.get("results") if isinstance(body, dict) else body
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("no list of scores")
    if len(items) != count:
        raise ValueError(f"{len(items)} scores for {count} documents")
    scores = np.full(count, np.nan)
    for item in items:
        index, score = item.get("index"), item.get("relevance_score", item.get("score"))
        if type(index) is not int or not 0 <= index < count:
            raise ValueError(f"the index {index!r} for {count} documents")
        if not np.isnan(scores[index]):
            raise ValueError(f"the index {index} twice")
        if type(score) not in (int, float) or not abs(score) <= LARGEST:
            raise ValueError(f"the score {str(score)[:40]}, which is no finite number")
        scores[index] = score
    return scores


def inverse_sigmoid(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logits of probabilities. Those of 0 and 1 stay finite, and are ties: what they were is lost."""
    if probabilities.min() < 0 or probabilities.max() > 1:
        worst = max(probabilities, key=lambda value: abs(value - 0.5))
        raise ValueError(f"the score {worst:g}, though its scores lay between 0 and 1 so far")
    inner = np.clip(probabilities, LEAST, MOST)
    logits: NDArray[np.float64] = np.log(inner) - np.log1p(-inner)
    return logits


def checked_scores(connection: Connection, reply: Reply, count: int) -> NDArray[np.float64]:
    """`read_scores` of an answer, with a RemoteError that names the server."""
    if not reply.good:
        raise connection.refusal(reply)
    try:
        return read_scores(reply.body, count)
    except ValueError as error:
        raise nonsense(connection, error) from error


def nonsense(connection: Connection, error: ValueError) -> RemoteError:
    """The error for an answer that holds no scores."""
    return RemoteError(f"{connection.address.host} answered {error}; is it a rerank server?")


def _ask(connection: Connection, dialect: Dialect) -> Reply:
    reply = connection.post(dialect.path, dialect.question(QUESTION, ANSWERS))
    if not reply.good and reply.status not in {400, 404, 405, 422}:
        raise connection.refusal(reply)
    return reply


def _with_scale(connection: Connection, asked: Dialect, raw: Reply) -> Dialect:
    """The dialect as it was asked where `raw`, the answer, holds logits; else one that asks for what is answered."""
    words = {name: value for name, value in asked.words.items() if name not in RAW}
    plain = replace(asked, words=words, probabilities=True)
    answered = checked_scores(connection, _ask(connection, plain), len(ANSWERS))
    if raw.good:  # Cohere takes no words but its own
        scores = checked_scores(connection, raw, len(ANSWERS))
        if raw.server == "llama.cpp" or gives_logits(scores, answered):
            return asked
    return _within(connection, plain, answered)


def _within(connection: Connection, dialect: Dialect, scores: NDArray[np.float64]) -> Dialect:
    try:
        inverse_sigmoid(scores)
    except ValueError as error:
        raise nonsense(connection, error) from error
    return dialect


def _tei(connection: Connection, info: Mapping[str, object]) -> Dialect:
    kind = info["model_type"]
    if not isinstance(kind, dict) or "reranker" not in kind:
        found = ", ".join(kind) if isinstance(kind, dict) else str(kind)
        raise RemoteError(f"{connection.address.host} serves a model of type {found}, which is no reranker")
    most = info.get("max_client_batch_size")
    path = connection.address.paths[-1]
    return Dialect(
        path,
        "texts",
        TEI,
        False,
        most if isinstance(most, int) and most > 0 else TEI_TEXTS,
        f"{info.get('model_id')} {info.get('model_sha')} {info.get('model_dtype')}",
    )
