"""DeepInfra: `queries` and `documents` of the same length in, `scores` in input order out.

Its requests look like those of vLLM's `/score`, so the path selects it. The path also names the model.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from plackett.dialects.base import Answer, Dialect, RerankRequest
from plackett.dialects.requests import DOCUMENTS, read_sides, write_options, write_texts
from plackett.dialects.responses import number, shared_error
from plackett.dialects.scores import read_numbers
from plackett.errors import RemoteError

QUERIES = "queries"
NAMES = {"instruction": "instruction"}


def reply(_request: RerankRequest, answer: Answer) -> object:
    """Build a reply with all scores in input order."""
    scores = [number(score) for score in answer.scores]
    status = {"status": "succeeded", "tokens_input": answer.tokens}
    return {"scores": scores, "input_tokens": answer.tokens, "request_id": answer.id, "inference_status": status}


def question(request: RerankRequest) -> dict[str, object]:
    """Build a request with the query of each document."""
    queries = [query for query, _ in request.pairs]
    return {QUERIES: queries, DOCUMENTS[0]: write_texts(request), **write_options(request, NAMES)}


def scores(body: object, count: int) -> NDArray[np.float64]:
    """Read the scores of a reply, (count,)."""
    if not isinstance(body, Mapping) or "scores" not in body:
        raise RemoteError("no list of scores")
    return read_numbers(body["scores"], count)


DEEPINFRA = Dialect(
    name="deepinfra",
    paths=("/inference/{model}",),
    parse=partial(read_sides, names=[(QUERIES, DOCUMENTS[0])]),
    reply=reply,
    error=shared_error,
    question=question,
    scores=scores,
)
