"""Recipes are checked, batches keep their lists, training learns, and a kill leaves nothing half-written."""

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from plackett import CrossEncoder
from plackett.checkpoints.folder import read_base, read_checkpoint
from plackett.data import write_lists
from plackett.errors import CheckpointError, DataError, MissingExtraError, SettingError, TrainingError
from plackett.evaluation import compare
from plackett.losses import LOSSES
from plackett.models.classifier import load_model, new_model
from plackett.models.lora import with_lora, without_lora
from plackett.records import Collection, LabeledList, Qrel, ScoredDoc
from plackett.retrieval.reranking import Candidates
from plackett.tokenization.tokenizer import PairTokenizer
from plackett.training.arguments import training_arguments
from plackett.training.collator import ListCollator
from plackett.training.recipe import make_recipe
from plackett.training.sampling import Part
from plackett.training.train import train
from plackett.training.trainer import ListTrainer
from warm import Command

pytestmark = pytest.mark.slow

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
    trainer = ListTrainer(recipe, base, model, training_arguments(recipe), [Part(lists)])
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
    facts = train(
        recipe, [Part(lists)], publish=lambda folder, facts: published.append((folder / "config.json").is_file())
    )
    assert published == [True]
    assert facts.log[-1]["loss"] < facts.log[0]["loss"] / 4
    assert facts.lists == 60 * 16
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
        train(recipe, [Part(lists)], publish=lambda folder, facts: None)
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


def test_a_publisher_that_fails_leaves_the_model(bert, tmp_path, run):
    def fail(folder, facts):
        raise RuntimeError("the hub was away")

    with pytest.raises(TrainingError, match=r"the hub was away.*plackett card"):
        train(recipe_for(bert, tmp_path), [Part(fruit_lists(4))], publish=fail)
    assert CrossEncoder(tmp_path / "model").predict([("apple", "the apple")]).shape == (1,)
    assert run("card", tmp_path / "model")[0] == 0
    assert (tmp_path / "model" / "README.md").is_file()


def test_no_lists_is_an_error(bert, tmp_path):
    with pytest.raises(DataError, match="no lists"):
        train(recipe_for(bert, tmp_path), [Part([])], publish=lambda folder, facts: None)


@pytest.mark.process
def test_a_kill_in_the_middle_leaves_no_checkpoint(bert, tmp_path):
    data = tmp_path / "lists.jsonl"
    rows = [{"query": item.query, "docs": item.documents, "labels": item.labels} for item in fruit_lists(50)]
    data.write_text("\n".join(json.dumps(row) for row in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"base": str(bert), "train": str(data), "output": str(tmp_path / "model")}))
    process = Command(["train", recipe, "--set", "training.max_steps=100000"])
    while "loss=" not in process.errors():  # it is training
        assert process.poll() is None, "the training ended by itself"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "model").exists()


def on_the_command_line(recipe, *words):
    return Command(["train", recipe, *words])


def write_recipe(tmp_path, base, **changes):
    data = tmp_path / "lists.jsonl"
    rows = [{"query": item.query, "docs": item.documents, "labels": item.labels} for item in fruit_lists(50, depth=5)]
    data.write_text("\n".join(json.dumps(row) for row in rows))
    training = {"max_steps": 30, "save_strategy": "steps", "save_steps": 5, "logging_steps": 1, "bf16": False}
    values = {"base": str(base), "train": str(data), "output": str(tmp_path / "model"), "list_size": 3, "dropout": 0.1}
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(values | {"training": training} | changes))
    return path


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(bert, tmp_path):
    recipe = write_recipe(tmp_path, bert)
    assert on_the_command_line(recipe).wait() == 0
    whole = (tmp_path / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "model")
    shutil.rmtree(tmp_path / "model-training")

    process = on_the_command_line(recipe)
    while not (tmp_path / "model-training" / "checkpoint-10" / "recipe.json").is_file():
        assert process.poll() is None, "the training ended by itself"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model").exists()
    newest = max((tmp_path / "model-training").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    (newest / "trainer_state.json").write_text("{")  # as if it had been killed while it saved
    assert on_the_command_line(recipe, "--resume").wait() == 0
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == whole


def test_a_training_that_was_killed_after_its_last_step_is_not_trained_further(bert, tmp_path):
    recipe = recipe_for(bert, tmp_path, training={"max_steps": 4, "save_strategy": "steps", "save_steps": 2})
    parts = [Part(fruit_lists(8))]
    weights = []
    for resume in (False, True):
        train(recipe, parts, resume=resume, publish=lambda folder, facts: None)
        weights.append((tmp_path / "model" / "model.safetensors").read_bytes())
        shutil.rmtree(tmp_path / "model")
    assert weights[0] == weights[1]


def test_a_checkpoint_of_another_recipe_is_not_resumed(bert, tmp_path):
    settings = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    parts = [Part(fruit_lists(8))]
    train(recipe_for(bert, tmp_path, training=settings), parts, publish=lambda folder, facts: None)
    other = recipe_for(bert, tmp_path, training=settings, layers=1)
    with pytest.raises(SettingError, match=r"\(layers\)"):
        train(other, parts, resume=True, publish=lambda folder, facts: None)


@pytest.mark.parametrize(
    "path", ["checkpoint-1/trainer_state.json", "checkpoint-1/notes.txt", "checkpoint-final/notes.txt"]
)
def test_checkpoints_of_another_program_are_neither_removed_nor_resumed(bert, tmp_path, path):
    other = tmp_path / "runs" / path
    other.parent.mkdir(parents=True)
    other.write_text('{"global_step": 1}')
    settings = {"output_dir": str(tmp_path / "runs"), "save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    for resume in (False, True):
        with pytest.raises(SettingError, match=other.parent.name):
            train(recipe_for(bert, tmp_path, training=settings), [Part(fruit_lists(8))], resume=resume, publish=nothing)
    assert other.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_checkpoint_on_the_way_can_be_ranked_with(bert, tmp_path):
    settings = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    train(recipe_for(bert, tmp_path, training=settings), [Part(fruit_lists(8))], publish=lambda folder, facts: None)
    encoder = CrossEncoder(tmp_path / "model-training" / "checkpoint-2")
    final = CrossEncoder(tmp_path / "model")
    assert encoder.rank("apple", FRUIT) == final.rank("apple", FRUIT)


@pytest.fixture
def fruit():
    corpus = {name: f"the {name}" for name in FRUIT}
    run = [ScoredDoc(query, name, -float(rank)) for query in FRUIT for rank, name in enumerate(FRUIT)]
    qrels = [Qrel(name, name, 1) for name in FRUIT]
    return Collection("fruit", dict(zip(FRUIT, FRUIT, strict=True)), corpus, qrels, run)


def test_the_best_checkpoint_by_a_measure_is_the_one_that_is_written(bert, tmp_path, fruit):
    settings = {
        "max_steps": 20,
        "learning_rate": 0.05,  # it learns, and then breaks down
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "fruit_RR@10",
    }
    recipe = recipe_for(bert, tmp_path, training=settings, dropout=0.0)
    facts = train(recipe, [Part(fruit_lists(64))], dev=[fruit], publish=lambda folder, facts: None)
    measured = [entry["eval_fruit_RR@10"] for entry in facts.log if "eval_fruit_RR@10" in entry]
    assert len(measured) == 11  # before the first step too
    written = compare(CrossEncoder(tmp_path / "model"), fruit, depth=5).measures["RR@10"].reranked
    assert written == pytest.approx(max(measured))


def test_development_collections_are_measured_before_during_and_after_and_tokenised_once(
    bert, tmp_path, fruit, monkeypatch
):
    made = []
    of = Candidates.of
    monkeypatch.setattr(Candidates, "of", lambda *given: made.append(given) or of(*given))
    other = replace(fruit, name="other", qrels=fruit.qrels[:2])
    settings = {"max_steps": 5, "eval_strategy": "steps", "eval_steps": 2, "learning_rate": 0.05}
    facts = train(
        recipe_for(bert, tmp_path, training=settings, dropout=0.0),
        [Part(fruit_lists(32))],
        dev=[fruit, other],
        publish=lambda folder, facts: None,
    )
    logged = [entry for entry in facts.log if "eval_fruit_AP" in entry]
    assert [entry["step"] for entry in logged] == [0, 2, 4, 5]
    assert len(made) == 2
    for collection in (fruit, other):
        measures = compare(CrossEncoder(tmp_path / "model"), collection, depth=5).measures
        after = {name: measured.reranked for name, measured in measures.items()}
        assert {name: logged[-1][f"eval_{collection.name}_{name}"] for name in after} == pytest.approx(after)


def test_an_unknown_measure_for_the_best_checkpoint_is_named(bert, tmp_path, fruit):
    settings = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "fruit_nDCG@5"}
    with pytest.raises(SettingError, match="fruit_nDCG@10"):
        train(recipe_for(bert, tmp_path, training=settings), [Part(fruit_lists(4))], dev=[fruit], publish=print)


@pytest.mark.parametrize(("value", "message"), [(0.0, "all the same"), (float("nan"), "NaN")])
def test_a_collapsed_training_is_stopped_with_a_message(bert, tmp_path, fruit, monkeypatch, value, message):
    def collapse(scores, labels, mask):
        """Drives the head to `value`."""
        return scores.masked_fill(~mask, 0).sum() * 0 + value

    monkeypatch.setitem(LOSSES, "collapse", collapse)
    settings = {"eval_strategy": "steps", "eval_steps": 1, "learning_rate": 0.0}
    recipe = recipe_for(bert, tmp_path, training=settings, loss={"name": "collapse"})
    broken = new_model(read_base(bert), layers=None, dropout=None, seed=0)
    for parameter in broken.classifier.parameters():
        parameter.data.fill_(value)
    monkeypatch.setattr("plackett.training.train.new_model", lambda *_, **__: broken)
    with pytest.raises(TrainingError, match=message):
        train(recipe, [Part(fruit_lists(8))], dev=[fruit], publish=print)
    assert not (tmp_path / "model").exists()


def nothing(folder, facts):
    """Publish no card."""


def saved_weights(tmp_path):
    return (tmp_path / "model" / "model.safetensors").read_bytes()


def interrupt(tmp_path, step):
    """As if the training had been killed after the checkpoint of this step."""
    shutil.rmtree(tmp_path / "model", ignore_errors=True)
    for folder in (tmp_path / "model-training").glob("checkpoint-*"):
        if int(folder.name.rpartition("-")[2]) > step:
            shutil.rmtree(folder)


def test_lists_without_differences_are_an_error_before_the_training(bert, tmp_path):
    equal = [LabeledList("apple", ("the apple", "the pear"), (1.0, 1.0))] * 4
    with pytest.raises(DataError, match="p_list_mle"):
        train(recipe_for(bert, tmp_path), [Part(equal)], publish=nothing)


def test_a_training_says_nothing_but_its_bar(bert, tmp_path, capfd):
    settings = {"save_strategy": "steps", "save_steps": 1}
    train(recipe_for(bert, tmp_path, training=settings), [Part(fruit_lists(8))], publish=nothing)
    output = capfd.readouterr()
    assert output.out == ""
    assert all(line.lstrip().startswith("training:") for line in output.err.replace("\r", "\n").splitlines() if line), (
        output.err
    )


EVERY_STEP = {"save_strategy": "steps", "save_steps": 1, "logging_steps": 1}


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_train_like_one_process(bert, tmp_path, persistent):
    settings = EVERY_STEP | {"max_steps": 7, "per_device_train_batch_size": 4, "save_steps": 5}
    workers = {"dataloader_num_workers": 2, "dataloader_persistent_workers": persistent}
    parts = [Part(fruit_lists(12, depth=5))]  # three steps an epoch
    logs = []
    for name, more in (("alone", {}), ("workers", workers)):
        recipe = recipe_for(bert, tmp_path / name, list_size=2, dropout=0.0, training=settings | more)
        logs.append(train(recipe, parts, publish=nothing).log)
    losses = [[entry["loss"] for entry in log if "loss" in entry] for log in logs]
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 7


@pytest.mark.parametrize("workers", [{}, {"dataloader_num_workers": 2, "dataloader_persistent_workers": True}])
def test_a_training_resumed_in_an_epoch_is_the_uninterrupted_one_to_the_bit(bert, tmp_path, workers):
    settings = EVERY_STEP | {"max_steps": 7, "per_device_train_batch_size": 4, "learning_rate": 1e-3}
    recipe = recipe_for(bert, tmp_path, list_size=3, training=settings | workers)  # with dropout
    parts = [Part(fruit_lists(12, depth=5))]  # three steps an epoch
    train(recipe, parts, publish=nothing)
    whole = saved_weights(tmp_path)
    for step in (4, 3, 1):
        interrupt(tmp_path, step)
        train(recipe, parts, resume=True, publish=nothing)
        assert saved_weights(tmp_path) == whole, step


LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0}


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert", "distilbert"])
def test_merged_adapters_score_as_the_adapters_do(tiny, tmp_path, family):
    pytest.importorskip("peft")
    folder = tiny(family)
    base = read_base(folder)
    targets = {"modernbert": ["Wqkv"], "deberta-v2": ["query_proj", "value_proj"], "distilbert": ["q_lin", "v_lin"]}
    options = LORA | ({"target_modules": targets[family]} if family in targets else {})
    adapted = with_lora(new_model(base, layers=None, dropout=None, seed=0), options)
    for name, weights in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.3, generator=torch.Generator().manual_seed(0))
    lists = fruit_lists(2)
    batch = ListCollator(PairTokenizer.from_checkpoint(base), base, 1000)(lists)["micro_batches"][0]
    expected = adapted.eval()(**batch).logits
    merged = without_lora(adapted).eval()
    assert type(merged).__name__.endswith("ForSequenceClassification")
    torch.testing.assert_close(merged(**batch).logits, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(adapted(**batch).logits, expected, atol=0, rtol=0)  # it has stayed as it was


def test_lora_trains_adapters_and_the_head_and_writes_a_plain_checkpoint(bert, tmp_path, fruit):
    pytest.importorskip("peft")
    best = {"eval_strategy": "steps", "eval_steps": 2, "metric_for_best_model": "fruit_RR@10"}
    settings = EVERY_STEP | best | {"max_steps": 4, "learning_rate": 0.01, "load_best_model_at_end": True}
    recipe = recipe_for(bert, tmp_path, lora=LORA, training=settings | {"save_steps": 2})
    parts = [Part(fruit_lists(16))]
    train(recipe, parts, dev=[fruit], publish=nothing)
    before, after = load_file(bert / "model.safetensors"), load_file(tmp_path / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "classifier.weight" in changed
    assert any("query.weight" in name for name in changed)
    assert not any("output.dense" in name or "embeddings" in name for name in changed)
    assert not list((tmp_path / "model").glob("adapter*"))
    assert load_model(read_checkpoint(tmp_path / "model")).config.num_labels == 1
    whole = saved_weights(tmp_path)
    for step in (2, 4):
        interrupt(tmp_path, step)
        train(recipe, parts, dev=[fruit], resume=True, publish=nothing)
        assert saved_weights(tmp_path) == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora_alfa": 3}, "unknown option of lora 'lora_alfa'; did you mean 'lora_alpha'"),
        ({"target_modules": ["nowhere"]}, "lora options: No modules were targeted"),
        ({"r": 0}, "lora options"),
    ],
)
def test_a_mistake_in_the_options_of_lora_is_named(bert, tmp_path, options, message):
    pytest.importorskip("peft")
    with pytest.raises(SettingError, match=message):
        train(recipe_for(bert, tmp_path, lora=options), [Part(fruit_lists(4))], publish=nothing)


def test_lora_without_peft_names_the_extra(bert, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'plackett\[lora\]'"):
        train(recipe_for(bert, tmp_path, lora=LORA), [Part(fruit_lists(4))], publish=nothing)


def test_a_training_that_gets_no_better_stops_early_and_is_not_trained_further(bert, tmp_path, fruit):
    best = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "fruit_RR@10", "eval_on_start": True}
    settings = EVERY_STEP | best | {"max_steps": 20, "learning_rate": 0.0, "load_best_model_at_end": True}
    recipe = recipe_for(bert, tmp_path, early_stopping=2, training=settings)
    parts = [Part(fruit_lists(8))]
    facts = train(recipe, parts, dev=[fruit], publish=nothing)
    assert [entry["step"] for entry in facts.log if "eval_fruit_RR@10" in entry] == [0, 1, 2, 3]
    assert facts.lists == 3 * 4
    for step in (2, 3):
        interrupt(tmp_path, step)
        assert train(recipe, parts, dev=[fruit], resume=True, publish=nothing).lists == 3 * 4


def test_early_stopping_wants_evaluations(bert, tmp_path, fruit):
    recipe = recipe_for(bert, tmp_path, early_stopping=2, training={"metric_for_best_model": "fruit_RR@10"})
    with pytest.raises(SettingError, match=r"training\.eval_strategy"):
        train(recipe, [Part(fruit_lists(4))], dev=[fruit], publish=nothing)


def test_the_best_checkpoint_is_written_also_after_a_kill_at_the_end(bert, tmp_path, fruit):
    best = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "fruit_RR@10"}
    settings = EVERY_STEP | best | {"max_steps": 8, "learning_rate": 0.05, "load_best_model_at_end": True}
    recipe = recipe_for(bert, tmp_path, training=settings, dropout=0.0)
    parts = [Part(fruit_lists(32))]
    train(recipe, parts, dev=[fruit], publish=nothing)
    whole = saved_weights(tmp_path)
    interrupt(tmp_path, 8)
    train(recipe, parts, dev=[fruit], resume=True, publish=nothing)
    assert saved_weights(tmp_path) == whole


@pytest.mark.filterwarnings("default")  # of tensorboard's own imports
def test_tensorboard_is_told_the_loss_and_the_measures(bert, tmp_path, fruit):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = {"report_to": "tensorboard", "logging_steps": 1, "eval_strategy": "steps", "eval_steps": 3}
    facts = train(recipe_for(bert, tmp_path, training=settings), [Part(fruit_lists(8))], dev=[fruit], publish=nothing)
    [events] = (tmp_path / "model-training").rglob("events.out.*")
    told = accumulator.EventAccumulator(str(events.parent)).Reload()
    losses = [entry["loss"] for entry in facts.log if "loss" in entry]
    assert [event.value for event in told.Scalars("train/loss")] == pytest.approx(losses)
    assert [event.step for event in told.Scalars("eval/fruit_nDCG@10")] == [0, 3]


@pytest.mark.process
@pytest.mark.filterwarnings("default")  # of trackio's own imports
def test_trackio_is_told_the_loss_and_the_measures(bert, tmp_path, fruit):
    """In a process of its own, since trackio keeps its folder for the life of one; it asks no network."""
    pytest.importorskip("trackio")
    write_lists(tmp_path / "lists.jsonl", fruit_lists(8))
    recipe = {
        "base": str(bert),
        "train": str(tmp_path / "lists.jsonl"),
        "dev": str(tmp_path / "lists.jsonl"),
        "output": str(tmp_path / "model"),
        "training": EVERY_STEP | {"max_steps": 3, "bf16": False, "report_to": "trackio", "project": "fruit"},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    command = Command(["train", tmp_path / "recipe.yaml"], {"TRACKIO_DIR": str(tmp_path / "trackio")})
    assert command.wait() == 0, command.errors()
    log = json.loads((tmp_path / "model" / "plackett.json").read_text())["training"]["log"]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    [database] = (tmp_path / "trackio").glob("fruit*.db")
    with closing(sqlite3.connect(database)) as connection:
        told = [json.loads(row[0]) for row in connection.execute("SELECT metrics FROM metrics ORDER BY step, id")]
    assert [row["train/loss"] for row in told if "train/loss" in row] == pytest.approx(losses)
    assert sum("eval/lists.jsonl_nDCG@10" in row for row in told) == 2


def test_a_base_that_has_changed_is_not_resumed_with(bert, tiny, tmp_path):
    base = shutil.copytree(bert, tmp_path / "base")
    recipe = recipe_for(base, tmp_path, training=EVERY_STEP)
    train(recipe, [Part(fruit_lists(8))], publish=nothing)
    shutil.rmtree(base)
    shutil.copytree(tiny("electra"), base)
    with pytest.raises(CheckpointError, match="checkpoint-3"):
        train(recipe, [Part(fruit_lists(8))], resume=True, publish=nothing)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.process
def test_a_full_disk_leaves_the_last_whole_checkpoint(bert, tmp_path, small_disk):
    parts = [Part(fruit_lists(16))]
    settings = EVERY_STEP | {"max_steps": 8}
    train(recipe_for(bert, tmp_path, training=settings), parts, publish=nothing)
    recipe = recipe_for(bert, small_disk, training=settings)
    with pytest.raises(CheckpointError, match=r"disk/model-training .*--resume") as caught:
        train(recipe, parts, publish=nothing)
    left = sorted((small_disk / "model-training").glob("checkpoint-*"))
    assert str(left[-1]) in str(caught.value)
    assert all((folder / "trainer_state.json").is_file() for folder in left)
    assert not (small_disk / "model").exists()
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    train(recipe, parts, resume=True, publish=nothing)
    assert saved_weights(small_disk) == saved_weights(tmp_path)


@pytest.mark.parametrize(
    ("error", "named"),
    [(torch.OutOfMemoryError("no room"), "token_budget"), (ValueError("torch's words\nand more"), "torch's words")],
)
def test_an_error_of_torch_is_one_of_ours_with_the_step(bert, tmp_path, monkeypatch, error, named):
    def fail(self, *arguments, **options):
        if self.state.global_step == 1:
            raise error
        return compute_loss(self, *arguments, **options)

    compute_loss = ListTrainer.compute_loss
    monkeypatch.setattr(ListTrainer, "compute_loss", fail)
    with pytest.raises(TrainingError, match=rf"step 1.*{named}") as caught:
        train(recipe_for(bert, tmp_path), [Part(fruit_lists(8))], publish=lambda folder, facts: None)
    assert caught.value.__cause__ is error
    assert not (tmp_path / "model").exists()


def test_settings_that_only_the_scheduler_refuses_are_an_error_of_ours(bert, tmp_path):
    training = {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"no_such_option": 1}}
    with pytest.raises(TrainingError, match="no_such_option"):
        train(recipe_for(bert, tmp_path, training=training), [Part(fruit_lists(4))], publish=lambda *_: None)
