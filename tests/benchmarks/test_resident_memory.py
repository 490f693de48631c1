"""Memory stops growing: the benchmark itself, over hundreds of ranks in place of ten thousand."""

import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RANKS = 600


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
@pytest.mark.slow
@pytest.mark.parametrize("engine", [["torch"], ["onnx", "--precision", "int8"]])
def test_ranks_of_random_shapes_do_not_add_up(bert, tmp_path, engine):
    folder = shutil.copytree(bert, tmp_path / "mine")
    command = [
        sys.executable,
        BENCHMARKS / "resident_memory.py",
        *engine,
        "--ranks",
        str(RANKS),
        "--checkpoint",
        folder,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    entry = json.loads(done.stdout)
    assert entry["growth"] <= 0.1
    assert entry["highest MB afterwards"] > 50


def test_the_committed_results_keep_to_the_claim():
    entries = json.loads((BENCHMARKS / "results" / "resident_memory.json").read_text())
    assert {("torch", "fp32"), ("torch", "bf16"), *product(("onnx", "openvino"), ("fp32", "int8"))} <= {
        (entry["engine"], entry["precision"]) for entry in entries
    }
    for entry in entries:
        assert entry["ranks"] >= 10_000
        tenth = len(entry["MB"]) // 10
        plateau = sorted(entry["MB"][tenth : 2 * tenth + 1])[(tenth + 1) // 2]
        assert max(entry["MB"][2 * tenth :]) <= 1.1 * plateau
