"""Probabilities above which documents are kept, for a wanted precision or recall. Arrays in, records out."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett.errors import SettingError

DIGITS = 4  # significant ones of a threshold, so that what is printed is what was counted

Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Target:
    """What a threshold is for: `value` of the measure `precision` or `recall`."""

    measure: str
    value: float

    def __post_init__(self) -> None:
        if self.measure not in {"precision", "recall"}:
            raise SettingError.unknown("measure", self.measure, ["precision", "recall"])
        if not 0 < self.value <= 1:
            raise SettingError(f"a {self.measure} of {self.value} is wanted; give a number above 0, at most 1")

    def __str__(self) -> str:
        return f"{self.measure} {self.value:g}"


def choose(probabilities: Probabilities, relevant: NDArray[np.bool_], target: Target) -> float | None:
    """The threshold that keeps the most with the wanted precision, or the least with the wanted recall.

    Pairs at or above it are kept. None where no threshold has that precision. Both arrays are (pairs,).
    """
    thresholds = np.unique([_rounded(value) for value in np.unique(probabilities).tolist()])
    kept = len(probabilities) - np.searchsorted(np.sort(probabilities), thresholds)
    found = relevant.sum() - np.searchsorted(np.sort(probabilities[relevant]), thresholds)
    if target.measure == "recall":
        return float(thresholds[found >= target.value * relevant.sum()][-1])
    good = thresholds[found >= target.value * kept]
    return float(good[0]) if len(good) else None


def _rounded(value: float) -> float:
    """Rounded so that the pair itself is kept: to the nearest, else down."""
    nearest = float(f"{value:.{DIGITS}g}")
    return nearest if nearest <= value else float(Context(DIGITS, ROUND_FLOOR).create_decimal_from_float(value))
