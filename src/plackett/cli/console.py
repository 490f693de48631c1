"""Hints, log lines and colours, controlled by options of every command and by environment variables.

| option | variable | effect |
|---|---|---|
| `--quiet` | `PLACKETT_QUIET` | no progress bars, hints and warnings; errors remain |
| `--verbose` | `PLACKETT_VERBOSE` | also log what is loaded, and how |
| `--log-json` | `PLACKETT_LOG_JSON` | hints and log lines as JSON, one object per line |
| `--debug` | `PLACKETT_DEBUG` | the traceback of an error |
"""

import json
import logging
import os
import re
import sys
import time
import warnings
from dataclasses import dataclass, replace
from typing import IO, Any

import click

from plackett._progress import hide_bars
from plackett._wording import one_line


@dataclass(frozen=True)
class Mode:
    """The verbosity of a command, and the form of its messages."""

    quiet: bool = False
    verbose: bool = False
    log_json: bool = False


_mode = Mode()


def reset() -> None:
    """Return to the defaults, at the start of a command."""
    _apply(Mode())


def say(message: str) -> None:
    """Print a hint to standard error."""
    if not _mode.quiet:
        _print(logging.INFO, message)


def complain(message: str) -> None:
    """Print an error to standard error, even with --quiet."""
    _print(logging.ERROR, message)


def _print(level: int, message: str) -> None:
    text = message
    if _mode.log_json:
        text = _Json().format(logging.LogRecord("plackett.cli", level, "", 0, message, None, None))
    click.echo(text, err=True)


def has_colour(stream: IO[Any]) -> bool:
    """Return whether to use colour: on a terminal unless NO_COLOR is set, and everywhere if FORCE_COLOR is set."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def plain(text: str) -> str:
    """Escape control characters, so that a text cannot move the cursor or change the colours of a terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show(text: str) -> None:
    """Print a result to standard output, coloured if standard output is a terminal."""
    click.echo(text, color=has_colour(sys.stdout))


def options() -> list[click.Option]:
    """Return the options that every command has; they may come before or after its name."""
    helps = {
        "quiet": "Show no progress, hints or warnings.",
        "verbose": "Log what is loaded, and how.",
        "log_json": "Print hints and log lines as JSON, one object per line.",
    }
    found = [_option(name, text) for name, text in helps.items()]
    # `run` looks for --debug itself, so that it applies even to parsing errors.
    debug = click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        envvar="PLACKETT_DEBUG",
        show_envvar=True,
        help="Show the traceback of an error.",
    )
    return [*found, debug]


def _option(name: str, text: str) -> click.Option:
    def callback(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            _apply(replace(_mode, **{name: True}))

    flag, variable = f"--{name.replace('_', '-')}", f"PLACKETT_{name.upper()}"
    return click.Option(
        [flag],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        envvar=variable,
        show_envvar=True,
        help=text,
        callback=callback,
    )


def _apply(mode: Mode) -> None:
    global _mode
    _mode = mode
    hide_bars(mode.quiet or mode.log_json)
    level = logging.INFO if mode.verbose else logging.ERROR if mode.quiet else logging.WARNING
    logging.getLogger("plackett").setLevel(level if mode != Mode() else logging.NOTSET)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.setFormatter(_Json() if mode.log_json else _TEXT)
    if mode.quiet:
        warnings.simplefilter("ignore")


class _Handler(logging.StreamHandler[Any]):
    """The command line's own handler: programs that call `main` may have others."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            shown["traceback"] = self.formatException(record.exc_info)
        return json.dumps(shown, ensure_ascii=False)


def _log_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Log a warning in one line: the place in the source means nothing to whoever types a command."""
    logging.getLogger("plackett").warning("%s", one_line(message))


_TEXT = logging.Formatter("%(levelname)s %(name)s: %(message)s")


def log_to_stderr() -> None:
    """Show log lines, unless the calling program has set up its own logging."""
    root = logging.getLogger()
    if not root.handlers:
        handler = _Handler()
        handler.setFormatter(_TEXT)
        root.addHandler(handler)
        root.setLevel(logging.WARNING)
        warnings.showwarning = _log_warning
