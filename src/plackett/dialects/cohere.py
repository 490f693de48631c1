"""Cohere v1 and v2: `documents` in, `results` out. The fallback for requests with `documents`.

v1 has `return_documents` and `rank_fields`, v2 `max_tokens_per_doc` and `relevant_spans`; both versions take all four
here, because clients mix them. Cohere's own servers return probabilities only, and refuse fields that they do not know.
"""

from collections.abc import Mapping
from functools import partial

from plackett.dialects.base import Dialect
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import documents_reply, shared_error
from plackett.dialects.scores import read_scores

NAMES = {
    "model": "model",
    "top_n": "top_n",
    "return_documents": "return_documents",
    "max_tokens_per_doc": "max_tokens_per_doc",
    "priority": "priority",
}

# Paths of clients that use the same format: ZeroEntropy's, and LiteLLM's for Fireworks.
OF_OTHERS = ("/models/rerank", "/v1/models/rerank", "/inference/v1/rerank")


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request has `documents`."""
    return body.get("documents") is not None


COHERE = Dialect(
    name="cohere",
    paths=("/v1/rerank", "/v2/rerank", "/rerank", *OF_OTHERS),
    recognises=recognises,
    parse=read_request,
    reply=documents_reply,
    error=shared_error,
    question=partial(write_request, names=NAMES),
    scores=read_scores,
)
