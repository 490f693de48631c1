"""What the documentation shows is run, page by page and from top to bottom; its links, tables and names are checked."""

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from documentation import figures, reference
from pages import RUN, Reader, blocks
from plackett.cli.group import commands
from plackett.data import write_beir
from plackett.records import Collection, Qrel
from plackett.workflows.demo.pydocs import read_objects

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = sorted(ROOT.glob("docs/**/*.md"))
LIST = {"query": "sort a list", "docs": ["list.sort sorts in place", "dict.get returns a value"], "labels": [1, 0]}


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="session")
def provided(bert, tmp_path_factory):
    """What a reader has: a checkpoint, the demo's folder, files of lists."""
    folder = tmp_path_factory.mktemp("provided")
    shutil.copytree(bert, folder / "plackett-demo" / "model")
    shutil.copytree(bert, folder / "models" / "mine")
    objects = read_objects()[:40]
    (folder / "plackett-demo" / "documents.txt").write_text("\n".join(item.document for item in objects))
    corpus = {item.name: item.document for item in objects}
    queries = {item.name: item.query for item in objects}
    collection = Collection("test", queries, corpus, [Qrel(name, name, 1) for name in queries], ())
    write_beir(folder / "plackett-demo" / "test", collection)
    for name in ("my-lists.jsonl", "my-dev.jsonl", "my-test.jsonl"):
        (folder / name).write_text(json.dumps(LIST) + "\n")
    return folder


RUNNING = [path for path in (README, *DOCUMENTS) if any(block.runs for block in blocks(path.read_text()))]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.filterwarnings("ignore")  # of frameworks, and of clients that pages do not close
@pytest.mark.parametrize("path", RUNNING, ids=name)
def test_a_page_runs(bert, provided, tmp_path, monkeypatch, path):
    shutil.copytree(provided, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    quick = f" --set base={bert} --set training.max_steps=1 --set training.bf16=false --set max_length=32"
    reader = Reader(tmp_path, quick)
    try:
        for block in blocks(path.read_text(encoding="utf-8")):
            reader.read(block)
    finally:
        reader.close()


@pytest.mark.parametrize("path", [README, *DOCUMENTS], ids=name)
def test_a_block_that_does_not_run_says_why(path):
    silent = [block.text for block in blocks(path.read_text()) if block.language in RUN and not block.runs]
    reasons = re.findall(r"<!-- not run: (.+?) -->", path.read_text())
    assert len(silent) == len(reasons)


SHOWN = re.compile(r"^ *plackett +(?P<command>[a-z]+)(?P<rest>(?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)


@pytest.mark.parametrize("path", [README, *DOCUMENTS], ids=name)
def test_the_options_of_a_command_that_a_page_shows_exist(path):
    """Also of commands that do not run, which show how options are combined."""
    for found in SHOWN.finditer(path.read_text(encoding="utf-8")):
        command = commands.commands.get(found["command"])
        if command is None:
            continue  # a sentence
        known = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
        shown = re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"`.*|#.*", "", found["rest"]))
        assert set(shown) <= known | {"--help"}, found[0]


@pytest.mark.parametrize("path", [README, *DOCUMENTS], ids=name)
def test_python_is_fenced_so_that_it_runs(path):
    prose = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^    (?:import|from) \w+.*", prose, re.MULTILINE) == []


def test_the_json_of_the_readme_is_a_list():
    [block] = [block for block in blocks(README.read_text()) if block.language == "json"]
    assert json.loads(block.text) == LIST


def test_the_readme_fits_its_page():
    assert len(README.read_text().splitlines()) < 150


@pytest.mark.parametrize("page", figures.PAGES)
def test_the_tables_of_figures_are_those_of_the_results(page):
    """Else: python -m documentation.figures."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.filled(text) == text


def test_the_picture_of_the_terminal_loads_nothing():
    picture = (ROOT / "docs" / "assets" / "terminal.svg").read_text(encoding="utf-8")
    assert re.findall(r"(?:href|src|url)\W+(?:https?:)?//[^\"')]+", picture) == []
    assert "plackett&#160;rank" in picture


@pytest.mark.parametrize("command", commands.commands)
def test_every_command_stands_in_the_documents(command):
    assert any(f"plackett {command}" in path.read_text() for path in (README, *DOCUMENTS))


def test_the_changelog_opens_with_this_version():
    [latest] = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[:1]
    assert latest == version("plackett")


PAGES = [*DOCUMENTS, *ROOT.glob("*.md"), *ROOT.glob("benchmarks/**/*.md"), *ROOT.glob("default_model/**/*.md")]
REPOSITORY = re.compile(
    r"https://(?:github\.com/plackett/plackett/(?:blob|tree)|raw\.githubusercontent\.com/plackett/plackett)/main/"
)

GENERATED = {ROOT / "docs" / page for page in reference.PAGES}


def links(path):
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [target.partition("#")[0] for target in re.findall(r"\]\((?!#)([^)\s]+)\)", prose)]


@pytest.mark.parametrize("path", sorted(PAGES), ids=name)
def test_links_to_files_lead_somewhere(path):
    for target in links(path):
        if REPOSITORY.match(target):
            assert (ROOT / REPOSITORY.sub("", target)).exists(), target
        elif not target.startswith(("http://", "https://")):
            place = (path.parent / target).resolve()
            assert place.exists() or place in GENERATED, target


def test_links_of_the_readme_are_absolute():
    """The package index shows the README without the files around it."""
    assert [target for target in links(README) if not target.startswith("https://")] == []
