"""The endpoints that score texts."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from plackett.dialects import Answer, Dialect, Document, RerankRequest
from plackett.dialects.requests import UNRANKED, given_fields, read_options
from plackett.dialects.requests import text as read_text
from plackett.errors import RequestError
from plackett.serving.aside import aside
from plackett.serving.dispatch import choose
from plackett.serving.limits import check_counts, check_size, read_body
from plackett.serving.models import ServedModel
from plackett.serving.refusal import Refusal
from plackett.serving.replies import DIALECT, NOTES, json_response, warning_header
from plackett.serving.service import Service
from plackett.serving.settings import Settings
from plackett.serving.strict_json import read_json

TIMEOUT, PRIORITY = "x-request-timeout", "x-priority"
PRIORITIES = {"high": 0, "normal": 0, "low": 1}
NAMELESS = ("tei", "sentence_similarity")  # dialects without model names
LABEL = "LABEL_0"


async def rerank(service: Service, dialects: Sequence[Dialect], request: Request) -> Response:
    """Score a request in one of the dialects."""
    return await _rerank(service, dialects, request, *await _body(service, dialects, request))


async def rerank_or_predict(service: Service, dialects: Sequence[Dialect], request: Request) -> Response:
    """Score a request in one of the dialects, or for TEI's `/predict`."""
    body, size = await _body(service, dialects, request)
    if isinstance(body, dict) and isinstance(body.get("inputs"), str | list):
        return await _predict(service, request, body, size)
    return await _rerank(service, dialects, request, body, size)


async def predict(service: Service, request: Request) -> Response:
    """Score pairs like TEI's `/predict`."""
    return await _predict(service, request, *await _body(service, (), request))


async def _body(service: Service, dialects: Sequence[Dialect], request: Request) -> tuple[object, int]:
    """Return the body of a request, and its size in bytes."""
    content = await read_body(request, service.settings, service.buffer)
    if b'"texts"' in content and any(dialect.name == "tei" for dialect in dialects):
        request.scope[DIALECT] = "tei"  # for the error, if the rest is unreadable
    return await aside(len(content), read_json, content, service.settings.max_nesting), len(content)


async def _rerank(service: Service, dialects: Sequence[Dialect], request: Request, body: object, size: int) -> Response:
    dialect = choose(dialects, body)
    request.scope[DIALECT] = dialect.name
    parsed = await aside(size, _parse, service.settings, dialect, body)
    answer, model = await _answer(service, request, parsed, strict=dialect.name not in NAMELESS)
    return await aside(size, _reply, dialect, parsed, answer, _warning(parsed, model))


def _parse(settings: Settings, dialect: Dialect, body: object) -> RerankRequest:
    check_counts(body, settings)
    return dialect.parse(body)


def _warning(parsed: RerankRequest, model: ServedModel) -> dict[str, str]:
    """Return the header that names the fields without effect on the model."""
    ignores_instruction = parsed.instruction is not None and not model.reader.takes_instructions
    return warning_header([*parsed.ignored, *(["instruction"] if ignores_instruction else [])])


def _reply(dialect: Dialect, parsed: RerankRequest, answer: Answer, headers: Mapping[str, str]) -> Response:
    return json_response(dialect.reply(parsed, answer), headers=headers)


async def _answer(
    service: Service, request: Request, parsed: RerankRequest, *, strict: bool
) -> tuple[Answer, ServedModel]:
    """Return the answer to a request, and the model that computed it."""
    check_size(parsed, service.settings)
    model = service.models.find(request.path_params.get("model") or parsed.model, strict=strict)
    seconds = _seconds(request, service.settings.request_timeout)
    prioritised = _with_priority(request, parsed)
    with service.trace(request.headers, prioritised, model.name) as finish:
        answer = await service.answer(prioritised, model, _gone(request), seconds)
        finish(answer)
    request.scope[NOTES].update(model=model.name, documents=len(parsed.documents), tokens=answer.tokens)
    return answer, model


async def _gone(request: Request) -> None:
    """Return when the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _seconds(request: Request, most: float) -> float:
    text = request.headers.get(TIMEOUT)
    if text is None:
        return most
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise Refusal(400, "X-Request-Timeout must be a number of seconds above 0")
    return min(seconds, most)


def _with_priority(request: Request, parsed: RerankRequest) -> RerankRequest:
    """Use the priority in the header, unless the body sets one."""
    text = request.headers.get(PRIORITY, "").strip().lower()
    if not text or parsed.priority is not None:
        return parsed
    if text not in PRIORITIES and not (text.isdecimal() and len(text) < 10):
        raise Refusal(400, "X-Priority must be normal, low, or a number from 0, the most urgent")
    return replace(parsed, priority=PRIORITIES[text] if text in PRIORITIES else int(text))


# TEI's /predict: one pair, or a list of pairs.


async def _predict(service: Service, request: Request, body: object, size: int) -> Response:
    request.scope[DIALECT] = "tei"
    is_one, parsed = await aside(size, _parse_pairs, service.settings, body)
    began, method = time.perf_counter(), "single" if is_one else "batch"
    service.metrics.count("te_predict_count", method)
    answer, model = await _answer(service, request, parsed, strict=False)
    service.metrics.count("te_predict_success", method)
    service.metrics.observe("te_predict_duration", time.perf_counter() - began)
    items = [[{"score": float(str(score)), "label": LABEL}] for score in answer.scores]
    return json_response(items[0] if is_one else items, headers=_warning(parsed, model))


def _parse_pairs(settings: Settings, body: object) -> tuple[bool, RerankRequest]:
    """Read a request, and return whether it has a single pair."""
    check_counts(body, settings)
    given = given_fields(body)
    is_one, pairs = _pairs(given.get("inputs"))
    queries, documents = (tuple(texts) for texts in zip(*pairs, strict=True))
    options = read_options(given, {"inputs"}, UNRANKED)
    return is_one, RerankRequest(queries, tuple(map(Document, documents)), **options)


def _pairs(inputs: object) -> tuple[bool, list[tuple[str, str]]]:
    """Read one pair or a list of pairs, and return whether it was a single one."""
    if not isinstance(inputs, list):
        raise RequestError("inputs must be a pair of texts or a list of pairs", field="inputs")
    if not inputs:
        raise RequestError("inputs is empty", field="inputs", status=400)
    is_one = all(isinstance(item, str) for item in inputs)
    return is_one, [_pair(index, pair) for index, pair in enumerate([inputs] if is_one else inputs)]


def _pair(index: int, pair: object) -> tuple[str, str]:
    name = f"inputs[{index}]"
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(item, str) for item in pair):
        raise RequestError(f"{name} must be a pair of texts: a query and a document", field=name)
    return read_text(name, pair[0]), read_text(name, pair[1])
