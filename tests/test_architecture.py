"""Sizes, the direction of imports, and what works without the extras."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from radon import complexity

from bare import EXTRAS, OF_EVALUATE, python
from plackett.checkpoints import own_files

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "plackett").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name: lines for node in functions if (lines := node.end_lineno - node.lineno + 1) > 50}
    assert long == {}


@pytest.mark.process
def test_imports_point_down():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_every_module_has_its_place_in_the_contract():
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    modules = {path.relative_to(ROOT / "src" / "plackett").parts[0].removesuffix(".py") for path in SOURCES}
    assert {name for name in modules if not name.startswith("__") and f"plackett.{name}" not in contract} == set()


@pytest.mark.process
def test_the_package_and_its_help_work_on_the_bare_install():
    done = python("import plackett; print(plackett.CrossEncoder.__name__)")
    assert (done.returncode, done.stdout) == (0, "CrossEncoder\n"), done.stderr
    run = "import runpy; sys.argv[0] = 'plackett'; runpy.run_module('plackett', run_name='__main__')"
    for arguments in (
        ["--help"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["rank", "--help"],
        ["info", "--help"],
        ["demo", "--help"],
        ["card", "--help"],
        ["export", "--help"],
        ["publish", "--help"],
        ["calibrate", "--help"],
        ["verify", "--help"],
    ):
        done = python(run, *arguments)
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout


@pytest.mark.process
def test_a_missing_extra_is_named(bert, tmp_path):
    code = """
from pathlib import Path
import plackett
from plackett.data import read_lists
for call in (lambda: plackett.CrossEncoder(sys.argv[1]), lambda: list(read_lists(Path(sys.argv[2])))):
    try:
        call()
    except plackett.MissingExtraError as error:
        print(error)
"""
    (tmp_path / "x.parquet").touch()
    done = python(code, bert, tmp_path / "x.parquet")
    assert done.stdout.splitlines() == [
        "this needs torch, which is not installed: pip install 'plackett[train]'",
        "this needs pyarrow, which is not installed: pip install 'plackett[train]'",
    ], done.stderr


@pytest.mark.process
def test_a_missing_extra_is_one_line_of_the_command(bert):
    run = "import runpy; sys.argv[0] = 'plackett'; runpy.run_module('plackett', run_name='__main__')"
    for arguments in (["rank", "q", "d", "--model", bert], ["train", "recipe.yaml"]):
        done = python(run, *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "pip install 'plackett[train]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.process
def test_the_default_model_is_measured_without_torch(tmp_path):
    row = {"query": "apple", "docs": ["the pear", "the apple"], "labels": [0, 1]}
    (tmp_path / "lists.jsonl").write_text(json.dumps(row) + "\n")
    run = "import runpy; sys.argv[0] = 'plackett'; runpy.run_module('plackett', run_name='__main__')"
    command = ["evaluate", "default", "--data", tmp_path / "lists.jsonl", "--output", tmp_path / "report.html"]
    done = python(run, *command, installed=OF_EVALUATE)
    assert done.returncode == 0, done.stderr
    assert "1.0000" in done.stdout
    assert (tmp_path / "report.html").is_file()
    for name in OF_EVALUATE - {"pyarrow"}:  # for Parquet files alone
        done = python(run, *command, installed=OF_EVALUATE - {name})
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert "plackett[evaluate]" in done.stderr


@pytest.mark.process
def test_importing_plackett_is_light():
    """Half a second of imports for every `--help` is what this keeps away; torch alone is two."""
    heavy = EXTRAS | {"httpx2", "huggingface_hub"}
    code = f"import sys, plackett.cross_encoder; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_functions_stay_simple():
    paths = [*SOURCES, *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("default_model/*.py")]
    blocks = [(path, block) for path in paths for block in complexity.cc_visit(path.read_text(encoding="utf-8"))]
    found = {f"{path.relative_to(ROOT)}:{block.fullname}" for path, block in blocks if block.complexity > 10}
    assert found == set()


def test_the_names_of_a_checkpoints_own_files_are_in_one_place():
    own = {
        own_files.FACTS,
        own_files.RECIPE,
        own_files.CALIBRATION,
        own_files.CALIBRATION_PLOT,
        own_files.TRAINING_PLOT,
    }
    texts = {path.name: path.read_text(encoding="utf-8") for path in SOURCES if path.name != "own_files.py"}
    assert not [(file, name) for file, text in texts.items() for name in own if f'"{name}"' in text]
