"""vLLM's `/score`: two sides of texts in, one score for each pair out, in input order.

One text on the left is paired with every text on the right; otherwise both sides are of the same length.
"""

from collections.abc import Mapping
from functools import partial

from plackett.dialects.base import Answer, Dialect, RerankRequest
from plackett.dialects.requests import read_sides, write_options, write_texts
from plackett.dialects.responses import number, shared_error, usage
from plackett.dialects.scores import read_scores

SIDES = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))
NAMES = {
    "model": "model",
    "max_tokens": "truncate_prompt_tokens",
    "truncation_side": "truncation_side",
    "max_tokens_per_doc": "max_tokens_per_doc",
    "max_tokens_per_query": "max_tokens_per_query",
    "instruction": "instruction",
    "priority": "priority",
}


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request has the left side."""
    return any(body.get(left) is not None for left, _ in SIDES)


def reply(_request: RerankRequest, answer: Answer) -> object:
    """Build a reply with all scores in input order."""
    items = [{"index": index, "object": "score", "score": number(score)} for index, score in enumerate(answer.scores)]
    reply = {"id": answer.id, "object": "list", "created": answer.created, "model": answer.model}
    return {**reply, "data": items, "usage": usage(answer)}


def question(request: RerankRequest) -> dict[str, object]:
    """Build a request with two lists."""
    return {"queries": list(request.queries), "documents": write_texts(request), **write_options(request, NAMES)}


VLLM_SCORE = Dialect(
    name="vllm_score",
    paths=("/score", "/v1/score"),
    recognises=recognises,
    parse=partial(read_sides, names=SIDES),
    reply=reply,
    error=shared_error,
    question=question,
    raw={"use_activation": False},
    scores=read_scores,
)
