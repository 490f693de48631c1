"""The options of every command, colours, completion and suggestions."""

import io
import json
import re
import shutil
import subprocess

import click
import pytest

from plackett import _progress
from plackett.cli import console, tables
from plackett.cli.group import commands

pytestmark = pytest.mark.slow

RANK = ("rank", "sort a list", "list.sort sorts in place", "dict.get returns a value")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "PLACKETT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    yield
    console.reset()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "expected"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
    ],
)
def test_only_a_terminal_gets_colours(monkeypatch, environment, stream, expected):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert console.has_colour(stream) is expected


def test_colours_do_not_change_the_text(run, monkeypatch):
    _, before, _ = run(*RANK)
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, coloured, _ = run(*RANK)
    assert "\x1b[" not in before
    assert "\x1b[1m" in coloured
    assert ESCAPE.sub("", coloured) == before


def test_a_difference_has_the_colour_of_its_interval():
    rows = "nDCG@10  0.5  0.6  +0.1000  +0.0500…+0.1500\nAP  0.5  0.4  -0.1000  -0.1500…-0.0500\nRR  +0.1000  -0.1…+0.3"
    painted = tables.painted(rows)
    assert click.style("+0.1000", fg="green") + "  +0.0500" in painted
    assert click.style("-0.1000", fg="red") + "  -0.1500" in painted
    assert painted.count("\x1b[3") == 2
    assert ESCAPE.sub("", painted) == rows


@pytest.mark.parametrize("place", ["before", "behind", "variable"])
def test_quiet_leaves_the_result_only(run, monkeypatch, place):
    impossible = [*RANK, "--min-score", "2"]
    assert run(*impossible)[2] != ""
    if place == "variable":
        monkeypatch.setenv("PLACKETT_QUIET", "1")
    arguments = {"before": ["--quiet", *impossible], "behind": [*impossible, "--quiet"]}.get(place, impossible)
    assert run(*arguments) == (0, "", "")


def test_quiet_hides_bars_and_shows_errors(run):
    code, _, error = run("--quiet", "rank", "a", "b", "--model", "/no/such/model")
    assert code == 2
    assert "/no/such/model" in error
    assert _progress.progress_bar(show=True).disable
    run(*RANK)
    assert not _progress.progress_bar(show=True).disable


def test_hints_and_log_lines_are_json(run):
    code, out, error = run("--log-json", "--verbose", *RANK, "--min-score", "2")
    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in error.splitlines()]
    assert {line["logger"] for line in lines} >= {"plackett.cli"}
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)


def test_an_error_is_json_too(run):
    _, _, error = run("rank", "a", "b", "--model", "/no/such/model", "--log-json")
    line = json.loads(error)
    assert line["level"] == "error"
    assert "/no/such/model" in line["message"]


def test_every_option_is_a_variable(run, monkeypatch):
    monkeypatch.setenv("PLACKETT_RANK_TOP_K", "1")
    _, out, _ = run(*RANK)
    assert len(out.splitlines()) == 1
    _, out, _ = run(*RANK, "--top-k", "2")
    assert len(out.splitlines()) == 2


def test_the_model_is_a_variable(run, monkeypatch):
    monkeypatch.setenv("PLACKETT_MODEL", "/no/such/model")
    assert run(*RANK)[0] == 2


@pytest.mark.parametrize("name", commands.commands)
def test_every_command_has_the_options(name):
    names = {option for item in commands.commands[name].params for option in item.opts}
    assert names >= {"--quiet", "--verbose", "--log-json", "--debug"}


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_its_shell_reads(run, shell, tmp_path):
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_PLACKETT_COMPLETE" in out
    if shutil.which(shell):
        (tmp_path / "script").write_text(out)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


def test_a_mistyped_name_is_answered_with_the_near_one(run):
    assert "'rank'" in run("rnk")[2]
    assert "'--top-k'" in run(*RANK, "--topk", "1")[2]


def test_the_advice_on_a_leading_dash_names_the_command(run):
    assert "plackett rank -- QUERY" in run(*RANK, "-x")[2]
    assert " -- " not in run("doctor", "-x")[2]
    assert " -- " not in run("serve", "--prt", "1")[2]


@pytest.mark.parametrize(("value", "is_on"), [("1", True), ("yes", True), ("0", False), ("false", False), ("", False)])
def test_debug_is_a_variable_with_the_values_of_a_flag(run, monkeypatch, value, is_on):
    monkeypatch.setenv("PLACKETT_DEBUG", value)
    code, _, error = run("rank", "a", "b", "--model", "/no/such/model")
    assert code == 2
    assert ("Traceback" in error) is is_on


@pytest.mark.parametrize("name", ["QUIET", "VERBOSE", "LOG_JSON", "DEBUG"])
def test_the_help_names_the_variable_of_an_option(run, name):
    assert f"PLACKETT_{name}" in run("rank", "--help")[1]
