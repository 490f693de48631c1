"""How the command line ends: the exit code, one line, and streams that are closed, full or cut off."""

import errno
import os
import subprocess
import sys

import click
import pytest

from plackett import DataError
from plackett.cli import console, running
from plackett.cli.group import commands

INFO = [sys.executable, "-m", "plackett", "info"]


def failing(error):
    @click.command(params=console.options())
    def command():
        raise error

    return command


def full():
    error = DataError("x cannot be written")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


def interrupted():
    error = KeyboardInterrupt()
    error.add_note("x.partial is kept")
    return error


def interrupted_import():
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DataError("a\nb is wrong"), 2, ["a b is wrong"]),
        (full(), 1, ["x cannot be written"]),
        (OSError(errno.ENOSPC, "No space left on device"), 1, ["No space left on device"]),
        (ZeroDivisionError("one\ntwo"), 1, ["ZeroDivisionError", "one two", "--debug"]),
        (MemoryError(), 1, ["MemoryError"]),
        (PermissionError(errno.EACCES, "Permission denied", "closed/x"), 2, ["closed/x: permission denied"]),
        (interrupted(), 130, ["interrupted", "x.partial is kept"]),
        (interrupted_import(), 130, ["interrupted"]),
        (click.UsageError("no such option"), 2, ["no such option"]),
        (click.exceptions.Exit(1), 1, []),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, []),
    ],
)
def test_every_end_has_its_code_and_one_line(monkeypatch, capfd, error, code, words):
    monkeypatch.setattr("sys.argv", ["plackett"])
    monkeypatch.delenv("PLACKETT_DEBUG", raising=False)
    monkeypatch.setattr(running, "_discard_output", lambda: None)
    assert running.run(failing(error)) == code
    shown = capfd.readouterr()
    assert shown.out == ""
    assert all(word in shown.err for word in words)
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) == bool(words) or isinstance(error, click.UsageError)


def test_a_working_directory_that_was_removed_is_called_so(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["plackett"])
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert running.run(failing(FileNotFoundError(errno.ENOENT, "No such file or directory"))) == 2
    assert "the working directory no longer exists" in capfd.readouterr().err


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize(("error", "code"), [(ZeroDivisionError("x"), 1), (DataError("x"), 2)])
def test_the_traceback_is_shown_where_it_is_asked_for(monkeypatch, capsys, how, error, code):
    monkeypatch.setattr("sys.argv", ["plackett", *(["--debug"] if how == "option" else [])])
    monkeypatch.setenv("PLACKETT_DEBUG", "1" if how == "variable" else "0")
    assert running.run(failing(error)) == code
    assert "Traceback" in capsys.readouterr().err


def test_every_command_takes_the_option(run):
    for name in commands.commands:
        assert run(name, "--debug", "--help")[0] == 0


def shell(command, **options):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.process
@pytest.mark.parametrize(
    ("redirected", "code", "word"),
    [
        ("> /dev/full", 1, "No space left"),
        (">&-", 1, "closed"),
        ("<&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- 2>&-", 0, ""),
    ],
)
def test_streams_that_are_full_or_closed(redirected, code, word):
    done = shell(f"{' '.join(INFO)} {redirected}")
    assert done.returncode == code
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == bool(word)
    assert bool(done.stdout) == (code == 0)


@pytest.mark.process
def test_closed_standard_input_is_empty():
    done = shell(f"{sys.executable} -m plackett rank apple --documents - <&-")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("option", "shown"), [("--verbose", "WARNING plackett: 1 of 2 documents"), ("--log-json", "{")]
)
def test_a_warning_is_one_line_without_a_place_in_the_source(option, shown):
    done = shell(f"{sys.executable} -m plackett rank apple pear '' {option}")
    assert done.returncode == 0
    [line] = [line for line in done.stderr.splitlines() if "blank" in line]
    assert line.startswith(shown)
    assert ".py" not in done.stderr


@pytest.mark.process
def test_a_closed_pipe_ends_quietly():
    with subprocess.Popen(INFO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.process
@pytest.mark.parametrize(
    "changes",
    [{"PYTHONOPTIMIZE": "2"}, {"PYTHONWARNINGS": "error"}, {"HOME": None}, {"PYTHONIOENCODING": "ascii"}],
)
def test_surroundings_that_change_nothing(changes):
    environment = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
    command = [sys.executable, "-m", "plackett", "rank", "pomme", "été", "pêche"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 2


# Ctrl-C at the moment when a module is looked for, or as soon as the command has ended.
STOPPED = """
import atexit, os, signal, sys
moment = sys.argv[1]
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)
        if (moment, name) == ("end", "plackett.cli.running"):
            atexit.register(os.kill, os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
from plackett.cli import main
sys.argv[1:] = ["rank", "apple", "apple pie"]
main()
"""


@pytest.mark.process
@pytest.mark.parametrize("moment", ["plackett.cli.group", "numpy", "plackett.cli.verify", "onnxruntime", "end"])
def test_ctrl_c_is_one_line_at_any_moment(moment):
    command = [sys.executable, "-c", STOPPED, moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr == "plackett: interrupted\n"


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (["evaluate", "default", "--data", "lists.jsonl"], "plackett.workflows.evaluate.evaluate"),
        (["calibrate", "model", "--data", "lists.jsonl"], "plackett.workflows.calibrate.calibrate"),
        (["export", "model", "--engine", "onnx"], "plackett.workflows.export.export"),
        (["demo"], "plackett.workflows.demo.tour.run"),
    ],
)
def test_ctrl_c_says_what_begins_again(run, monkeypatch, command, place):
    def stopped(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stopped)
    code, output, errors = run(*command)
    assert (code, output) == (130, "")
    assert len(errors.splitlines()) == 1
    assert "starts over" in errors


@pytest.mark.process
def test_an_ignored_ctrl_c_stays_ignored():
    code = STOPPED.replace("class Stop", "signal.signal(signal.SIGINT, signal.SIG_IGN)\nclass Stop")
    command = [sys.executable, "-c", code, "numpy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.process
def test_the_entry_point_imports_little():
    code = "import sys, plackett.cli; print('numpy' in sys.modules, 'click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "False False\n", done.stderr


def test_a_query_that_starts_with_a_dash_gets_a_hint(run):
    code, _, errors = run("rank", "-5", "a document")
    assert code == 2
    assert "-- QUERY" in errors


@pytest.mark.process
def test_a_model_for_torch_without_docstrings_is_one_line(bert):
    command = [sys.executable, "-OO", "-m", "plackett", "rank", "apple", "apple pie", "--model", str(bert)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "-OO" in done.stderr
    assert len(done.stderr.splitlines()) == 1


INTERRUPTED = """
import os, signal
from plackett import cli
from plackett.cli import running

class Late:
    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.SIGINT):
        kill(process, number)

late = Late()  # is deleted when the interpreter handles no signals any more
running.run = {}
cli.main()
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("work", "code", "errors"),
    [
        ("lambda _: os.kill(os.getpid(), signal.SIGINT) or 0", 130, "plackett: interrupted\n"),
        ("lambda _: 0", 0, ""),
    ],
)
def test_ctrl_c_around_the_work_is_one_line_and_after_it_nothing(work, code, errors):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED.format(work)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, errors)
