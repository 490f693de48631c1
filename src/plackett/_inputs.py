"""Checks of what users give to be scored: every mistake is an InputError that names it."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from numbers import Real
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plackett.errors import InputError

T = TypeVar("T")


def checked_pairs(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(query, document) pairs as such."""
    return [_checked_pair(index, pair) for index, pair in enumerate(_checked_list(pairs, "pairs"))]


def checked_lists(queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Each query with its documents."""
    queries, documents = _checked_list(queries, "queries"), _checked_list(documents, "the lists of documents")
    if len(queries) != len(documents):
        raise InputError(
            f"{len(queries)} queries but {len(documents)} lists of documents; give one list for each query"
        )
    lists = []
    for number, (query, texts) in enumerate(zip(queries, documents, strict=True)):
        of_list = f" of query {number}" if len(queries) > 1 else ""
        text = _checked_text(query, f"query {number}" if of_list else "the query")
        texts = _checked_list(texts, f"documents{of_list}")
        if not texts:
            raise InputError(f"there are no documents for the query {text[:60]!r}")
        lists.append((text, [_checked_text(item, f"document {index}{of_list}") for index, item in enumerate(texts)]))
    return lists


def _checked_pair(index: int, pair: Sequence[str]) -> tuple[str, str]:
    if not isinstance(pair, tuple | list | np.ndarray) or len(pair) != 2:
        found = f"{len(pair)} items" if isinstance(pair, tuple | list | np.ndarray) else type(pair).__name__
        raise InputError(f"pair {index} is {found}, not (query, document); give a list of such pairs")
    query, document = pair
    return _checked_text(query, f"the query of pair {index}"), _checked_text(document, f"the document of pair {index}")


def _checked_list(values: Sequence[T], what: str) -> list[T]:
    """A list of anything that has a length and an order: lists, tuples, arrays, columns of a table."""
    if isinstance(values, str | bytes | Mapping | Set) or not hasattr(values, "__len__"):
        raise InputError(f"{what} must be a list, not {type(values).__name__}")
    return list(values)


def _checked_text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"{what} is {type(text).__name__}, not text")
    if not text.strip():
        raise InputError(f"{what} is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} holds {text[error.start]!r} at character {error.start}, half of a character, which is no text; "
            "decode it again from its bytes, or replace it"
        ) from error
    return str(text)  # numpy's strings are a kind of their own


def document_names(lists: list[tuple[str, list[str]]]) -> Callable[[int], str]:
    """What an error calls the document of each pair of these lists."""
    names = [(index, number) for number, (_, texts) in enumerate(lists) for index in range(len(texts))]
    return lambda pair: f"document {names[pair][0]}" + (f" of query {names[pair][1]}" if len(lists) > 1 else "")


def check_top_k(top_k: int | None) -> None:
    """None, or a number of documents."""
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0):
        raise InputError(f"top_k={top_k!r} is not a number of documents; leave it out for all of them")


def threshold(min_score: float | None) -> Callable[[NDArray[np.float32]], NDArray[np.bool_]]:
    """Which scores are not below `min_score`, compared as the numbers that they are, not in float32."""
    if min_score is None:
        return lambda scores: np.ones(scores.shape, bool)
    if isinstance(min_score, bool) or not isinstance(min_score, Real) or math.isnan(min_score):
        raise InputError(f"min_score={min_score!r} is not a number; leave it out to keep everything")
    return lambda scores: scores.astype(np.float64) >= float(min_score)
