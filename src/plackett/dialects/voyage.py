"""Voyage: `documents` and `top_k` in, `data` out.

`top_k` alone does not prove that the client is Voyage's, so the reply has `results` too: Voyage's clients read `data`
only, all others `results` only.
"""

from collections.abc import Mapping

from plackett.dialects.base import Answer, Dialect, RerankRequest
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import result_items, shared_error, shared_reply
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_k", "return_documents": "return_documents"}


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request with `documents` has a `truncation`, or a `top_k` without a `top_n`."""
    given = {name for name, value in body.items() if value is not None}
    return "documents" in given and ("truncation" in given or ("top_k" in given and "top_n" not in given))


def reply(request: RerankRequest, answer: Answer) -> object:
    """Build the shared reply, with the items under both names."""
    items = result_items(request, answer)
    return {**shared_reply(request, answer, items), "data": items}


def question(request: RerankRequest) -> dict[str, object]:
    """Build a request that states `truncation`."""
    return {**write_request(request, NAMES), "truncation": request.truncate}


VOYAGE = Dialect(
    name="voyage",
    paths=("/v1/rerank", "/rerank"),
    recognises=recognises,
    parse=read_request,
    reply=reply,
    error=shared_error,
    question=question,
    scores=read_scores,
)
