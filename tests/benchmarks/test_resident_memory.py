"""Memory stops growing: the benchmark itself, over hundreds of ranks instead of ten thousand."""

import json
import shutil
from itertools import product
from pathlib import Path

import pytest

from benchmarks.resident_memory import run

RANKS = 300


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("engine", [["torch"], ["onnx", "--precision", "int8"]])
def test_ranks_of_random_shapes_do_not_add_up(bert, tmp_path, module, engine):
    folder = shutil.copytree(bert, tmp_path / "mine")
    done = module("benchmarks.resident_memory.run", *engine, "--ranks", RANKS, "--checkpoint", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    entry = json.loads(done.stdout)
    assert entry["growth"] <= 0.1
    assert entry["highest MB afterwards"] > 50


def test_the_committed_results_keep_to_the_claim():
    entries = json.loads(run.RESULT.read_text())
    assert {("torch", "fp32"), ("torch", "bf16"), *product(("onnx", "openvino"), ("fp32", "int8"))} <= {
        (entry["engine"], entry["precision"]) for entry in entries
    }
    for entry in entries:
        assert entry["ranks"] >= 10_000
        tenth = len(entry["MB"]) // 10
        plateau = sorted(entry["MB"][tenth : 2 * tenth + 1])[(tenth + 1) // 2]
        assert max(entry["MB"][2 * tenth :]) <= 1.1 * plateau
