"""Text Embeddings Inference: `texts` in, a bare list of `{index, score, text?}` out.

TEI itself ignores `top_n`, but its clients send it and expect it to work. Unlike in all other dialects, `error` must be
a string.
"""

from collections.abc import Mapping
from functools import partial

from plackett.dialects.base import Answer, Dialect, Problem, RerankRequest
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import LONGEST, plain_document, result_items
from plackett.dialects.scores import read_scores

NAMES = {
    "model": "model",
    "top_n": "top_n",
    "return_documents": "return_text",
    "truncation_side": "truncation_direction",
}
ERROR_TYPES = {424: "Backend", 429: "Overloaded", 503: "Unhealthy"}


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request has `texts`."""
    return body.get("texts") is not None


def reply(request: RerankRequest, answer: Answer) -> object:
    """Return the items alone."""
    return result_items(request, answer, score="score", document="text", shown=plain_document)


def error(problem: Problem) -> dict[str, object]:
    """Return a message with one of TEI's error types."""
    kind = ERROR_TYPES.get(problem.status, "Backend" if problem.status >= 500 else "Validation")
    if problem.status == 400 and problem.field:  # an empty list, as opposed to an unreadable body
        kind = "Empty"
    return {"error": problem.message[:LONGEST], "error_type": kind}


def question(request: RerankRequest) -> dict[str, object]:
    """Build a request that states `truncate`, because each server has its own default."""
    return {**write_request(request, NAMES, "texts"), "truncate": request.truncate}


TEI = Dialect(
    name="tei",
    paths=("/rerank", "/", "/invocations"),
    recognises=recognises,
    parse=partial(read_request, documents="texts"),
    reply=reply,
    error=error,
    question=question,
    raw={"raw_scores": True},
    scores=read_scores,
)
