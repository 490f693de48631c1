"""Every command against what happens to commands: one clear line, the right exit code, nothing lost or left behind."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import plackett.bulk.run as bulk_driver
from plackett.bulk.scoring import Scorer
from warm import Command

WORDS = ["apple", "pear", "plum", "list", "sort", "file", "path", "word", "json", "text"]
PLACKETT = [sys.executable, "-m", "plackett"]
USER_LINES = ("plackett: ", "Error: ")


@dataclass(frozen=True)
class Case:
    """A command in a folder with `model`, its export `graph`, `lists.jsonl`, `beir`, run and texts.

    Commands that only score use the export: a process that imports torch takes six times as long.
    """

    arguments: Sequence[str]
    inputs: Sequence[str]
    output: str = ""
    is_folder: bool = False


TRAINING = ["training.max_steps=2", "training.save_strategy=steps", "training.save_steps=1", "training.logging_steps=1"]
CASES = {
    "rank": Case(["rank", "apple", "--documents", "documents.txt", "--model", "graph"], ["documents.txt"]),
    "search": Case(["search", "documents.txt", "apple list", "--model", "graph"], ["documents.txt"]),
    "info": Case(["info", "model"], []),
    "rerank": Case(
        ["rerank", "--run", "run.trec", "--queries", "queries.tsv", "--corpus", "corpus.tsv", "--model", "graph"],
        ["run.trec", "queries.tsv", "corpus.tsv"],
        "out.trec",
    ),
    "mine": Case(["mine", "beir"], ["beir/corpus.jsonl", "beir/queries.jsonl", "beir/qrels/train.tsv"], "out.jsonl"),
    "evaluate": Case(["evaluate", "graph", "--data", "lists.jsonl"], ["lists.jsonl"], "out.json"),
    "train": Case(
        ["train", "recipe.yaml", *(word for setting in TRAINING for word in ("--set", setting))],
        ["recipe.yaml", "lists.jsonl"],
        "out",
        is_folder=True,
    ),
    "export": Case(["export", "model", "--engine", "onnx"], [], "out", is_folder=True),
    "calibrate": Case(["calibrate", "graph", "--data", "lists.jsonl", "--folds", "2"], ["lists.jsonl"]),
    "verify": Case(["verify", "graph", "graph", "--data", "lists.jsonl"], ["lists.jsonl"]),
    "card": Case(["card", "model"], []),
    "publish": Case(["publish", "model", "org/name", "--dry-run"], []),
    "bulk": Case(
        ["bulk", "--input", "run.trec", "--queries", "queries.tsv", "--corpus", "corpus.tsv", "--model", "graph"],
        ["run.trec", "queries.tsv", "corpus.tsv"],
        "out.trec",
    ),
    "serve": Case(["serve", "--config", "serve.toml", "--check"], ["serve.toml"]),
}
OUTPUT = {"rerank": "--output", "mine": "--output", "evaluate": "--json", "export": "--output", "bulk": "--output"}
WITH_INPUT = [name for name, case in CASES.items() if case.inputs]
WITH_OUTPUT = [name for name, case in CASES.items() if case.output]
WITHOUT_TORCH = ["rank", "search", "info", "rerank", "evaluate", "calibrate", "card", "serve"]
GROWING = ["rerank", "mine"]
ASKING = ["bulk"]
"""What replaces a file only where it is told to."""
KINDS = ["rerank", "evaluate", "train"]
"""One command for each kind of output: a file that grows, a file that is written at once, a folder."""


def arguments(name: str, output: str = "") -> list[str]:
    case = CASES[name]
    if not case.output:
        return list(case.arguments)
    output = output or case.output
    return [*case.arguments, *(["--set", f"output={output}"] if name == "train" else [OUTPUT[name], output])]


@pytest.fixture(scope="module")
def originals(tiny, tmp_path_factory):
    """What the commands read, small."""
    folder = tmp_path_factory.mktemp("originals")
    shutil.copytree(tiny("bert"), folder / "model")
    texts = [" ".join(WORDS[(i * step) % 10] for step in (1, 3, 7)) + f" number{i}" for i in range(80)]
    rows = [
        {"query": f"{WORDS[i]} {WORDS[i - 1]}", "docs": texts[i : i + 6], "labels": [int(j == i % 6) for j in range(6)]}
        for i in range(10)
    ]
    (folder / "lists.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "documents.txt").write_text("\n".join(texts[:20]) + "\n")
    queries = {f"q{i}": f"{WORDS[i % 10]} {WORDS[i * 3 % 10]}" for i in range(80)}
    (folder / "queries.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in queries.items()))
    (folder / "corpus.tsv").write_text("".join(f"d{i}\t{text}\n" for i, text in enumerate(texts)))
    lines = [f"{key} Q0 d{(i * 7 + j) % 80} {j + 1} {9 - j} x\n" for i, key in enumerate(queries) for j in range(5)]
    (folder / "run.trec").write_text("".join(lines))
    (folder / "beir" / "qrels").mkdir(parents=True)
    for name, of_file in (("queries", queries), ("corpus", {f"d{i}": text for i, text in enumerate(texts)})):
        content = "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in of_file.items())
        (folder / "beir" / f"{name}.jsonl").write_text(content)
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(80))
    (folder / "beir" / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    recipe = {"base": "model", "train": "lists.jsonl", "output": "out", "list_size": 3, "training": {"bf16": False}}
    (folder / "serve.toml").write_text('port = 8080\nmodels = ["graph"]\n')
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    for words in (["card", "model"], ["export", "model", "--engine", "onnx", "--output", "graph"]):
        subprocess.run([*PLACKETT, *words], cwd=folder, check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(autouse=True)
def scored_here(monkeypatch):
    """Score bulk jobs of this process without Ray, which takes ten seconds to start."""

    def score(_job, work, parts):
        return ((part.number, Scorer(work).score(part)) for part in parts)

    monkeypatch.setattr(bulk_driver, "_scored", score)


@pytest.fixture
def place(originals, tmp_path, monkeypatch):
    """The folder that the commands run in."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder: Path = Path()) -> dict[str, bytes | None]:
    """Path -> content of all that is there, hidden or not."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def is_one_line(errors: str) -> bool:
    """Whether a user is told once what was wrong: progress bars and warnings of other libraries do not count."""
    return sum(line.startswith(USER_LINES) for line in errors.splitlines()) == 1 and "Traceback" not in errors


def process(given: Sequence[str], python: Sequence[str], **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run a command with options of the interpreter, and changes to its environment."""
    environment = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
    command = [sys.executable, *python, "-m", "plackett", *given]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_command_is_forgotten_and_each_works(place, run, name):
    code, _, errors = run(*arguments(name))
    assert code == 0, errors
    assert not [path for path in everything() if path.endswith(".plackett")]
    assert all(any(path.iterdir()) for path in place.rglob("*-training"))


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def latin(path: Path) -> None:
    path.write_bytes(path.read_bytes() + "\ncafé".encode("latin-1"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9] if path.suffix == ".jsonl" else b'{"base": [')


# Half of a line of text is a line of text, and settings may be none.
DAMAGE = [missing, empty, folder, device, latin, cut]
DAMAGED = [
    pytest.param(name, path, damage, id=f"{name}-{Path(path).name}-{damage.__name__}")
    for name in WITH_INPUT
    for path in CASES[name].inputs
    for damage in DAMAGE
    if not (damage is cut and path.endswith((".txt", ".tsv", ".trec")))
    if not (damage in (empty, device) and path.endswith(".toml"))
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "path", "damage"), DAMAGED)
def test_damaged_inputs_are_one_line_and_exit_code_2(place, run, name, path, damage):
    damage(place / path)
    before = everything()
    code, output, errors = run(*arguments(name))
    assert (code, output) == (2, "")
    assert is_one_line(errors), errors
    assert everything() == before


def in_the_way(kind: str, path: Path, is_folder: bool) -> Path:
    """Put something where the output should go; the output to name."""
    if kind == "other":
        path.mkdir()
        (path / "config.json").write_text('{"port": 8080}')
        (path / "main.py").write_text("print(1)")
        return path
    if kind == "beneath a file":
        path.write_text("mine")
        return path / "inside"
    if kind == "file":
        path.write_text("mine")
        return path
    return Path("/proc/plackett-output")  # read-only, for root too


@pytest.mark.parametrize("kind", ["other", "file", "beneath a file", "read-only"])
@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_outputs_that_cannot_be_are_refused_before_the_work(place, run, monkeypatch, name, kind):
    case = CASES[name]
    output = in_the_way(kind, place / case.output, case.is_folder)
    before = everything()
    code, printed, errors = run(*arguments(name, str(output)))
    if kind == "file" and not case.is_folder and name not in ASKING:
        assert code == 0
        assert (place / case.output).read_text() != "mine", "a file of results is replaced by the next"
        return
    assert (code, printed) == (2, "")
    assert is_one_line(errors), errors
    assert everything() == before


AS_ANOTHER_USER = """
import json, os, sys
from plackett.cli import main

def run(words):
    sys.argv = ["plackett", *words]
    try:
        main()
    except SystemExit as exit_:
        print(exit_.code)

refused, read_only = json.loads(sys.argv[1])
for words in refused:  # imports what the other user may not read
    run(words)
if os.getuid() == 0:
    os.setuid(65534)
for words in read_only:
    run(words)
"""


@pytest.mark.slow
@pytest.mark.process
def test_a_read_only_folder_is_refused_before_the_work(place):
    """As another user than root, who may write anywhere."""
    for path in (place, *place.parents, *place.rglob("*")):
        if path.owner() == "root" and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    (place / "closed").mkdir(mode=0o555)
    before = everything()
    commands = [[arguments(name, path) for name in WITH_OUTPUT] for path in ("/proc/plackett-output", "closed/out")]
    command = [sys.executable, "-c", AS_ANOTHER_USER, json.dumps(commands)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["2"] * 2 * len(WITH_OUTPUT), done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(USER_LINES)]
    assert ["closed" in line for line in told] == [False] * len(WITH_OUTPUT) + [True] * len(WITH_OUTPUT)
    assert everything() == before


@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_an_output_that_is_an_input_is_refused(place, run, name):
    before = everything()
    targets = ["model", "."] if CASES[name].is_folder else CASES[name].inputs[:1]
    for target in targets:
        code, printed, errors = run(*arguments(name, target))
        assert (code, printed) == (2, ""), target
        assert is_one_line(errors), errors
    assert everything() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_links_that_lead_nowhere_or_in_circles(place, run, name):
    ending = "" if CASES[name].is_folder else Path(CASES[name].output).suffix
    (place / f"circle{ending}").symlink_to(f"circle{ending}")
    (place / f"dangling{ending}").symlink_to("nowhere")
    before = everything()
    code, _, errors = run(*arguments(name, f"circle{ending}"))
    if CASES[name].is_folder:
        assert code == 2
        assert is_one_line(errors), errors
        assert everything() == before
    else:
        assert code == 0, errors
        assert not (place / f"circle{ending}").is_symlink()
    assert run(*arguments(name, f"dangling{ending}"))[0] == 0
    assert (place / "nowhere").exists() == CASES[name].is_folder


def test_an_index_in_a_circle_of_links_is_used_once(place, run):
    (place / "circle").symlink_to("circle")
    code, _, errors = run(*arguments("search"), "--index", "circle")
    assert code == 0, errors
    assert (place / "circle").is_symlink()


@pytest.mark.parametrize("name", ["train", "export"])
def test_a_slash_at_the_end_of_an_output_means_nothing(place, run, name):
    code, _, errors = run(*arguments(name, "deep/out/"))
    assert code == 0, errors
    assert (place / "deep" / "out" / "config.json").is_file()


@pytest.mark.slow
def test_a_training_that_diverges_leaves_the_old_model(place, run):
    assert run(*arguments("train"))[0] == 0
    before = everything(place / "out")
    code, _, errors = run(*arguments("train"), "--set", "training.learning_rate=1e30")
    assert code == 2
    assert is_one_line(errors)
    assert "learning_rate" in errors
    assert everything(place / "out") == before


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_a_disk_that_is_full(place, name):
    """The largest file that a process may write stands for it: the system's error is another, its handling is not."""
    before = everything()
    done = Command([*arguments(name), "--quiet"], file_limit=400)  # of its standard error too
    _, errors = done.communicate()
    assert done.returncode == 1, errors
    assert is_one_line(errors), errors
    assert {path: content for path, content in everything().items() if "partial" not in path} == before


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", [name for name in CASES if name != "bulk"])  # tests/bulk/test_ray.py starts it so
def test_no_home_warnings_as_errors_and_optimised_code_change_nothing(place, name):
    # transformers needs docstrings, and without them alone, torch would be compiled once more: half a minute.
    optimised = "2" if name in WITHOUT_TORCH else "0"
    done = process(arguments(name), python=["-W", "error"], HOME=None, PYTHONOPTIMIZE=optimised)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_is_stopped_at_a_random_moment_can_be_run_again(place, name):
    """First killed, then stopped by Ctrl-C, then left to end: the output is that of a run that nobody stopped."""
    start = time.monotonic()
    assert Command(arguments(name, "whole")).wait() == 0
    seconds = time.monotonic() - start
    expected = everything(place / "whole") or (place / "whole").read_bytes()
    before = set(everything())

    moments = random.Random(name)
    for how in (signal.SIGKILL, signal.SIGINT):
        stopped = Command(arguments(name))
        time.sleep(moments.uniform(0.1, 1) * seconds)
        stopped.send_signal(how)
        errors = stopped.communicate()[1]
        assert stopped.returncode in {0, -how, 130}, errors
        assert stopped.returncode != 130 or is_one_line(errors), errors

    assert Command(arguments(name)).wait() == 0
    found = everything(place / CASES[name].output) or (place / CASES[name].output).read_bytes()
    if name in GROWING:
        assert found == expected
    assert len(found) == pytest.approx(len(expected), rel=0.2)
    ours = {CASES[name].output, "out-training"}
    assert not {path for path in set(everything()) - before if path.split("/")[0] not in ours}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", KINDS)
def test_two_at_once_on_one_output(place, name):
    both = [Command(arguments(name)) for _ in range(2)]
    errors = [one.communicate()[1] for one in both]
    codes = [one.returncode for one in both]
    assert 0 in codes
    assert set(codes) <= {0, 2}
    assert all(is_one_line(text) for code, text in zip(codes, errors, strict=True) if code)
    assert (place / CASES[name].output).exists()
