"""Infinity: Cohere's format, except that documents are returned as strings.

Its requests look the same as vLLM's, but the clients of each fail on the other's documents, so a path prefix selects
this dialect.
"""

from functools import partial

from plackett.dialects.base import Dialect
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import documents_reply, plain_document, shared_error
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_n", "return_documents": "return_documents"}

INFINITY = Dialect(
    name="infinity",
    paths=("/rerank",),
    parse=read_request,
    reply=partial(documents_reply, shown=plain_document),
    error=shared_error,
    question=partial(write_request, names=NAMES),
    raw={"raw_scores": True},
    scores=read_scores,
)
