"""Run work that would block the event loop in a thread, unless it is so small that a thread costs more."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 50_000
"""Characters that can be read, checked and written in about a millisecond."""


async def aside(characters: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function whose work grows with the number of characters."""
    if characters < LARGE:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
