"""Read and write requests, with one set of rules for all dialects.

A server accepts every field of every dialect. Fields that are null count as absent, a document is a string or an
object, and fields that have no effect are listed, not refused.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from plackett.dialects.base import RAW, Document, RerankRequest, SpanOptions
from plackett.errors import RequestError

QUERY = "query"
DOCUMENTS = ("documents", "texts", "input", "passages")
RANK_FIELDS = "rank_fields"

UNRANKED = ("top_n", "min_score", "return_documents", "relevant_spans")
"""Attributes of a request that do not affect a reply of all scores in input order."""

TRUNCATE = {"none": False, "end": True, "start": True}  # NIM's words
SIDES = ("left", "right")

DEFAULTS = {field.name: field.default for field in dataclasses.fields(RerankRequest)}


def given_fields(body: object) -> dict[str, object]:
    """Return the fields of a request that are not null. RequestError if it is not a JSON object."""
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    return {name: value for name, value in body.items() if value is not None}


def read_request(
    body: object, *, query: str = QUERY, documents: str = DOCUMENTS[0], unused: Collection[str] = ()
) -> RerankRequest:
    """Read a request. `query` and `documents` name its fields; other dialects' names for documents work too.

    `unused` names the attributes of the request that do not affect the dialect's replies.
    """
    given = given_fields(body)
    key = next((name for name in (documents, *DOCUMENTS) if name in given), documents)
    for name in (query, key):
        if name not in given:
            raise RequestError(f"{name} is missing", field=name)
    found = passages(key, given[key], _rank_fields(given))
    options = read_options(given, {query, key, RANK_FIELDS}, unused)
    return RerankRequest((passage(query, given[query]).text,), found, **options)


def read_sides(body: object, names: Sequence[tuple[str, str]]) -> RerankRequest:
    """Read two sides of pairs under the first names that are given: one query or as many as there are documents.

    The reply has all scores in input order.
    """
    given = given_fields(body)
    sides = next((pair for pair in names if pair[0] in given and pair[1] in given), None)
    if sides is None:
        raise RequestError(f"the body must have {' or '.join(' and '.join(pair) for pair in names)}")
    left, right = (passages(name, given[name]) for name in sides)
    if len(left) not in (1, len(right)):
        raise RequestError(f"{sides[0]} must contain one text, or as many as {sides[1]}", field=sides[0], status=400)
    return RerankRequest(tuple(item.text for item in left), right, **read_options(given, {*sides}, UNRANKED))


def read_options(given: Mapping[str, object], used: set[str], unused: Collection[str] = ()) -> dict[str, Any]:
    """Read the settings, by attribute of `RerankRequest`, except `unused` ones.

    `used` names the fields that are read elsewhere.
    """
    options: dict[str, Any] = {}
    readers = {name: option for name, option in OPTIONS.items() if option[0] not in unused}
    for name, (attribute, read) in readers.items():
        if name in given and (value := read(name, given[name])) is not None:
            options.setdefault(attribute, value)
    ignored = tuple(sorted(given.keys() - used - readers.keys()))
    return {**options, "ignored": ignored}


def write_options(request: RerankRequest, names: Mapping[str, str]) -> dict[str, object]:
    """Write the settings that differ from their defaults. `names` maps attributes of the request to fields."""
    values = {name: getattr(request, attribute) for attribute, name in names.items()}
    return {name: values[name] for attribute, name in names.items() if values[name] != DEFAULTS[attribute]}


def write_request(request: RerankRequest, names: Mapping[str, str], documents: str = DOCUMENTS[0]) -> dict[str, object]:
    """Write a request: the query, the texts of the documents, and the settings that differ from their defaults."""
    return {QUERY: request.queries[0], documents: write_texts(request), **write_options(request, names)}


def write_texts(request: RerankRequest) -> list[str]:
    """Return the texts of the documents."""
    return [document.text for document in request.documents]


def text(name: str, value: object) -> str:
    """Read a string without unpaired surrogates."""
    if not isinstance(value, str):
        raise RequestError(f"{name} must be a string", field=name)
    _check_encodable(name, value)
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """Read a list of strings, or one string."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise RequestError(f"{name} must be a list of strings", field=name)
    if not items:
        raise RequestError(f"{name} is empty", field=name, status=400)
    return tuple(text(f"{name}[{index}]", item) for index, item in enumerate(items))


def passage(name: str, value: object, rank_fields: Sequence[str] = ("text",)) -> Document:
    """Read a string, or an object whose `rank_fields`, or else `text`, are joined in order."""
    if isinstance(value, str):
        return Document(text(name, value))
    if not isinstance(value, dict):
        raise RequestError(f"{name} must be a string or an object", field=name)
    parts = _parts(value, rank_fields) or _parts(value, ["text"])
    if not parts:
        raise RequestError(f"{name} has no text, nor any of {RANK_FIELDS}", field=name)
    _check_encodable(name, value)
    words = (part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
    return Document("\n".join(words), value)


def _parts(value: Mapping[str, object], fields: Sequence[str]) -> list[object]:
    return [value[key] for key in fields if value.get(key) is not None]


def passages(name: str, value: object, rank_fields: Sequence[str] = ("text",)) -> tuple[Document, ...]:
    """Read a list of strings and objects, or one string."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise RequestError(f"{name} must be a list", field=name)
    if not items:
        raise RequestError(f"{name} is empty", field=name, status=400)
    return tuple(passage(f"{name}[{index}]", item, rank_fields) for index, item in enumerate(items))


def _rank_fields(given: Mapping[str, object]) -> tuple[str, ...]:
    return ("text",) if given.get(RANK_FIELDS, []) == [] else texts(RANK_FIELDS, given[RANK_FIELDS])


def _check_encodable(name: str, value: object) -> None:
    """Refuse unpaired surrogates, and objects that cannot be returned as JSON."""
    try:
        if isinstance(value, str):
            value.encode()
        else:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise RequestError(f"{name} contains characters or numbers that JSON cannot represent", field=name) from None


# The settings, by field name.


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false", field=name)
    return value


def _whole(least: int) -> Callable[[str, object], int]:
    def read(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise RequestError(f"{name} must be a whole number of at least {least}", field=name)
        return value

    return read


def _tokens(least: int) -> Callable[[str, object], int | None]:
    """Read a number of tokens as vLLM does: 0, and -1 for the whole pair, mean the model's limit."""

    def read(name: str, value: object) -> int | None:
        number = _integer(name, value)
        if number < least:
            raise RequestError(f"{name} must be a whole number of at least {least}", field=name, status=400)
        return max(0, number) or None

    return read


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(f"{name} must be a whole number", field=name)
    return value


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"{name} must be a number", field=name)
    return number


def _raw_if(wanted: bool) -> Callable[[str, object], str | None]:
    return lambda name, value: RAW if _flag(name, value) is wanted else None


def _truncate(name: str, value: object) -> bool:
    if isinstance(value, str) and value.lower() in TRUNCATE:
        return TRUNCATE[value.lower()]
    return _flag(name, value)


def _side(name: str, value: object) -> str:
    side = value.lower() if isinstance(value, str) else ""
    if side not in SIDES:
        raise RequestError(f"{name} must be {' or '.join(SIDES)}", field=name)
    return side


def _spans(name: str, value: object) -> SpanOptions | None:
    """Read Cohere's `{mode, threshold, max_spans}`."""
    given = given_fields(value) if isinstance(value, dict) else {}
    mode = given.get("mode")
    if mode not in ("enabled", "disabled"):
        raise RequestError(f"{name}.mode must be enabled or disabled", field=name)
    threshold = _number(f"{name}.threshold", given.get("threshold", SpanOptions.threshold))
    most = _whole(1)(f"{name}.max_spans", given["max_spans"]) if "max_spans" in given else None
    return SpanOptions(threshold, most) if mode == "enabled" else None


# Field -> (attribute of RerankRequest, its reader). If several fields set an attribute, the first one here wins.
OPTIONS: Mapping[str, tuple[str, Callable[[str, object], object]]] = {
    "model": ("model", text),
    "top_n": ("top_n", _whole(1)),
    "top_k": ("top_n", _whole(1)),
    "min_score": ("min_score", _number),
    "return_documents": ("return_documents", _flag),
    "return_text": ("return_documents", _flag),
    "return_input": ("return_documents", _flag),
    "raw_scores": ("activation", _raw_if(True)),
    "use_activation": ("activation", _raw_if(False)),
    "activation": ("activation", text),
    "truncate": ("truncate", _truncate),
    "truncation": ("truncate", _truncate),
    "truncation_side": ("truncation_side", _side),
    "truncation_direction": ("truncation_side", _side),
    "truncate_prompt_tokens": ("max_tokens", _tokens(-1)),
    "max_tokens_per_doc": ("max_tokens_per_doc", _tokens(0)),
    "max_tokens_per_query": ("max_tokens_per_query", _tokens(0)),
    "relevant_spans": ("relevant_spans", _spans),
    "instruction": ("instruction", text),
    "priority": ("priority", _integer),
}
