"""Calibration: maps from raw scores to probabilities, fitted and compared on held-out queries."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.calibration.fitting import Calibrated
    from plackett.calibration.thresholds import Target

__all__ = ["Calibrated", "Target"]

__getattr__ = lazily(__name__, {"Calibrated": "fitting", "Target": "thresholds"})
