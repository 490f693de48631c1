"""Checks of the options of losses: each raises a SettingError that names the option and its value."""

import math
from collections.abc import Iterable

from plackett.errors import SettingError


def check_choice(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse an unknown name."""
    known = tuple(known)
    if name not in known:
        raise SettingError.unknown(kind, name, known)


def check_positive(name: str, value: float) -> None:
    """Refuse anything but a finite number above 0."""
    if not 0 < value < math.inf:
        raise SettingError(f"{name} must be above 0 and finite, not {value}")


def check_not_negative(name: str, value: float) -> None:
    """Refuse anything but a finite number of at least 0."""
    if not 0 <= value < math.inf:
        raise SettingError(f"{name} must be at least 0 and finite, not {value}")


def check_cutoff(cutoff: int | None) -> None:
    """Refuse a cut-off below 1; None means the whole list."""
    if cutoff is not None and cutoff < 1:
        raise SettingError(f"cutoff must be at least 1, or None for the whole list, not {cutoff}")
