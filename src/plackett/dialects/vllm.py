"""vLLM's `/rerank`: Cohere's format with token limits. `top_n: 0` means all documents."""

from functools import partial

from plackett.dialects.base import Dialect, RerankRequest
from plackett.dialects.requests import given_fields, read_request, write_request
from plackett.dialects.responses import documents_reply, shared_error
from plackett.dialects.scores import read_scores

NAMES = {
    "model": "model",
    "top_n": "top_n",
    "max_tokens": "truncate_prompt_tokens",
    "truncation_side": "truncation_side",
    "max_tokens_per_doc": "max_tokens_per_doc",
    "max_tokens_per_query": "max_tokens_per_query",
    "instruction": "instruction",
    "priority": "priority",
}


def parse(body: object) -> RerankRequest:
    """Read a request, ignoring a `top_n` of 0."""
    given = given_fields(body)
    if type(given.get("top_n")) is int and given["top_n"] == 0:
        del given["top_n"]
    return read_request(given)


VLLM = Dialect(
    name="vllm",
    paths=("/rerank", "/v1/rerank", "/v2/rerank", "/invocations"),
    parse=parse,
    reply=documents_reply,
    error=shared_error,
    question=partial(write_request, names=NAMES),
    raw={"use_activation": False},
    scores=read_scores,
)
