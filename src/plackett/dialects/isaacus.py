"""Isaacus: `texts` in, `results` of `{index, score}` out. Its requests look like TEI's, so the path selects it."""

from functools import partial

from plackett.dialects.base import Answer, Dialect, RerankRequest
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import result_items, shared_error
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_n"}


def reply(request: RerankRequest, answer: Answer) -> object:
    """Build a reply with the items as `results`."""
    items = result_items(request, answer, score="score")
    return {"results": items, "usage": {"input_tokens": answer.tokens}}


ISAACUS = Dialect(
    name="isaacus",
    paths=("/rerankings", "/v1/rerankings"),
    parse=partial(read_request, documents="texts"),
    reply=reply,
    error=shared_error,
    question=partial(write_request, names=NAMES, documents="texts"),
    scores=read_scores,
)
