"""Bulk jobs on a real local Ray with two workers; what is killed, and goes on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plackett.bulk.parts import names_in, parquet_parts
from plackett.bulk.scoring import Scorer, Work
from tiny import TEXTS

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.peer, pytest.mark.timeout(900)]

ROWS = 15_000
PART = 250  # rows


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("bulk") / "in.parquet"
    count = len(TEXTS)
    rows = range(ROWS)
    pq.write_table(
        pa.table({"query": [TEXTS[n % 50] for n in rows], "text": [TEXTS[(7 * n) % count] for n in rows]}), path
    )
    return path


@pytest.fixture
def start(tmp_path, graph):
    """Start a job with two actors, with warnings as errors and no HOME; its standard error goes to a file.

    What still runs at the end is killed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    with contextlib.ExitStack() as stack:

        def start(source, output, *options):
            command = [
                sys.executable,
                "-W",
                "error",
                "-m",
                "plackett",
                "bulk",
                "--input",
                source,
                "--output",
                output,
                "--model",
                graph,
            ]
            command += ["--rows", PART, "--concurrency", 2, *options]
            errors = stack.enter_context((tmp_path / "errors").open("w"))
            command = list(map(str, command))
            process = stack.enter_context(subprocess.Popen(command, stdout=errors, stderr=errors, env=environment))
            stack.callback(process.kill)
            return process

        yield start


def last_line(tmp_path):
    return (tmp_path / "errors").read_text().splitlines()[-1]


def parts(folder):
    return {path.name: path for path in folder.glob("part-*")}


def until_parts(folder, number, process):
    while len(parts(folder)) < number:
        assert process.poll() is None
        time.sleep(0.005)


def actors(driver):
    """The processes of Ray's actors, by their titles, below a driver."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            title, status = (path / "cmdline").read_bytes(), (path / "stat").read_text()
        except OSError:
            continue
        if (
            title.startswith(b"ray::")
            and b"_Actor" in title
            and driver in ancestors(int(status.rpartition(")")[2].split()[1]))
        ):
            found.append(int(path.name))
    return found


def ancestors(pid):
    found = []
    while pid > 1:
        found.append(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def contents(folder):
    return {name: path.read_bytes() for name, path in parts(folder).items()}


def scored_here(source, output, graph):
    """The parts, scored in this process with the threads of an actor."""
    names = names_in(["query", "text"], {}, source)
    output.mkdir()
    scorer = Scorer(Work(str(graph), {"threads": 1}, names, str(output)))
    for part in parquet_parts([source], names, PART):
        scorer.score(part)
    return contents(output)


def test_a_killed_actor_and_a_killed_driver_lose_nothing(source, start, graph, tmp_path):
    output = tmp_path / "out"
    process = start(source, output)
    until_parts(output, 1, process)
    victims = actors(process.pid)
    assert victims  # the second may not have started yet
    os.kill(victims[0], signal.SIGKILL)
    until_parts(output, 15, process)
    process.kill()
    process.wait()
    kept = {name: path.stat().st_mtime_ns for name, path in parts(output).items()}
    assert len(kept) < ROWS / PART

    process = start(source, output)
    assert process.wait(400) == 0, last_line(tmp_path)
    assert contents(output) == scored_here(source, tmp_path / "here", graph)
    assert {name: parts(output)[name].stat().st_mtime_ns for name in kept} == kept


def test_the_errors_of_actors_are_plackett_s(start, tmp_path):
    pq.write_table(pa.table({"query": ["a", ""], "text": ["b", "c"]}), tmp_path / "in.parquet")
    assert start(tmp_path / "in.parquet", tmp_path / "out").wait(400) == 2
    assert "row 2: the query is empty" in last_line(tmp_path)


def test_a_cluster_that_is_not_there_is_named(source, start, tmp_path):
    assert start(source, tmp_path / "out", "--address", "127.0.0.1:9").wait(400) == 2
    assert "127.0.0.1:9" in last_line(tmp_path)
