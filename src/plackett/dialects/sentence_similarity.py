"""Hugging Face sentence similarity: one sentence and others in `inputs`, a bare list of scores out, in input order."""

from collections.abc import Mapping

from plackett.dialects.base import Answer, Dialect, Problem, RerankRequest
from plackett.dialects.requests import UNRANKED, given_fields, read_request, write_texts
from plackett.dialects.responses import LONGEST, number
from plackett.dialects.scores import read_numbers
from plackett.errors import RequestError

SOURCE, SENTENCES = "source_sentence", "sentences"


def recognises(body: Mapping[str, object]) -> bool:
    """Whether `inputs` is an object."""
    return isinstance(body.get("inputs"), dict)


def parse(body: object) -> RerankRequest:
    """Read a request; other fields of the body work as in any dialect."""
    given = given_fields(body)
    inputs = given.pop("inputs", None)
    if not isinstance(inputs, dict):
        raise RequestError("inputs must be an object", field="inputs")
    return read_request({**given, **inputs}, query=SOURCE, documents=SENTENCES, unused=UNRANKED)


def reply(_request: RerankRequest, answer: Answer) -> object:
    """Return all scores in input order."""
    return [number(score) for score in answer.scores]


def error(problem: Problem) -> dict[str, object]:
    """Return a message."""
    return {"error": problem.message[:LONGEST]}


def question(request: RerankRequest) -> dict[str, object]:
    """Build a request for one query."""
    return {"inputs": {SOURCE: request.queries[0], SENTENCES: write_texts(request)}}


SENTENCE_SIMILARITY = Dialect(
    name="sentence_similarity",
    paths=("/",),
    recognises=recognises,
    parse=parse,
    reply=reply,
    error=error,
    question=question,
    scores=read_numbers,
)
