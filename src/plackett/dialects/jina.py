"""Jina: Cohere's format with `usage`; its clients read errors from `detail`. It returns probabilities only."""

from functools import partial

from plackett.dialects.base import Dialect
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import documents_reply, shared_error
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_n", "return_documents": "return_documents"}

JINA = Dialect(
    name="jina",
    paths=("/v1/rerank",),
    parse=read_request,
    reply=documents_reply,
    error=shared_error,
    question=partial(write_request, names=NAMES),
    scores=read_scores,
)
