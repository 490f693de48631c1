"""The collection from Python's documentation: big enough, honest, the same twice."""

import os
import re
import subprocess
import sys

import pytest

from plackett.workflows.demo.pydocs import DocumentedObject, held_out_modules, read_objects, relevance


@pytest.fixture(scope="module")
def objects():
    return read_objects()


@pytest.mark.slow
def test_there_are_enough_objects_with_distinct_names_and_queries(objects):
    assert len(objects) >= 1300
    assert len({item.name for item in objects}) == len({item.query for item in objects}) == len(objects)


@pytest.mark.slow
def test_no_query_holds_the_objects_own_name(objects):
    for item in objects:
        own = item.name.rpartition(".")[2]
        assert not re.search(rf"\b{re.escape(own)}\b", item.query, re.IGNORECASE), item.name


def test_no_document_holds_its_query(objects):
    leaks = [item.name for item in objects if item.query in item.document]
    assert len(leaks) <= len(objects) * 0.01, leaks


def test_a_known_object_is_described(objects):
    [item] = [item for item in objects if item.name == "textwrap.dedent"]
    assert item.module == item.parent == "textwrap"
    assert item.query == "Remove any common leading whitespace from every line in `text`."
    assert item.document.startswith("textwrap.dedent(text) ")


def test_whole_modules_are_held_out_by_seed(objects):
    held_out = held_out_modules(objects, 0.12, seed=0)
    share = sum(item.module in held_out for item in objects) / len(objects)
    assert 0.12 <= share < 0.25
    assert held_out == held_out_modules(objects, 0.12, seed=0) != held_out_modules(objects, 0.12, seed=1)


def test_relevance_is_2_for_itself_1_for_siblings_0_for_the_rest():
    here = [DocumentedObject(f"m.C.{name}", "m", "m.C", name, name) for name in "ab"]
    elsewhere = DocumentedObject("m.f", "m", "m", "f", "f")
    assert [relevance(here[0], item) for item in [*here, elsewhere]] == [2, 1, 0]


@pytest.mark.process
def test_reading_is_silent_and_the_same_in_every_process_and_environment():
    code = "from plackett.workflows.demo.pydocs import read_objects\nfor item in read_objects(): print(ascii(item))"
    outputs = []
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "SECRET_TOKEN": f"hunter{seed}"}
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        assert result.stderr == ""
        outputs.append(result.stdout)
    assert outputs[0] == outputs[1]
    assert "hunter" not in outputs[0]
