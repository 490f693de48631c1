"""Calibrations, which map raw logits to probabilities, and their file `calibration.json`. Applying needs numpy only.

The file is `{"version": 1, "method": NAME, ...}` with the fields of the method's record here. Every calibration is
non-decreasing in the logit, so it changes no order; an isotonic one may create ties.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.own_files import CALIBRATION
from plackett.errors import CheckpointError, SettingError

VERSION = 1
LIMIT = 1e30  # for every number in a calibration: far beyond any fitted value, and no logit turns it into NaN

Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), without overflow."""
    scores: Floats = np.exp(-np.logaddexp(np.zeros_like(logits), -logits))
    return scores


@dataclass(frozen=True)
class Temperature:
    """sigmoid(logit / temperature): Guo et al. 2017, On Calibration of Modern Neural Networks."""

    temperature: float

    def __post_init__(self) -> None:
        _check({"temperature": self.temperature}, positive="temperature")

    def __call__(self, logits: Floats) -> Floats:
        """Probabilities, in the shape and type of the logits."""
        return _as(logits, sigmoid(np.asarray(logits, np.float64) / self.temperature))


@dataclass(frozen=True)
class Platt:
    """sigmoid(slope * logit + intercept): Platt 1999, Probabilistic Outputs for Support Vector Machines."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        _check({"slope": self.slope, "intercept": self.intercept}, positive="slope")

    def __call__(self, logits: Floats) -> Floats:
        """Probabilities, in the shape and type of the logits."""
        return _as(logits, sigmoid(self.slope * np.asarray(logits, np.float64) + self.intercept))


@dataclass(frozen=True)
class Isotonic:
    """Lines between knots, constant beyond the ends: Zadrozny and Elkan 2002, Transforming Classifier Scores."""

    logits: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, values in (("logits", self.logits), ("probabilities", self.probabilities)):
            if not isinstance(values, Sequence) or isinstance(values, str):
                raise ValueError(f"{name} is not a list of numbers")
            _check({f"{name}[{index}]": value for index, value in enumerate(values)})
            object.__setattr__(self, name, tuple(values))
        if not self.logits or len(self.logits) != len(self.probabilities):
            raise ValueError(f"{len(self.logits)} logits but {len(self.probabilities)} probabilities")
        _check_knots(self.logits, self.probabilities)

    def __call__(self, logits: Floats) -> Floats:
        """Probabilities, in the shape and type of the logits."""
        return _as(logits, np.interp(np.asarray(logits, np.float64), self.logits, self.probabilities))


Calibration = Temperature | Platt | Isotonic
METHODS: dict[str, Callable[..., Calibration]] = {"temperature": Temperature, "platt": Platt, "isotonic": Isotonic}


def method_of(calibration: Calibration) -> str:
    """Return the name of a calibration's method in `METHODS`."""
    return next(name for name, record in METHODS.items() if record is type(calibration))


def parameters_of(calibration: Calibration) -> dict[str, float]:
    """Return a one-line summary of a calibration: its parameters, or the number of knots and the ends."""
    if isinstance(calibration, Isotonic):
        lowest, highest = calibration.probabilities[0], calibration.probabilities[-1]
        return {"knots": len(calibration.logits), "lowest": lowest, "highest": highest}
    return asdict(calibration)


def read_calibration(folder: Path) -> Calibration:
    """Read the calibration of a checkpoint. SettingError if it has none, CheckpointError if it cannot be read."""
    path = folder / CALIBRATION
    again = f"plackett calibrate {folder} --data LISTS"
    if not path.is_file():
        raise SettingError(f"{folder} has no {CALIBRATION}, so its scores are not calibrated; to fit one: {again}")
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("version")
        if version == VERSION:
            return METHODS[values.pop("method")](**values)
        if not isinstance(version, int) or version < VERSION:
            raise ValueError(f"there is no version {version!r}")
    except (AttributeError, LookupError, OSError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error!r}); calibrate again: {again}") from error
    raise CheckpointError(
        f"{path} has version {version}, but this Plackett reads version {VERSION}: install a newer Plackett"
    )


def dump_calibration(calibration: Calibration) -> str:
    """Return the content of `calibration.json`; equal calibrations give equal bytes."""
    return json.dumps({"version": VERSION, "method": method_of(calibration), **asdict(calibration)}, indent=2) + "\n"


def _check_knots(logits: Sequence[float], probabilities: Sequence[float]) -> None:
    if any(left >= right for left, right in pairwise(logits)):
        raise ValueError("the logits do not increase")
    if any(left > right for left, right in pairwise((0, *probabilities, 1))):
        raise ValueError("the probabilities decrease, or are outside the range from 0 to 1")


def _as(logits: Floats, probabilities: NDArray[np.float64]) -> Floats:
    found: Floats = probabilities.clip(0, 1).astype(logits.dtype)
    return found


def _check(numbers: dict[str, Any], *, positive: str = "") -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, not a number")
        if abs(value) > LIMIT or (name == positive and value < 1 / LIMIT):
            raise ValueError(f"{name} is {value!r}, out of range")
