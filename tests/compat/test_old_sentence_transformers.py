"""The same scores in sentence-transformers 4.1 and 5.2, both ways.

`make compat` makes their environments and runs this. PLACKETT_OLD_PYTHONS names the interpreters, separated as in PATH;
without it nothing is tested here.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import torch

from plackett import CrossEncoder
from plackett.workflows.train import train as run_recipe
from small_families import PAIRS as SHORT_AND_LONG
from small_families import build
from tiny import PAIRS

SCRIPT = Path(__file__).with_name("check_old_sentence_transformers.py")
PYTHONS = [name for name in os.environ.get("PLACKETT_OLD_PYTHONS", "").split(os.pathsep) if name]

pytestmark = [pytest.mark.peer, pytest.mark.process, pytest.mark.skipif(not PYTHONS, reason="make compat")]


@pytest.fixture(params=PYTHONS or ["none"], ids=lambda name: Path(name).parts[-3] if name.count("/") > 2 else name)
def old(request, tmp_path):
    """`old(folder, save=None)`: what an old sentence-transformers says of a folder."""

    def answer(folder, save=None, pairs=PAIRS):
        (tmp_path / "pairs.json").write_text(json.dumps(pairs))
        command = [request.param, SCRIPT, folder, tmp_path / "pairs.json", *(["--save", save] if save else [])]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return answer


@pytest.fixture(scope="module")
def trained(bert, tmp_path_factory):
    """A checkpoint as `plackett train` leaves it."""
    folder = tmp_path_factory.mktemp("compat")
    rows = [{"query": f"apple {n}", "docs": ["the apple", "the pear"], "labels": [1, 0]} for n in range(16)]
    (folder / "lists.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    training = "{max_steps: 4, learning_rate: 1.0e-3, bf16: false}"
    recipe = f"base: {bert}\ntrain: {folder}/lists.jsonl\noutput: {folder}/model\ntraining: {training}\n"
    (folder / "recipe.yaml").write_text(recipe)
    return run_recipe(folder / "recipe.yaml").folder


def agree(theirs, encoder):
    assert theirs["activation"].lower() == encoder.checkpoint.activation
    np.testing.assert_allclose(theirs["scores"], encoder.predict(PAIRS), atol=1e-5)
    np.testing.assert_allclose(theirs["logits"], encoder.score(PAIRS)[:, 0], atol=1e-4)


def test_a_trained_checkpoint_is_loaded_by_them_and_theirs_here(old, trained, tmp_path):
    agree(old(trained, save=tmp_path / "theirs"), CrossEncoder(trained))
    np.testing.assert_allclose(
        CrossEncoder(tmp_path / "theirs").predict(PAIRS), CrossEncoder(trained).predict(PAIRS), atol=1e-5
    )


@pytest.mark.parametrize("family", ["xlm-roberta", "modernbert"])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_other_families_and_activations(old, tiny, tmp_path, family, activation):
    ours = CrossEncoder(tiny(family), activation=activation)
    ours.save_pretrained(tmp_path / "ours")
    agree(old(tmp_path / "ours", save=tmp_path / "theirs"), ours)
    again = CrossEncoder(tmp_path / "theirs")
    assert again.checkpoint.activation == activation
    np.testing.assert_allclose(again.predict(PAIRS), ours.predict(PAIRS), atol=1e-5)


def test_places_that_disagree_are_repaired_on_save(old, bert, tmp_path):
    """An old model, loaded and saved by a new sentence-transformers with another activation, keeps its stale key."""
    CrossEncoder(bert, activation="identity").save_pretrained(tmp_path / "raw")
    old(tmp_path / "raw", save=tmp_path / "old")
    new = sentence_transformers.CrossEncoder(str(tmp_path / "old"), device="cpu", local_files_only=True)
    new.activation_fn = torch.nn.Sigmoid()
    new.save_pretrained(str(tmp_path / "stale"))
    assert old(tmp_path / "stale")["activation"] == "Identity"
    ours = CrossEncoder(tmp_path / "stale")
    np.testing.assert_allclose(ours.predict(PAIRS), new.predict(PAIRS), atol=1e-5)
    ours.save_pretrained(tmp_path / "repaired")
    agree(old(tmp_path / "repaired"), ours)


def test_the_oldest_key_is_read_and_replaced(old, bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "v3")
    config = json.loads((folder / "config.json").read_text())
    key = {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "config.json").write_text(json.dumps(config | key))
    ours = CrossEncoder(folder)
    agree(old(folder), ours)
    ours.save_pretrained(tmp_path / "saved")
    assert "sbert_ce_default_activation_function" not in (tmp_path / "saved" / "config.json").read_text()
    agree(old(tmp_path / "saved"), ours)


# Without doge and gemma2, whose attention transformers 4 computes otherwise by default: see `readers.misread`.
WRITTEN = [
    *("albert", "bart", "big_bird", "deberta-v2", "distilbert", "electra", "fnet", "gemma3_text", "gpt2", "gpt_neox"),
    *("llama", "modernbert", "mpnet", "nystromformer", "qwen3", "qwen3_moe", "roberta", "xlm", "xlm-roberta"),
]


@pytest.mark.parametrize("family", WRITTEN)
def test_families_written_here_score_there_as_here_and_theirs_here_as_there(old, tmp_path, family):
    """Rotary positions count from another base than the classes' default."""
    build(tmp_path / "read", family)
    path = tmp_path / "read" / "config.json"
    config = json.loads(path.read_text())
    rotary = config.get("rope_parameters") or {}
    for part in rotary.values() if "full_attention" in rotary else [rotary] * bool(rotary):
        part["rope_theta"] = 77.0
    path.write_text(json.dumps(config))

    ours = CrossEncoder(tmp_path / "read")
    expected = ours.score(SHORT_AND_LONG)[:, 0]
    ours.save_pretrained(tmp_path / "written")
    theirs = old(tmp_path / "written", save=tmp_path / "theirs", pairs=SHORT_AND_LONG)
    np.testing.assert_allclose(theirs["alone"], expected, rtol=5e-5, atol=2e-5)
    back = CrossEncoder(tmp_path / "theirs").score(SHORT_AND_LONG)[:, 0]
    np.testing.assert_allclose(back, expected, rtol=5e-5, atol=2e-5)
