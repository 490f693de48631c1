"""Mixedbread: `input` in, `data` of `{index, score, input?}` out."""

from collections.abc import Mapping
from functools import partial

from plackett.dialects.base import Answer, Dialect, RerankRequest
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import given_document, result_items, shared_error, usage
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_k", "return_documents": "return_input"}


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request has `input`."""
    return body.get("input") is not None


def reply(request: RerankRequest, answer: Answer) -> object:
    """Build a reply with the items as `data`."""
    items = result_items(request, answer, score="score", document="input", shown=given_document)
    reply = {"id": answer.id, "object": "list", "created": answer.created, "model": answer.model}
    return {**reply, "data": items, "usage": usage(answer)}


MIXEDBREAD = Dialect(
    name="mixedbread",
    paths=("/v1/reranking",),
    recognises=recognises,
    parse=partial(read_request, documents="input"),
    reply=reply,
    error=shared_error,
    question=partial(write_request, names=NAMES, documents="input"),
    scores=read_scores,
)
