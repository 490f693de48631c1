"""What `plackett doctor` finds."""

import json

import pytest

from plackett.errors import CheckpointError
from plackett.workflows import doctor

KNOWN = {"PLACKETT_MODEL", "PLACKETT_PORT", "PLACKETT_RANK_TOP_K"}


def findings(environment, topic):
    return [found for found in doctor.examine(environment, KNOWN) if found.topic == topic]


def test_this_installation_has_no_problem(run):
    code, out, _ = run("doctor", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [item for item in found if item["status"] == "problem"] == []
    assert code == 0
    assert {"plackett", "embedded model", "processor"} <= {item["topic"] for item in found}


def test_a_mistyped_variable_is_a_problem(run, monkeypatch):
    monkeypatch.setenv("PLACKETT_MODLE", "x")
    code, out, _ = run("doctor")
    assert code == 1
    assert "PLACKETT_MODEL" in out


@pytest.mark.parametrize("name", ["PLACKETT_PORT", "PLACKETT_RANK_TOP_K", "PLACKETT_QUIET", "PLACKETT_SOMETHING_ELSE"])
def test_other_variables_are_none(run, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    code, out, _ = run("doctor")
    assert (code, name in out) == (0, False)


@pytest.mark.parametrize(("name", "value"), [("OMP_NUM_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false")])
def test_what_slows_down_is_named(monkeypatch, name, value):
    monkeypatch.setattr("plackett.workflows.info.usable_threads", lambda: 8)
    [found] = findings({name: value}, name)
    assert found.status == "faster"
    assert name in found.advice
    assert findings({name: "16" if value == "1" else "true"}, name) == []


def test_a_damaged_embedded_model_is_a_problem(monkeypatch):
    def damaged():
        raise CheckpointError("vocab.txt is damaged")

    monkeypatch.setattr("plackett.workflows.info.bundled.folder", damaged)
    [found] = findings({}, "embedded model")
    assert found.status == "problem"
    assert "vocab.txt" in found.message


def test_half_an_extra_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "is_installed", lambda name: name != "uvicorn")
    [found] = findings({}, "extra serve")
    assert found.status == "problem"
    assert "plackett[serve]" in found.advice


def test_two_builds_of_onnxruntime_are_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_has", lambda name: True)
    [found] = findings({}, "onnxruntime")
    assert found.status == "problem"
    assert "onnxruntime-gpu" in found.message
