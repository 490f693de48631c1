"""Each sentence's contribution to a document's score, by occlusion: the score with it minus the score without it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

# Where a sentence ends: after a full stop and space, after a full stop of a script that needs no space, at an empty
# line, and before a list item. Possessive quantifiers keep the matching linear in any text.
STOPS = "[.!?\u2026\u061f\u06d4\u0964\u0965\u0589\u1362]"  # also Arabic, Urdu, Devanagari, Armenian, Ethiopic
WIDE_STOPS = "[\u3002\uff01\uff1f\uff0e\uff61]"  # Chinese and Japanese
CLOSERS = "[\"')\\]\u2019\u201d\u00bb\uff09\u300d\u300f]"  # quotation marks and brackets
BOUNDARY = re.compile(
    rf"(?<!{STOPS}){STOPS}++{CLOSERS}*+\s++|{WIDE_STOPS}++{CLOSERS}*+\s*+|\n[^\S\n]*+\n\s*+"
    r"|\n(?=[^\S\n]*+(?:[-*\u2022\u2023]|[0-9]++[.)])\s)"
)


class Contribution(TypedDict):
    """One sentence of a document, `text[start:end]`, and what it adds to the document's raw logit."""

    start: int
    end: int
    text: str
    contribution: float


@dataclass(frozen=True)
class Reading:
    """The part of a document, `document[start:end]`, that its score for a query comes from."""

    query: str
    document: str
    start: int
    end: int


def sentences(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each sentence; together the sentences cover the text.

    A full stop does not end a sentence if a lower-case letter follows, as in "e.g. this", or if no letter precedes it,
    as in "1. This". White space belongs to the sentence before.
    """
    ends, seen, letters = [0], 0, False
    for match in BOUNDARY.finditer(text):
        letters = letters or any(map(str.isalpha, text[seen : match.end()]))
        seen = match.end()
        if letters and seen < len(text) and not text[seen].islower():
            ends.append(seen)
            letters = False
    return list(pairwise([*ends, len(text)])) if text else []


def explain_readings(
    readings: Sequence[Reading], score: Callable[[list[tuple[str, str]]], NDArray[np.float32]]
) -> list[list[Contribution]]:
    """Return the contributions of each reading's sentences; `score`, called once, returns the raw logits of pairs."""
    return contributions(readings, score(occluded(readings)))


def occluded(readings: Sequence[Reading]) -> list[tuple[str, str]]:
    """Return the pairs to score: each reading itself, then the reading without each of its sentences in turn."""
    return [pair for item in readings for pair in _variants(item)]


def contributions(readings: Sequence[Reading], logits: NDArray[np.float32]) -> list[list[Contribution]]:
    """Return the contributions of each reading's sentences; `logits`, (pairs,), belong to the pairs of `occluded`."""
    explained, start = [], 0
    for item in readings:
        found = _sentences(item)
        whole, without = logits[start], logits[start + 1 : start + 1 + len(found)]
        start += 1 + len(found)
        explained.append(
            [_contribution(item, span, float(whole - other)) for span, other in zip(found, without, strict=True)]
        )
    return explained


def _sentences(item: Reading) -> list[tuple[int, int]]:
    return sentences(item.document[item.start : item.end])


def _variants(item: Reading) -> list[tuple[str, str]]:
    text = item.document[item.start : item.end]
    return [(item.query, text), *((item.query, text[:start] + text[end:]) for start, end in _sentences(item))]


def _contribution(item: Reading, span: tuple[int, int], contribution: float) -> Contribution:
    start, end = item.start + span[0], item.start + span[1]
    return {"start": start, "end": end, "text": item.document[start:end], "contribution": contribution}
