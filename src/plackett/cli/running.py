"""Exit codes and error messages of the command line, even if a standard stream is closed, full or broken.

| code | meaning |
|---|---|
| 0 | done |
| 1 | `verify` found differences; an output could not be written; an unexpected error |
| 2 | a mistake in the command line, a recipe, a file or a checkpoint |
| 130 | interrupted by Ctrl-C |
| 141 | the reader of standard output has closed it |
"""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Iterator

import click

from plackett._files import is_full
from plackett._wording import one_line
from plackett.cli.console import complain, reset, say
from plackett.errors import PlackettError

FAILED, MISTAKE, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141


@contextlib.contextmanager
def begins_again(kept: str = "nothing was written") -> Iterator[None]:
    """On Ctrl-C, add a note that the command starts over, unless its work has noted how to continue."""
    try:
        yield
    except KeyboardInterrupt as error:
        if not _notes(error):
            error.add_note(f"{kept}; the same command starts over")
        raise


def run(command: click.Command) -> int:
    """Run a command on the arguments of this process, and return the exit code."""
    if "_PLACKETT_COMPLETE" in os.environ:
        command.main(prog_name="plackett")
    reset()
    if not _open_streams():
        complain("plackett: standard output is closed; redirect it to a file or to /dev/null")
        return FAILED
    try:
        # Not `command.main`, which exits with 1 for a closed pipe and Ctrl-C: in `verify`, 1 means something else.
        with command.make_context("plackett", sys.argv[1:]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except SystemExit:
        raise
    except BaseException as error:
        return _ended(error)
    return 0


def _ended(error: BaseException) -> int:
    """Print how a command failed, and return the exit code."""
    if isinstance(error, click.ClickException):
        return _misused(error)

    if any(getattr(cause, "errno", None) == errno.EPIPE for cause in _causes(error)):
        _discard_output()
        return CLOSED_PIPE

    if _is_debug():
        traceback.print_exception(error)

    # C modules turn an interruption during their import into an ImportError.
    if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
        complain(f"plackett: {'; '.join(['interrupted', *_notes(error)])}")
        return INTERRUPTED

    return _failed(error)


def _misused(error: click.ClickException) -> int:
    """Print the mistake in the command line, and return the exit code."""
    error.show()
    if isinstance(error, click.NoSuchOption) and error.ctx and not error.possibilities:
        _advise_on_dashes(error.ctx)
    return error.exit_code


def _advise_on_dashes(context: click.Context) -> None:
    arguments = [item.make_metavar(context) for item in context.command.params if isinstance(item, click.Argument)]
    if arguments:
        say(f"Put an argument that starts with a dash after --: {context.command_path} -- {' '.join(arguments)}")


def _failed(error: BaseException) -> int:
    """Print in one line why the work failed, and return the exit code."""
    full = any(is_full(cause) for cause in _causes(error))
    if isinstance(error, PlackettError):
        complain(f"plackett: {'; '.join([one_line(error), *_notes(error)])}")
        return FAILED if full else MISTAKE

    if isinstance(error, PermissionError) and error.filename:  # not even listing is permitted
        complain(f"plackett: {error.filename}: permission denied; check the path, and the folders that contain it")
        return MISTAKE

    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        complain("plackett: the working directory no longer exists; run the command in another one")
        return MISTAKE

    if full:
        _discard_output()
        complain(f"plackett: the output could not be written: {one_line(error)}")
    else:
        complain(f"plackett: unexpected {type(error).__name__}: {one_line(error)}; add --debug to see the traceback")
    return FAILED


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _notes(error: BaseException) -> list[str]:
    """Return the notes on the error and its causes: what was kept, and how to continue."""
    return [one_line(note) for cause in _causes(error) for note in getattr(cause, "__notes__", [])]


def _is_debug() -> bool:
    variable = os.environ.get("PLACKETT_DEBUG", "").strip().lower()
    return "--debug" in sys.argv[1:] or variable not in {"", "0", "f", "false", "n", "no", "off"}


def _open_streams() -> bool:
    """Open the null device for each closed standard stream, and return whether standard output is open.

    Otherwise the next file opened would get the stream's number. Characters outside the encoding are printed as
    escapes, as in JSON.
    """
    is_shown = sys.stdout is not None
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return is_shown


def _discard_output() -> None:
    """Discard buffered output, which would otherwise fail again when the interpreter exits."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
