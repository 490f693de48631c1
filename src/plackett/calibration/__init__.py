"""Calibration: maps from raw scores to probabilities, fitted and compared on held-out queries."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.calibration.fitting import Calibrated, JudgedPairs, calibrate
    from plackett.calibration.thresholds import Target

__all__ = ["Calibrated", "JudgedPairs", "Target", "calibrate"]

__getattr__ = lazily(
    __name__,
    {"Calibrated": "fitting", "JudgedPairs": "fitting", "calibrate": "fitting", "Target": "thresholds"},
)
