"""Training causal rerankers: adapters, listwise losses, gradient checkpointing, and padding that moves no score."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from layouts import causal, logit_score
from plackett import CrossEncoder
from plackett.checkpoints.folder import find_folder, read_base, read_checkpoint
from plackett.errors import TooLargeError
from plackett.losses import LOSSES
from plackett.models.classifier import load_model, new_model
from plackett.records import LabeledList
from plackett.tokenization.templates import tokenizer_of
from plackett.training.arguments import training_arguments
from plackett.training.collator import ListCollator
from plackett.training.recipe import make_recipe, read_recipe
from plackett.training.sampling import Part
from plackett.training.train import model_to_train, train
from plackett.training.trainer import ListTrainer

pytestmark = pytest.mark.peer

WORDS = ["cats", "dogs", "lists", "words"]
LABELS = (1.0, 0.0, 0.0, 0.0)
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}


def lists(count=16):
    """The first document names the query's word, the others do not; lengths differ."""
    orders = [np.roll(WORDS, shift) for shift in range(count)]
    return [
        LabeledList(
            str(names[0]), tuple(f"the {name} " * (place + 1) for place, name in enumerate(names)), (1.0, 0, 0, 0)
        )
        for names in orders
    ]


def nothing(folder, facts):
    """Publish nothing."""


@pytest.fixture
def reranker(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return logit_score(tmp_path / "reranker", causal(tmp_path / "lm"))


def recipe_for(base, tmp_path, **changes):
    training = {"max_steps": 3, "per_device_train_batch_size": 4, "bf16": False} | changes.pop("training", {})
    values = {"base": str(base), "train": "unused.jsonl", "output": str(tmp_path / "model"), "training": training}
    return make_recipe(values | changes)


@pytest.mark.parametrize("loss", ["list_softmax", "p_list_mle", "lambda_loss"])
def test_adapters_learn_by_listwise_losses_and_are_merged(reranker, tmp_path, loss):
    pytest.importorskip("peft")
    settings = {"max_steps": 6, "learning_rate": 0.03, "logging_steps": 2, "gradient_checkpointing": True}
    recipe = recipe_for(reranker, tmp_path, lora=LORA, loss=loss, cached_gradients=True, training=settings)
    facts = train(recipe, [Part(lists())], publish=nothing)
    assert facts.log[-1]["loss"] < 0.8 * facts.log[0]["loss"]

    folder = tmp_path / "model"
    before = load_file(find_folder(reranker, revision=None, local_files_only=True) / "model-base.safetensors")
    after = load_file(folder / "model.safetensors")
    changed = {name for name in before.keys() & after.keys() if not torch.equal(before[name], after[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "v_proj"}
    assert not list(folder.glob("adapter*"))


def test_what_was_trained_is_read_by_sentence_transformers(reranker, tmp_path):
    from sentence_transformers import CrossEncoder as Other

    pytest.importorskip("peft")
    recipe = recipe_for(reranker, tmp_path, lora=LORA, instruction="Find cats", training={"learning_rate": 0.01})
    train(recipe, [Part(lists())], publish=nothing)
    pairs = [("cats", "dogs and cats " * 90), ("lists", "the list")]
    theirs = Other(str(tmp_path / "model"), device="cpu").predict(pairs, activation_fn=torch.nn.Identity())
    ours = CrossEncoder(tmp_path / "model", activation="identity")
    np.testing.assert_allclose(ours.predict(pairs), theirs, atol=1e-4)
    assert ours.checkpoint.template.instruction == "Find cats"


@pytest.mark.parametrize("options", [{}, {"lora": LORA}])
def test_gradient_checkpointing_changes_no_gradient(reranker, tmp_path, options):
    """Three steps with and without it end with the same weights."""
    pytest.importorskip("peft")
    found = []
    for switch in (False, True):
        training = {"gradient_checkpointing": switch, "learning_rate": 0.01}
        recipe = recipe_for(reranker, tmp_path / str(switch), training=training, **options)
        train(recipe, [Part(lists())], publish=nothing)
        found.append(load_file(tmp_path / str(switch) / "model" / "model.safetensors"))
    for name, weights in found[0].items():
        torch.testing.assert_close(found[1][name], weights, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("budget", [64, 100_000])
def test_the_loss_of_a_padded_batch_is_that_of_its_pairs_one_by_one(reranker, tmp_path, budget):
    folder = find_folder(reranker, revision=None, local_files_only=True)
    base, model = read_base(folder), load_model(read_checkpoint(folder)).eval()
    recipe = recipe_for(reranker, tmp_path, token_budget=budget)
    trainer = ListTrainer(recipe, base, model, training_arguments(recipe), [Part(lists())])
    items, encoder = lists(3), CrossEncoder(reranker)
    batch = ListCollator(tokenizer_of(base), base, budget)(items)
    for inputs in batch["micro_batches"]:
        assert (inputs["attention_mask"].diff(dim=1) <= 0).all()  # padding is on the right
    scores = torch.tensor(
        [[float(encoder.score([(item.query, text)])[0, 0]) for text in item.documents] for item in items]
    )
    labels, mask = torch.tensor([item.labels for item in items]), torch.ones(3, 4, dtype=torch.bool)
    expected = LOSSES["p_list_mle"](scores, labels, mask)
    torch.testing.assert_close(trainer.compute_loss(model, batch), expected, rtol=1e-4, atol=1e-4)


def test_the_shipped_recipe_trains_a_decoder(reranker, tmp_path):
    pytest.importorskip("peft")
    replaced = {"base": str(reranker), "output": str(tmp_path / "model")}
    recipe = read_recipe(
        "causal-lora", ["max_length=200", "training.max_steps=1", "training.bf16=false"], replaced=replaced
    )
    facts = train(recipe, [Part(lists())], publish=nothing)
    assert facts.arguments["gradient_checkpointing"] is True
    assert CrossEncoder(tmp_path / "model").rank("cats", ["dogs", "cats"])
    assert json.loads((tmp_path / "model" / "recipe.json").read_text())["lora"]["r"] == 16


def test_a_base_that_does_not_fit_into_memory_is_not_loaded(reranker, tmp_path, monkeypatch):
    monkeypatch.setattr("plackett.engines.memory.usable_memory", lambda: 1000)
    monkeypatch.setattr("plackett.training.train.new_model", pytest.fail)
    with pytest.raises(TooLargeError) as raised:
        train(recipe_for(reranker, tmp_path), [Part(lists())], publish=nothing)
    assert raised.value.available == 1000 < raised.value.needed
    assert not (tmp_path / "model").exists()


def test_a_decoder_without_a_head_gets_one(tmp_path):
    pytest.importorskip("peft")
    folder = causal(tmp_path / "lm", template=None)
    recipe = recipe_for(folder, tmp_path, lora=LORA, training={"learning_rate": 0.01})
    model = model_to_train(recipe, read_base(folder), training_arguments(recipe))
    trained = {name for name, weights in model.named_parameters() if weights.requires_grad}
    assert all("lora_" in name or "score" in name for name in trained)
    assert any("score" in name for name in trained)
    assert new_model(read_base(folder), layers=None, dropout=None, seed=0).score.weight.shape == (1, 32)
    train(recipe, [Part(lists())], publish=nothing)
    assert CrossEncoder(tmp_path / "model").predict([("cats", "dogs")]).shape == (1,)
