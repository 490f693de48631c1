"""Recipes are checked, batches keep their lists, training learns, and a kill leaves nothing half-written."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from plackett import CrossEncoder
from plackett.checkpoint import read_base
from plackett.errors import DataError
from plackett.losses import LOSSES
from plackett.model import load_model, new_model
from plackett.recipes import make_recipe
from plackett.records import LabeledList
from plackett.tokenization import PairTokenizer
from plackett.training import (
    ListCollator,
    ListTrainer,
    train,
    training_arguments,
)

FRUIT = ["apple", "pear", "plum", "fig", "lime"]


def fruit_lists(count, depth=4):
    """The first document names the query's fruit, the others do not."""
    rng = random.Random(0)
    lists = []
    for _ in range(count):
        names = rng.sample(FRUIT, depth)
        lists.append(LabeledList(names[0], tuple(f"the {name}" for name in names), (1.0, *[0.0] * (depth - 1))))
    return lists


def recipe_for(base, tmp_path, **changes):
    training = {"max_steps": 3, "per_device_train_batch_size": 4, "bf16": False} | changes.pop("training", {})
    values = {"base": str(base), "train": "unused.jsonl", "output": str(tmp_path / "model"), "training": training}
    return make_recipe(values | changes)


@pytest.mark.parametrize("token_budget", [16, 100_000])
def test_the_loss_of_a_batch_is_that_of_its_pairs_one_by_one(bert, tmp_path, token_budget):
    lists = [*fruit_lists(3), LabeledList("plum", ("a pear " * 9, "a plum"), (0.0, 1.0))]
    recipe = recipe_for(bert, tmp_path, dropout=0.0, token_budget=token_budget)
    base = read_base(bert)
    model = load_model(CrossEncoder(bert).checkpoint).eval()
    trainer = ListTrainer(recipe, base, model, training_arguments(recipe), lists)
    batch = ListCollator(PairTokenizer.from_checkpoint(base), base, token_budget)(lists)
    encoder = CrossEncoder(bert)
    scores, labels, mask = torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.bool)
    for row, item in enumerate(lists):
        for column, document in enumerate(item.documents):
            scores[row, column] = float(encoder.score([(item.query, document)])[0, 0])
            labels[row, column], mask[row, column] = item.labels[column], True
    expected = LOSSES["p_list_mle"](scores, labels, mask)
    torch.testing.assert_close(trainer.compute_loss(model, batch), expected, rtol=1e-5, atol=1e-5)


def test_training_learns_and_its_folder_is_loaded_with_its_settings(bert, tmp_path):
    lists = fruit_lists(64)
    settings = {"max_steps": 60, "learning_rate": 3e-3, "logging_steps": 10, "per_device_train_batch_size": 16}
    recipe = recipe_for(bert, tmp_path, dropout=0.0, max_length=24, training=settings)
    published = []
    facts = train(recipe, lists, publish=lambda folder, facts: published.append((folder / "config.json").is_file()))
    assert published == [True]
    assert facts.log[-1]["loss"] < facts.log[0]["loss"] / 4
    assert (facts.lists, facts.documents) == (64, 256)
    encoder = CrossEncoder(tmp_path / "model")
    assert encoder.checkpoint.max_length == 24
    assert encoder.checkpoint.activation == "sigmoid"
    for name in FRUIT:
        ranked = encoder.rank(name, [f"the {other}" for other in FRUIT])
        assert FRUIT[ranked[0]["corpus_id"]] == name
    assert json.loads((tmp_path / "model" / "recipe.json").read_text())["max_length"] == 24


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(bert, tmp_path):
    lists = fruit_lists(8, depth=5)
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        recipe = recipe_for(bert, tmp_path / name, list_size=3, training={"seed": seed})
        train(recipe, lists, publish=lambda folder, facts: None)
        weights.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_new_model_keeps_the_encoder_and_the_first_layers(bert):
    base = read_base(bert)
    old = load_model(CrossEncoder(bert).checkpoint).state_dict()
    new = new_model(base, layers=1, dropout=0.0, seed=0)
    assert new.config.num_hidden_layers == 1
    for name, value in new.state_dict().items():
        if not name.startswith(("classifier", "bert.pooler")):
            torch.testing.assert_close(value, old[name])


def test_a_publisher_that_fails_leaves_nothing(bert, tmp_path):
    def fail(folder, facts):
        raise RuntimeError("no card")

    with pytest.raises(RuntimeError, match="no card"):
        train(recipe_for(bert, tmp_path), fruit_lists(4), publish=fail)
    assert not (tmp_path / "model").exists()


def test_no_lists_is_an_error(bert, tmp_path):
    with pytest.raises(DataError, match="no lists"):
        train(recipe_for(bert, tmp_path), [], publish=lambda folder, facts: None)


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_no_checkpoint(bert, tmp_path):
    data = tmp_path / "lists.jsonl"
    rows = [{"query": item.query, "docs": item.documents, "labels": item.labels} for item in fruit_lists(50)]
    data.write_text("\n".join(json.dumps(row) for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"base": str(bert), "train": str(data), "output": str(tmp_path / "model")}))
    command = [sys.executable, "-m", "plackett", "train", str(recipe), "--set", "training.max_steps=100000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "loss=" not in (line := process.stderr.read(40)):  # it is training
        assert line, "the training ended by itself"
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not (tmp_path / "model").exists()
