"""Build responses: the order and number format of all dialects, and the reply and error that most of them share.

The shared reply has the fields of Cohere, Jina, vLLM, Infinity and llama.cpp at once, and the shared error those of
their clients.
"""

from collections.abc import Callable
from dataclasses import asdict
from math import ceil
from typing import Any

import numpy as np

from plackett.dialects.base import Answer, Document, Problem, RerankRequest
from plackett.ranking import stable_order

SEARCH_UNIT = 100  # documents that Cohere bills as one search
LONGEST = 1000  # characters of an error message

ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def best_first(request: RerankRequest, answer: Answer) -> list[int]:
    """Return the indices of the documents to return, best first; equal logits keep the input order."""
    order = stable_order(answer.logits)
    if request.min_score is not None:
        order = order[answer.scores[order].astype(np.float64) >= request.min_score]  # as the library compares
    return [int(index) for index in order[: request.top_n]]


def number(score: np.floating[Any]) -> float:
    """Convert a score to the shortest decimal that reads back the same in its precision."""
    return float(str(score))


def whole_document(document: Document) -> object:
    """Return the object that held the document, or a new one with its text."""
    return {"text": document.text} if document.source is None else document.source


def given_document(document: Document) -> object:
    """Return the document in the form in which it was sent."""
    return document.text if document.source is None else document.source


def plain_document(document: Document) -> object:
    """Return the text of the document."""
    return document.text


def result_items(
    request: RerankRequest,
    answer: Answer,
    *,
    score: str = "relevance_score",
    document: str = "document",
    shown: Callable[[Document], object] = whole_document,
) -> list[dict[str, object]]:
    """Build one item per document, best first. `score` and `document` name fields; `shown` formats the document.

    Relevant spans are included in Cohere's format.
    """
    items: list[dict[str, object]] = []
    for index in best_first(request, answer):
        item: dict[str, object] = {"index": index, score: number(answer.scores[index])}
        if request.return_documents:
            item[document] = shown(request.documents[index])
        if spans := answer.spans.get(index):
            item["relevant_spans"] = [asdict(span) for span in spans]
        items.append(item)
    return items


def usage(answer: Answer) -> dict[str, int]:
    """Report the tokens under OpenAI's names."""
    return {"prompt_tokens": answer.tokens, "completion_tokens": 0, "total_tokens": answer.tokens}


def shared_reply(request: RerankRequest, answer: Answer, items: list[dict[str, object]]) -> dict[str, object]:
    """Build a reply with `results` that serves the clients of every dialect with `documents`."""
    units = ceil(len(request.documents) / SEARCH_UNIT)
    return {
        "id": answer.id,
        "object": "rerank",
        "created": answer.created,
        "model": answer.model,
        "results": items,
        "usage": usage(answer),
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": units},
            "tokens": {"input_tokens": answer.tokens, "output_tokens": 0},
        },
    }


def documents_reply(
    request: RerankRequest, answer: Answer, *, shown: Callable[[Document], object] = whole_document
) -> dict[str, object]:
    """Build the shared reply with one item per document."""
    return shared_reply(request, answer, result_items(request, answer, shown=shown))


def shared_error(problem: Problem) -> dict[str, object]:
    """Build an error for clients that read `message` (Cohere), `detail` (Jina) or `error.message` (OpenAI)."""
    message = problem.message[:LONGEST]
    kind = ERROR_TYPES.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": problem.field or None, "code": problem.status}
    return {"id": problem.id, "message": message, "detail": message, "error": error}
