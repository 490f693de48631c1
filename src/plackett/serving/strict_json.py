"""Strict JSON: refuses what Python's parser accepts beyond the standard."""

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

from plackett.errors import RequestError

LARGEST = 2**63


def read_json(body: bytes, max_nesting: int) -> object:
    """Read a body. RequestError, status 400, for anything but JSON in UTF-8 that every client can read back.

    NaN, infinities, numbers beyond 64 bits, duplicate names in an object, and nesting deeper than `max_nesting` are
    refused. Messages quote nothing of the body. Unpaired surrogates pass, because the readers of texts can name their
    index.
    """
    try:
        value: object = json.loads(
            body.decode("utf-8-sig"),
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
            object_pairs_hook=_object,
        )
    except RequestError:
        raise
    except UnicodeDecodeError:
        raise _refused("is not UTF-8") from None
    except RecursionError:
        raise _refused("is nested too deeply") from None
    except ValueError as error:
        place = f" (character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise _refused(f"is not JSON{place}") from None
    _check_nesting(value, max_nesting)
    return value


def write_json(value: object) -> bytes:
    """Write JSON without NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _refused(what: str) -> RequestError:
    return RequestError(f"the body {what}", status=400)


def _constant(_name: str) -> NoReturn:
    raise _refused("contains NaN or Infinity, which are not valid in JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _refused("holds a number that is too large")
    return number


def _int(text: str) -> int:
    if len(text) > 20 or not -LARGEST <= (number := int(text)) < LARGEST:
        raise _refused("holds a number that is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _refused("contains an object with a duplicate name")
    return found


def _check_nesting(value: object, most: int) -> None:
    level = [value]
    for _ in range(most):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise _refused("is nested too deeply")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
