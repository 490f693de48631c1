"""Dialects: the wire formats of rerank servers, shared by the remote engine and the server.

To add one, copy the file and the test of the most similar dialect, and add an entry to `DIALECTS`. Shared code is in
the same package: the records (`base`), readers of requests (`requests`) and scores (`scores`), and the parts of
responses (`responses`).
"""

from collections.abc import Mapping

from plackett.dialects.base import Answer, Dialect, Document, Problem, RerankRequest, Span, SpanOptions
from plackett.dialects.cohere import COHERE
from plackett.dialects.deepinfra import DEEPINFRA
from plackett.dialects.infinity import INFINITY
from plackett.dialects.isaacus import ISAACUS
from plackett.dialects.jina import JINA
from plackett.dialects.llama_cpp import LLAMA_CPP
from plackett.dialects.mixedbread import MIXEDBREAD
from plackett.dialects.nim import NIM
from plackett.dialects.sentence_similarity import SENTENCE_SIMILARITY
from plackett.dialects.tei import TEI
from plackett.dialects.vllm import VLLM
from plackett.dialects.vllm_score import VLLM_SCORE
from plackett.dialects.voyage import VOYAGE

__all__ = [
    "DIALECTS",
    "Answer",
    "Dialect",
    "Document",
    "Problem",
    "RerankRequest",
    "Span",
    "SpanOptions",
    "recognise",
]

# By name, in the order in which a request is matched.
DIALECTS = {
    dialect.name: dialect
    for dialect in (
        TEI,
        SENTENCE_SIMILARITY,
        VLLM_SCORE,
        NIM,
        MIXEDBREAD,
        VOYAGE,
        COHERE,
        JINA,
        INFINITY,
        VLLM,
        LLAMA_CPP,
        ISAACUS,
        DEEPINFRA,
    )
}


def recognise(body: Mapping[str, object]) -> Dialect:
    """Return the first dialect that recognises a request's fields, otherwise Cohere's, whose error names them."""
    return next((dialect for dialect in DIALECTS.values() if dialect.recognises(body)), COHERE)
