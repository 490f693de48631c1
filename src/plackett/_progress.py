"""Progress bars, which a program such as the command line can turn off globally."""

from typing import Any

from tqdm import tqdm

_hidden = False


def progress_bar(*, show: bool, **options: Any) -> "tqdm[Any]":
    """Return a tqdm bar with these options; an invisible one unless `show`, or if bars are hidden."""
    return tqdm(disable=_hidden or not show, **options)


def hide_bars(hidden: bool = True) -> None:
    """Hide all bars started from now on, or show them again."""
    global _hidden
    _hidden = hidden
