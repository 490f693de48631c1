"""What the documents show is run: every block of Python and every command of the README, on a tiny model."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from plackett.cli.group import commands
from plackett.data import write_beir
from plackett.records import Collection, Qrel
from plackett.workflows.demo.pydocs import read_objects

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(ROOT.glob("docs/**/*.md"))


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def folder(bert, tmp_path_factory):
    """What the README's blocks find where they run: the demo's folder and files of lists."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(bert, folder / "plackett-demo" / "model")
    objects = read_objects()[:40]
    (folder / "plackett-demo" / "documents.txt").write_text("\n".join(item.document for item in objects))
    corpus = {item.name: item.document for item in objects}
    queries = {item.name: item.query for item in objects}
    collection = Collection("test", queries, corpus, [Qrel(name, name, 1) for name in queries], ())
    write_beir(folder / "plackett-demo" / "test", collection)
    [line] = blocks(README, "json")
    for name in ("my-lists.jsonl", "my-test.jsonl"):
        (folder / name).write_text(line)
    return folder


@pytest.mark.process
@pytest.mark.parametrize(
    "block", [*blocks(README, "python"), *(b for d in DOCUMENTS for b in blocks(d.read_text(), "python"))]
)
def test_a_block_of_python_runs(folder, block):
    subprocess.run([sys.executable, "-c", block], cwd=folder, check=True, capture_output=True)


def shell_lines():
    lines = [line for block in blocks(README, "shell") for line in block.splitlines()]
    return [line for line in lines if "plackett " in line]


@pytest.mark.slow
@pytest.mark.process
def test_the_lines_of_shell_run_in_their_order(bert, folder):
    """One test: later lines read what earlier ones wrote, and workers share no folder."""
    quick = f" --set base={bert} --set training.max_steps=1 --set training.bf16=false --set max_length=32"
    for line in shell_lines():
        command = re.sub(r"(^|\| )plackett ", rf"\1{shlex.quote(sys.executable)} -m plackett ", line)
        command += quick if line.startswith("plackett train") else ""
        result = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, (line, result.stderr)
        assert result.stdout, line


def test_the_json_of_the_readme_is_a_list():
    [line] = blocks(README, "json")
    assert json.loads(line).keys() == {"query", "docs", "labels"}


@pytest.mark.parametrize("name", commands.commands)
def test_every_command_stands_in_the_documents(name):
    assert any(f"plackett {name}" in text for text in (README, *(path.read_text() for path in DOCUMENTS)))


def test_the_changelog_opens_with_this_version():
    [latest] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[:1]
    assert latest == version("plackett")


PAGES = [*DOCUMENTS, *ROOT.glob("*.md"), *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("default_model/**/*.md")]
REPOSITORY = re.compile(r"https://github\.com/plackett/plackett/(?:blob|tree)/main/")


def links(path):
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [target.partition("#")[0] for target in re.findall(r"\]\((?!#)([^)\s]+)\)", prose)]


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(path):
    for target in links(path):
        if REPOSITORY.match(target):
            assert (ROOT / REPOSITORY.sub("", target)).exists(), target
        elif not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_links_of_the_readme_are_absolute():
    """The package index shows the README without the files around it."""
    assert [target for target in links(ROOT / "README.md") if not target.startswith("https://")] == []
