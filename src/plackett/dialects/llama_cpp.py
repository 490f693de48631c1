"""llama.cpp: Cohere's format. Its own server always returns logits, and never documents."""

from functools import partial

from plackett.dialects.base import Dialect
from plackett.dialects.requests import read_request, write_request
from plackett.dialects.responses import documents_reply, shared_error
from plackett.dialects.scores import read_scores

NAMES = {"model": "model", "top_n": "top_n"}

LLAMA_CPP = Dialect(
    name="llama_cpp",
    paths=("/rerank", "/reranking", "/v1/rerank", "/v1/reranking"),
    parse=read_request,
    reply=documents_reply,
    error=shared_error,
    question=partial(write_request, names=NAMES),
    scores=read_scores,
)
