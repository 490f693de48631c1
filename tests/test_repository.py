"""The files around the code: pages for contributors name files that exist, versions agree, typing reaches users."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LARGE = ("duckdb", "narwhals", "onnx", "polars", "ray", "scipy", "torch", "transformers")
NOT_READ = "[mypy-{}.*]\nfollow_imports = skip\n"  # half of the time, and no types of a user of Plackett
CONSUMER = """
from pathlib import Path

from plackett import CrossEncoder, DataError, RankedDocument


def best(folder: Path, query: str, documents: list[str]) -> str:
    model = CrossEncoder(folder, engine="onnx", max_length=256)
    ranked: list[RankedDocument] = model.rank(query, documents, top_k=1, return_documents=True)
    return ranked[0]["text"]


def scores(model: CrossEncoder, pairs: list[tuple[str, str]]) -> list[float]:
    try:
        return [float(score) for score in model.predict(pairs)]
    except DataError as error:
        return [float(len(str(error)))]
"""


@pytest.mark.slow
@pytest.mark.process
def test_a_program_of_a_user_is_type_checked(tmp_path):
    (tmp_path / "right.py").write_text(CONSUMER, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(CONSUMER.replace("top_k=1", 'top_k="one"'), encoding="utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n" + "".join(map(NOT_READ.format, LARGE)))
    command = [sys.executable, "-m", "mypy", "right.py", "wrong.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    [error, _] = done.stdout.splitlines()
    assert error.startswith("wrong.py:")
    assert "[arg-type]" in error


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/stability.md", "docs/decisions/015-packages.md"])
def test_a_page_names_files_that_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"`((?:src|tests|docs|scripts)/[^`\s]+)`", text)
    assert [path for path in found if not (ROOT / path.split()[0]).exists()] == []


@pytest.mark.parametrize("table", ["LOSSES", "ENGINES", "DIALECTS", "FIRST_STAGES", "REPORTS"])
def test_the_tables_of_the_contributing_page_exist(table):
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if f"`{table}`" in line]
    path = re.findall(rf"`{table}` (?:in|to) `([^`]+)`", line)[0]
    assert re.search(rf"^(class )?{table}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["repository-code"] == PROJECT["urls"]["Homepage"]


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob(".github/**/*.yml"), *ROOT.glob(".pre-commit-config.yaml")]),  # the sdist has neither
    ids=lambda path: path.name,
)
def test_the_settings_of_services_are_yaml(path):
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").iterdir()), ids=lambda path: path.name)
@pytest.mark.process
def test_a_script_can_be_run(path):
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0


@pytest.mark.process
def test_nothing_built_is_in_the_repository():
    listed = subprocess.run(["git", "ls-files", "build", "dist"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert listed.stdout == ""
