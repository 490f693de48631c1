"""The `plackett` command: one file for each subcommand.

Commands parse and call; results go to standard output, everything else to standard error.

This file imports little, so that Ctrl-C ends the command cleanly even while the others are imported.
"""

import atexit
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn


def main() -> None:
    """Run the command line."""
    atexit.register(_at_ctrl_c, signal.SIG_IGN)  # runs last, when the interpreter no longer handles Ctrl-C
    _at_ctrl_c(_end)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # otherwise the Hub's client reports transfers
    from plackett.cli.console import log_to_stderr
    from plackett.cli.group import commands
    from plackett.cli.running import run

    log_to_stderr()
    try:
        _at_ctrl_c(signal.default_int_handler)
        code = run(commands)
        _at_ctrl_c(_end)  # interpreter shutdown takes time too
    except KeyboardInterrupt:  # just before or after the work
        _end(signal.SIGINT, None)
    sys.exit(code)


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """End at once: an exception during an import may be swallowed, and there is nothing to clean up."""
    os.write(2, b"plackett: interrupted\n")
    os._exit(128 + signum)


def _at_ctrl_c(handler: "signal._HANDLER") -> None:
    """Set the handler of Ctrl-C, unless `nohup` or a program that calls `main` has set it."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _end):
        signal.signal(signal.SIGINT, handler)
