"""Run blocking work in a thread of asyncio; if its task is cancelled, the work stops at its next check."""

import threading
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class Cancelled(BaseException):
    """Raised in the thread if the waiting task was cancelled; it never reaches a caller."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of the event loop's pool, and return its result."""
    import asyncio  # imported here, because it takes 20 ms and most programs do not need it

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
