"""Blocking work in a thread of asyncio that stops, when its task is cancelled, at its next check."""

import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class Cancelled(BaseException):
    """The task that waited for this work was cancelled; nobody sees this exception."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of the event loop's pool, and return its result."""
    import asyncio  # here, since most programs do without it: importing it takes 15 ms

    stop = threading.Event()
    context = copy_context()
    context.run(_stop.set, stop)
    try:
        return await asyncio.get_running_loop().run_in_executor(None, context.run, work)
    except asyncio.CancelledError:
        stop.set()
        raise


def check_cancelled() -> None:
    """Raise Cancelled if this thread's work is not needed any more."""
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise Cancelled
