"""Cohere v1 and v2: `documents` in, `results` out. The fallback for requests with `documents`.

v1 has `return_documents` and `rank_fields`, v2 `max_tokens_per_doc` and `relevant_spans`; both versions take all four
here, because clients mix them. Cohere's own servers return probabilities only, and refuse fields that they do not know.
"""

from collections.abc import Mapping
from functools import partial

from plackett.dialects.base import Answer, Dialect, RerankRequest
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import best_first, result_items, shared_error, shared_reply
from plackett.dialects.scores import read_scores

NAMES = {
    "model": "model",
    "top_n": "top_n",
    "return_documents": "return_documents",
    "max_tokens_per_doc": "max_tokens_per_doc",
    "priority": "priority",
}


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request holds `documents`."""
    return body.get("documents") is not None


def reply(request: RerankRequest, answer: Answer) -> object:
    """Build the shared reply, with `relevant_spans` in each result that has some."""
    items = result_items(request, answer)
    for item, index in zip(items, best_first(request, answer), strict=True):
        spans = answer.spans.get(index)
        if request.relevant_spans is not None and spans:
            item["relevant_spans"] = [{"start": span.start, "end": span.end, "score": span.score} for span in spans]
    return shared_reply(request, answer, items)


COHERE = Dialect(
    name="cohere",
    paths=("/v1/rerank", "/v2/rerank", "/rerank"),
    recognises=recognises,
    parse=read_request,
    reply=reply,
    error=shared_error,
    question=partial(write_request, names=NAMES),
    scores=read_scores,
)
