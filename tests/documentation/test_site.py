"""The site's pages: all in the navigation, links that lead somewhere, and generated pages that name everything."""

import dataclasses
import os
import re
import shutil
import subprocess

import pytest
import yaml

from documentation import man, notebook, reference, site
from documentation.figures import ROOT
from plackett.cli.group import commands
from plackett.serving.settings import OPTIONS
from plackett.training.recipe import Recipe


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags are the builder's."""


def navigation(entry):
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in navigation(part)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    site.collect(folder, {"tour.md": lambda: "# Tour\n"})
    return folder


def test_the_navigation_leads_to_pages(source):
    listed = set(navigation(yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]))
    pages = {path.relative_to(source).as_posix() for path in source.rglob("*.md")}
    assert listed - pages == set()


def test_links_between_pages_lead_somewhere(source):
    broken = []
    for path in source.rglob("*.md"):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for _, target, _ in site.LINK.findall(prose):
            if not os.path.exists(path.parent / target):
                broken.append((path.name, target))
    assert broken == []


@pytest.mark.parametrize(
    ("page", "target", "expected"),
    [
        ("docs/train.md", "../benchmarks/speed/README.md", "benchmarks/speed/index.md"),
        ("docs/concepts/int8.md", "../../benchmarks/speed/README.md", "../benchmarks/speed/index.md"),
        ("benchmarks/speed/README.md", "../../docs/decisions/005-exports.md", "../../decisions/005-exports.md"),
        ("docs/train.md", "../src/plackett/recipes/lists.yaml", f"{site.REPOSITORY}src/plackett/recipes/lists.yaml"),
        ("docs/train.md", "evaluate.md#collections", "evaluate.md#collections"),
        ("docs/train.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("docs/train.md", "#data", "#data"),
    ],
)
def test_links_follow_their_files(page, target, expected):
    assert site.relinked(f"see [it]({target}).", page) == f"see [it]({expected})."


def test_the_reference_names_every_command_and_option():
    text = reference.cli()
    for name, command in commands.commands.items():
        assert f"## plackett {name}\n" in text
        for item in command.params:
            if item.param_type_name == "option" and not getattr(item, "hidden", False):
                assert item.opts[0] in text


def test_the_reference_names_every_key_setting_and_path():
    assert all(f"| `{item.name}` |" in reference.recipes() for item in dataclasses.fields(Recipe))
    variables = reference.environment()
    assert all(f"`PLACKETT_{name.upper()}`" in variables for name in OPTIONS)
    assert "`PLACKETT_QUIET`" in variables
    paths = reference.http()
    assert all(f"`{path}`" in paths for path in ("/rerank", "/v2/rerank", "/health", "/openapi.json"))


def test_the_python_reference_names_public_names():
    text = reference.python()
    for name in ("plackett.cross_encoder.CrossEncoder", "plackett.losses.likelihood.p_list_mle"):
        assert f"::: {name}\n" in text


def test_pictures_and_pages_load_nothing():
    for path in (ROOT / "docs" / "assets").glob("*.svg"):
        assert re.findall(r"(?:href|src|url\()\W*https?://", path.read_text(encoding="utf-8")) == []
    assert yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["theme"]["font"] is False


@pytest.mark.process
def test_manual_pages_are_right_for_troff(tmp_path):
    man.write(tmp_path)
    pages = sorted(tmp_path.iterdir())
    assert {page.stem for page in pages} == {"plackett", *(f"plackett-{name}" for name in commands.commands)}
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-ww", "-z", *pages], capture_output=True, text=True, check=True)
        assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.filterwarnings("ignore")  # of the Jupyter libraries, about their own event loops
@pytest.mark.timeout(900)  # a kernel of its own, which starts slowly on a busy machine
def test_the_notebook_runs_from_top_to_bottom():
    page = notebook.page(notebook.run(ROOT / "docs" / "tour.ipynb"))
    assert page.count("<table>") >= 4
    assert "queries helped" in page
