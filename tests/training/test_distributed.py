"""Two processes train like one with the same global batch."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

WORDS = ["apple", "pear", "plum", "fig", "lime"]


def two_processes(*arguments):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "plackett"]
    command = [*launcher, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stderr


@pytest.mark.process
@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(bert, tmp_path, run):
    """With cached gradients, which add a second pass to what each process does."""
    lists = [
        {"query": WORDS[i % 5], "docs": [f"the {WORDS[(i + j) % 5]} {i}" for j in range(2 + i % 3)], "labels": labels}
        for i in range(24)
        for labels in [[1.0, *[0.0] * (1 + i % 3)]]
    ]
    data = tmp_path / "lists.jsonl"
    data.write_text("\n".join(map(json.dumps, lists)))
    weights, measured = [], []
    for processes, batch in ((1, 8), (2, 4)):
        training = {
            "save_strategy": "steps",
            "save_steps": 3,
            "eval_strategy": "steps",
            "eval_steps": 2,
            "max_steps": 5,  # the second epoch draws other documents
            "per_device_train_batch_size": batch,
            "optim": "sgd",
            "learning_rate": 0.5,
        }
        recipe = {
            "base": str(bert),
            "train": str(data),
            "output": str(tmp_path / f"model{processes}"),
            "loss": {"name": "p_list_mle"},
            "token_budget": 40,  # several micro-batches
            "dropout": 0.0,
            "list_size": 3,
            "cached_gradients": True,
            "dev": str(data),
            "training": training | {"bf16": False, "max_grad_norm": 0},
        }
        path = tmp_path / f"recipe{processes}.yaml"
        path.write_text(json.dumps(recipe))
        if processes == 1:
            code, _, errors = run("train", path)
        else:
            code, errors = two_processes("train", path)
        assert code == 0, errors[-3000:]
        weights.append(load_file(tmp_path / f"model{processes}" / "model.safetensors"))
        state = tmp_path / f"model{processes}-training" / "checkpoint-5" / "trainer_state.json"
        log = json.loads(state.read_text())["log_history"]
        measured.append([entry for entry in log if "eval_lists.jsonl_AP" in entry])
    assert [entry["step"] for entry in measured[0]] == [0, 2, 4, 5]
    for one, two in zip(*measured, strict=True):
        for name in ("nDCG@10", "RR@10", "AP"):
            assert two[f"eval_lists.jsonl_{name}"] == pytest.approx(one[f"eval_lists.jsonl_{name}"], abs=1e-9)
    moved = 0.0
    start = load_file(bert / "model.safetensors")
    for name, one in weights[0].items():
        assert abs(one - weights[1][name]).max() < 1e-5, name
        moved = max(moved, float(abs(one - start.get(name, one)).max()))
    assert moved > 1e-3
