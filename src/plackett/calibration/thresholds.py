"""Choose the probability from which documents are kept, for a target precision or recall."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import check_fields
from plackett.errors import SettingError

DIGITS = 4  # significant digits of a threshold, which is rounded before pairs are counted

Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Target:
    """The `value` that a threshold should reach in precision or recall (the `measure`)."""

    measure: str
    value: float

    def __post_init__(self) -> None:
        check_fields(self)
        if self.measure not in {"precision", "recall"}:
            raise SettingError.unknown("measure", self.measure, ["precision", "recall"])
        if not 0 < self.value <= 1:
            raise SettingError(
                f"a target {self.measure} of {self.value} is impossible; give a number above 0 and at most 1"
            )

    def __str__(self) -> str:
        return f"{self.measure} {self.value:g}"


def choose(probabilities: Probabilities, relevant: NDArray[np.bool_], target: Target) -> float | None:
    """Return the threshold that keeps the most pairs at the target precision, or the fewest at the target recall.

    Pairs at or above it are kept. Returns None if no threshold reaches that precision. Both arrays are (pairs,).
    """
    thresholds = np.unique([_rounded(value) for value in np.unique(probabilities).tolist()])
    kept = len(probabilities) - np.searchsorted(np.sort(probabilities), thresholds)
    found = relevant.sum() - np.searchsorted(np.sort(probabilities[relevant]), thresholds)

    if target.measure == "recall":
        return float(thresholds[found >= target.value * relevant.sum()][-1])
    good = thresholds[found >= target.value * kept]
    return float(good[0]) if len(good) else None


def _rounded(value: float) -> float:
    """Round to the nearest, or down if rounding up would drop the pair itself."""
    nearest = float(f"{value:.{DIGITS}g}")
    return nearest if nearest <= value else float(Context(DIGITS, ROUND_FLOOR).create_decimal_from_float(value))
