"""Checks of the arguments of a CrossEncoder: each mistake is an InputError that names the item."""

import math
import re
import sys
import warnings
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from plackett._wording import counted
from plackett.data.fields import ID_NAMES, TEXT_NAMES, names_of
from plackett.errors import InputError, PlackettError, SettingError

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

# Anything but white space and the Unicode categories Cc and Cf.
VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)

Place = tuple[int, int | None]
"""The indices of a query and of one of its documents; None for the query itself."""


class Refusals(Generic[K]):
    """Handles items that cannot be scored: raises the error of the first, or collects all of them in `errors`."""

    def __init__(self, how: str = "raise") -> None:
        if how not in ("raise", "return"):
            raise SettingError.unknown("errors", how, ("raise", "return"))
        self.are_kept = how == "return"
        self.errors: dict[K, PlackettError] = {}

    def refuse(self, key: K, error: PlackettError) -> None:
        """Raise or collect the error of one item; only the first error of an item is kept."""
        if not self.are_kept:
            raise error
        self.errors.setdefault(key, error)


def checked_pairs(pairs: Sequence[tuple[str, str]], refusals: Refusals[int]) -> dict[int, tuple[str, str]]:
    """Return the (query, document) pairs that can be scored, by index."""
    checked = {}
    for index, pair in enumerate(checked_list(pairs, "pairs")):
        try:
            checked[index] = _checked_pair(index, pair)
        except InputError as error:
            refusals.refuse(index, error)
    warn_of_blanks(checked.values())
    return checked


@dataclass(frozen=True)
class CheckedLists:
    """Pairs of queries and documents that can be scored, by the indices of both.

    sources: documents that were given as mappings.
    """

    pairs: dict[Place, tuple[str, str]] = field(default_factory=dict)
    sources: dict[Place, Mapping[str, Any]] = field(default_factory=dict)


def checked_lists(
    queries: Sequence[str],
    documents: Sequence[Sequence[str | Mapping[str, Any]]],
    refusals: Refusals[Place],
    text: str | Sequence[str] | None = None,
) -> CheckedLists:
    """Return the pairs of each query and its documents that can be scored.

    `text` names the fields of documents that are mappings. A query that cannot be scored is refused as (query, None).
    """
    fields = text_fields(text)
    queries, documents = checked_list(queries, "queries"), checked_list(documents, "the lists of documents")
    if len(queries) != len(documents):
        raise InputError(
            f"{counted(len(queries), 'query')} but {counted(len(documents), 'list')} of documents; pass one list for "
            "each query"
        )
    several = len(queries) > 1
    checked = CheckedLists()
    for number, (query, texts) in enumerate(zip(queries, documents, strict=True)):
        try:
            query, items = _checked_list_of(number, query, texts, several)
        except InputError as error:
            refusals.refuse((number, None), error)
            continue
        for index, item in enumerate(items):
            place = (number, index)
            try:
                checked.pairs[place] = query, _checked_document(item, name_of(place, several), fields)
            except InputError as error:
                refusals.refuse(place, error)
                continue
            if isinstance(item, Mapping):
                checked.sources[place] = item
    warn_of_blanks(checked.pairs.values())
    return checked


def text_fields(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names in `text`, a list or a comma-separated text such as "title, body"; none for None."""
    names = text.split(",") if isinstance(text, str) else text or ()
    fields = tuple(name.strip() if isinstance(name, str) else "" for name in names)
    if text is not None and not all(fields or [""]):
        raise SettingError(f"text={text!r} names no fields; write them like 'title, body'")
    return fields


def joined_fields(document: Mapping[str, Any], what: str, fields: Sequence[str]) -> str:
    """Return the fields of a document joined, skipping nulls; InputError if all are null."""
    missing = [name for name in fields if name not in document]
    if missing:
        raise InputError(f"{what} has no field {missing[0]}; {names_of(document, 'keys')}")
    texts = [
        _checked_text(document[name], f"the field {name} of {what}") for name in fields if document[name] is not None
    ]
    if not texts:
        raise InputError(f"the field {' and '.join(fields)} of {what} is null, not text")
    return " ".join(texts)


def id_in(document: Mapping[str, Any]) -> object:
    """Return the id of a document, None without one."""
    return next((document[name] for name in ID_NAMES if name in document), None)


def _checked_document(item: object, what: str, fields: tuple[str, ...]) -> str:
    """Return the text of a document. Without `fields`, a mapping's text is its optional title and its text."""
    if not isinstance(item, Mapping):
        return _checked_text(item, what)
    if not fields:
        name = next((name for name in TEXT_NAMES if name in item), None)
        if name is None:
            raise InputError(
                f"{what} has no field text; {names_of(item, 'keys')}; name the fields to read, for example "
                "text='title, body'"
            )
        fields = ("title", name) if item.get("title") else (name,)
    return joined_fields(item, what, fields)


def _checked_list_of(number: int, query: str, texts: Sequence[T], several: bool) -> tuple[str, list[T]]:
    """Return a checked query, and its documents, which are not checked yet."""
    text = _checked_text(query, f"query {number}" if several else "the query", may_be_blank=False)
    items = checked_list(texts, f"documents of query {number}" if several else "documents")
    return text, items


def name_of(place: Place, several: bool) -> str:
    """Return the name of a document in error messages."""
    query, document = place
    return f"document {document} of query {query}" if several else f"document {document}"


def warn_of_blanks(pairs: Collection[tuple[str, str]]) -> None:
    """Warn once about documents that are empty or only white space; they are scored as empty text."""
    blank = sum(is_blank(document) for _, document in pairs)
    if blank:
        are = "is" if blank == 1 else "are"
        of_all = f"{blank:,} of {counted(len(pairs), 'document')}"
        warnings.warn(f"{of_all} {are} blank and scored as empty text", stacklevel=_level())


def _level() -> int:
    """Return the `stacklevel` of a warning from the caller of this function that names the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("plackett."):
        frame, level = frame.f_back, level + 1
    return level


def is_blank(text: str) -> bool:
    """Whether a text is empty, or contains only white space, control and formatting characters."""
    return not VISIBLE.search(text)


def _checked_pair(index: int, pair: Sequence[str]) -> tuple[str, str]:
    if not isinstance(pair, tuple | list | np.ndarray) or len(pair) != 2:
        found = f"{len(pair)} items" if isinstance(pair, tuple | list | np.ndarray) else type(pair).__name__
        raise InputError(f"pair {index} is {found}, not (query, document); pass a list of such pairs")
    query, document = pair
    return (
        _checked_text(query, f"the query of pair {index}", may_be_blank=False),
        _checked_text(document, f"the document of pair {index}"),
    )


def checked_list(values: Sequence[T], what: str) -> list[T]:
    """Return the items of anything with a length and an order: a list, tuple, array or column of a table."""
    if isinstance(values, str | bytes | Mapping | Set) or not hasattr(values, "__len__"):
        raise InputError(f"{what} must be a list, not {type(values).__name__}")
    if hasattr(values, "columns"):  # iterating over a table gives the names of its columns
        raise InputError(f"{what} must be a list, not {type(values).__name__}; pass one of its columns")
    return list(values)


def _checked_text(text: object, what: str, *, may_be_blank: bool = True) -> str:
    if not isinstance(text, str):
        raise InputError(f"{what} is {type(text).__name__}, not text")
    if not may_be_blank and is_blank(text):
        raise InputError(f"{what} is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} contains {text[error.start]!r} at character {error.start}, an unpaired surrogate; decode the "
            "text from its bytes again, or replace the character"
        ) from error
    return str(text)  # NumPy's strings are a subclass


def check_top_k(top_k: int | None) -> None:
    """Raise InputError unless `top_k` is None or a number of documents."""
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, Integral) or top_k < 0):
        raise InputError(f"top_k={top_k!r} is not a number of documents; leave it out to return all")


def threshold(min_score: float | None) -> Callable[[NDArray[np.float32]], NDArray[np.bool_]]:
    """Return the test for scores that reach `min_score`, compared in float64."""
    if min_score is None:
        return lambda scores: np.ones(scores.shape, bool)
    least = _as_float(min_score)
    if least is None:
        raise InputError(f"min_score={min_score!r} is not a number; leave it out to keep everything")
    return lambda scores: scores.astype(np.float64) >= least


def _as_float(value: object) -> float | None:
    """Return a real number as a float; None for NaN, numbers that are too large, and anything else."""
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    return None if math.isnan(number) else number
