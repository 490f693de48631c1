"""Checks of the options of losses: each raises a SettingError that names the option and its value."""

from collections.abc import Iterable
from numbers import Integral

import numpy as np

from plackett.errors import SettingError

_LARGEST = 2.0**63  # torch takes no greater whole numbers


def check_choice(kind: str, name: str, known: Iterable[str]) -> None:
    """Refuse an unknown name."""
    known = tuple(known)
    if not isinstance(name, str) or name not in known:
        raise SettingError.unknown(kind, name, known)


def check_positive(name: str, value: float) -> None:
    """Refuse anything but a finite number above 0."""
    if not (_is_number(value) and 0 < value < _LARGEST):
        raise SettingError(f"{name} must be a number above 0 and finite, not {value!r:.50}")


def check_not_negative(name: str, value: float) -> None:
    """Refuse anything but a finite number of at least 0."""
    if not (_is_number(value) and 0 <= value < _LARGEST):
        raise SettingError(f"{name} must be a number, at least 0 and finite, not {value!r:.50}")


def check_cutoff(cutoff: int | None) -> None:
    """Refuse what is not a whole number from 1 on; None means the whole list."""
    is_whole = _is_number(cutoff) and isinstance(cutoff, Integral)
    if cutoff is not None and not (is_whole and 1 <= cutoff < _LARGEST):
        raise SettingError(f"cutoff must be a whole number, at least 1, or None for the whole list, not {cutoff!r:.50}")


def _is_number(value: object) -> bool:
    """Whether torch computes with a value as with a number."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
