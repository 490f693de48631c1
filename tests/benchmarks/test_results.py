"""Committed results say where they were measured; new ones are written the same way."""

import json
from pathlib import Path

import pytest

from benchmarks._common import provenance, write_result

ROOT = Path(__file__).parents[2]
RESULTS = sorted([*ROOT.glob("benchmarks/*/results/*.json"), *ROOT.glob("default_model/results/*.json")])
BENCHMARKS = sorted(path.parent for path in ROOT.glob("benchmarks/*/run.py"))


def test_there_are_results():
    assert len(RESULTS) > 10


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: "/".join(path.parts[-3:]))
def test_a_result_names_commit_processor_and_versions(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    for entry in found if isinstance(found, list) else [found]:
        known = entry["provenance"]
        assert len(known["commit"]) >= 7
        assert known["processor"]
        assert {"torch", "onnxruntime"} <= known["versions"].keys()


def test_a_new_result_has_the_provenance_of_this_run(tmp_path):
    path = tmp_path / "results" / "new.json"
    earlier = {"provenance": {"commit": "0000000"}, "seconds": 1.5}
    assert write_result(path, earlier) == json.loads(path.read_text()) == {"seconds": 1.5, "provenance": provenance()}


@pytest.mark.parametrize("folder", BENCHMARKS, ids=lambda path: path.name)
def test_a_benchmark_has_a_page_and_is_listed(folder):
    assert (folder / "README.md").is_file()
    assert f"({folder.name}/README.md)" in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
