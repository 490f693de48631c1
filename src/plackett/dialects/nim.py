"""NVIDIA NIM: a query and `passages` as objects in, `rankings` of `{index, logit}` out, always logits."""

from collections.abc import Mapping
from dataclasses import replace

from plackett.dialects.base import RAW, Answer, Dialect, RerankRequest
from plackett.dialects.requests import read_request, write_options, write_texts
from plackett.dialects.responses import result_items, shared_error, usage
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_n"}
TRUNCATE = {True: "END", False: "NONE"}
UNUSED = ("activation", "return_documents")


def recognises(body: Mapping[str, object]) -> bool:
    """Whether a request has `passages`."""
    return body.get("passages") is not None


def parse(body: object) -> RerankRequest:
    """Read a request, always as one for logits."""
    return replace(read_request(body, documents="passages", unused=UNUSED), activation=RAW)


def reply(request: RerankRequest, answer: Answer) -> object:
    """Build a reply of logits, best first."""
    items = result_items(replace(request, return_documents=False), answer, score="logit")
    return {"rankings": items, "usage": usage(answer)}


def question(request: RerankRequest) -> dict[str, object]:
    """Build a request of objects that states `truncate`."""
    texts = {"query": {"text": request.queries[0]}, "passages": [{"text": text} for text in write_texts(request)]}
    return {**texts, **write_options(request, NAMES), "truncate": TRUNCATE[request.truncate]}


NIM = Dialect(
    name="nim",
    paths=("/v1/ranking", "/v1/retrieval/{model}/reranking"),
    recognises=recognises,
    parse=parse,
    reply=reply,
    error=shared_error,
    question=question,
    scores=read_scores,
)
