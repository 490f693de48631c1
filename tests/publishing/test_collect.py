"""What happened, as facts: of a real training, in files that stay when they are rendered again."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import transformers

from card_facts import FACTS, HELD_OUT
from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder
from plackett.facts import CalibrationFacts, Development, EngineFacts
from plackett.publishing.card import render
from plackett.publishing.collect import described, usage
from plackett.publishing.storage import add_engine, add_evaluations, dump_facts, read_facts, write_facts
from plackett.records import LabeledList
from plackett.training.sampling import Part
from plackett.workflows.train import train as run_recipe
from tiny import PAIRS

pytestmark = pytest.mark.slow

RECIPE = """
base: {base}
train: {folder}/lists.jsonl
dev: {folder}/test.jsonl
test: {folder}/test.jsonl
hold_out: 2
output: {folder}/model
loss: {{name: list_mle, respect_input_order: true}}
measures: [nDCG@10]
language: en
license: apache-2.0
description: "fruit, [described](https://example.org)"
training:
  max_steps: 4
  per_device_train_batch_size: 4
  learning_rate: 1.0e-3
  logging_steps: 1
  bf16: false
  eval_strategy: steps
  eval_steps: 2
  eval_on_start: true
  save_strategy: steps
  save_steps: 2
  load_best_model_at_end: true
  metric_for_best_model: test.jsonl_nDCG@10
"""
FRUIT = ["apple", "pear | plum", "fig <b>", "`lime`", "quince " * 400]


@pytest.fixture(scope="module")
def trained(bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    rows = [
        {"query": f"{name[:20]} {n}", "docs": [f"the {name}", "the cherry", "a *nut*"], "labels": [1, 0, 0]}
        for n in range(4)
        for name in FRUIT
    ]
    for name, part in (("lists", rows), ("test", rows[:6])):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in part))
    (folder / "recipe.yaml").write_text(RECIPE.format(base=bert, folder=folder))
    run_recipe(folder / "recipe.yaml")
    return folder / "model"


@pytest.fixture
def model(trained, tmp_path):
    """A trained checkpoint of one's own, to change."""
    return shutil.copytree(trained, tmp_path / "model")


def test_a_training_leaves_its_facts(trained):
    facts = read_facts(trained)
    training, log = facts.training, read_facts(trained).training.log
    assert (training.loss, training.loss_parameters) == ("list_mle", {"ties": "input_order"})
    [data] = training.data
    assert (data.name, data.source, data.size, data.sampled) == ("lists.jsonl", "", 18, 18)
    assert training.held_out.size == 2
    assert training.development == (Development("test.jsonl", 6),)
    assert "- test.jsonl: 6 queries\n" in (trained / "README.md").read_text()
    assert len(data.samples) == 3
    assert (facts.model.language, facts.model.license) == (("en",), "apache-2.0")
    assert facts.model.parameters == sum(
        weight.numel()
        for weight in transformers.AutoModelForSequenceClassification.from_pretrained(trained).parameters()
    )
    assert {"learning_rate", "max_steps", "per_device_train_batch_size", "hold_out"} <= set(training.changed)
    assert not {"weight_decay", "list_size", "output_dir"} & set(training.changed)
    assert not {"accelerator_config", "ddp_broadcast_buffers"} & set(training.changed), "which no recipe can change"
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4]
    measured = {entry["step"]: entry["eval_test.jsonl_nDCG@10"] for entry in log if "eval_test.jsonl_nDCG@10" in entry}
    assert set(measured) == {0, 2, 4}
    assert measured[training.best_step] == max(measured[2], measured[4])
    [evaluation] = facts.evaluations
    assert (evaluation.collection, evaluation.queries, evaluation.primary) == ("test.jsonl", 6, "nDCG@10")
    values = evaluation.measures["nDCG@10"]
    assert values.reranked == pytest.approx(measured[training.best_step])
    assert values.difference == pytest.approx(values.reranked - values.first_stage)


def test_nothing_of_the_machine_stands_on_the_card(trained):
    card = (trained / "README.md").read_text() + (trained / "plackett.json").read_text()
    assert str(trained.parent) not in card
    assert "/tmp" not in card


def test_the_card_is_that_of_the_facts_and_rendering_it_again_changes_no_byte(model, run):
    files = ("README.md", "plackett.json", "training.png")
    before = {name: (model / name).read_bytes() for name in files}
    assert before["README.md"].decode() == render(read_facts(model))
    for name in ("README.md", "training.png"):
        (model / name).unlink()
    for _ in range(2):
        code, out, _ = run("card", model)
        assert (code, out) == (0, f"{model / 'README.md'}\n")
        assert {name: (model / name).read_bytes() for name in files} == before


def test_what_the_card_prints_is_what_happens(trained, tmp_path, monkeypatch, capsys):
    """The card's own code, run by sentence-transformers, transformers and Plackett."""
    blocks = re.findall(r"```python\n(.*?)```", (trained / "README.md").read_text(), re.DOTALL)
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "model").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(block, names)
        printed = capsys.readouterr().out.split()
        shown = " ".join(line[2:] for line in block.splitlines() if line.startswith("# ")).split()
        assert len(printed) == len(shown) >= (0 if block is blocks[0] else 3)
        for ours, theirs in zip(shown, printed, strict=True):
            assert ours == theirs or abs(float(ours) - float(theirs)) < 2e-4
    assert len(blocks) == 4


@pytest.mark.peer
def test_sentence_transformers_and_the_pipeline_of_transformers_give_the_same_scores(trained):
    expected = CrossEncoder(trained).predict(PAIRS)
    theirs = sentence_transformers.CrossEncoder(str(trained), device="cpu", local_files_only=True)
    np.testing.assert_allclose(theirs.predict(PAIRS), expected, atol=1e-5)
    pipeline = transformers.pipeline("text-classification", str(trained), device="cpu")
    pairs = [{"text": query, "text_pair": document} for query, document in PAIRS]
    scores = [item["score"] for item in pipeline(pairs, truncation=True)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_evaluation_adds_to_the_card(model, trained, run):
    before = read_facts(model)
    code, _, error = run("evaluate", model, "--data", trained.parent / "lists.jsonl", "--card", "--depth", 2)
    assert code == 0, error
    facts = read_facts(model)
    assert [item.collection for item in facts.evaluations] == ["test.jsonl", "lists.jsonl"]
    assert replace(facts, evaluations=before.evaluations) == before
    assert (model / "README.md").read_text() == render(facts)
    run("evaluate", model, "--data", trained.parent / "lists.jsonl", "--card", "--depth", 2)
    assert read_facts(model) == facts, "the same measurement takes its own place"
    assert facts.evaluations[1].parameters == {
        "semantics": "trec_eval",
        "measures": ["nDCG@10", "RR@10", "AP"],
        "depth": 2,
        "always_rerank_positives": False,
        "first_stage": "the order in the file",
    }


def test_several_collections_stand_on_the_card_with_their_mean(model, trained, run):
    data = [option for name in ("lists", "test") for option in ("--data", trained.parent / f"{name}.jsonl")]
    code, _, error = run("evaluate", model, *data, "--card", "--depth", 3, "--json", model.parent / "out.json")
    assert code == 0, error
    *_, mean = read_facts(model).evaluations
    assert (mean.collection, mean.queries) == ("mean", 26)
    assert mean.parameters["collections"] == ["lists.jsonl", "test.jsonl"]
    figures = json.loads((model.parent / "out.json").read_text())["collections"]["mean"]["measures"]
    for name, values in mean.measures.items():
        assert (values.reranked, list(values.ci95)) == (figures[name]["reranked"], figures[name]["ci95"])


def test_the_reference_s_own_evaluation_adds_its_own_table_to_the_card(model, trained, run):
    data = [option for name in ("lists", "test") for option in ("--data", trained.parent / f"{name}.jsonl")]
    options = ["--semantics", "reference", "--card", "--depth", 3, "--json", model.parent / "out.json"]
    code, _, error = run("evaluate", model, *data, *options)
    assert code == 0, error
    _, first, _, mean = read_facts(model).evaluations
    assert (first.collection, first.task) == ("lists.jsonl_R3", "cross-encoder-reranking")
    assert first.parameters == {
        "semantics": "reference",
        "at_k": 10,
        "always_rerank_positives": True,
        "first_stage": "the order in the file",
    }
    assert (mean.collection, mean.task) == ("NanoBEIR_R3_mean", "cross-encoder-nano-beir")
    assert (mean.queries, mean.primary) == (26, "ndcg@10")
    figures = json.loads((model.parent / "out.json").read_text())
    for item in (first, mean):
        assert list(item.measures) == ["map", "mrr@10", "ndcg@10"]
        for name, values in item.measures.items():
            assert values.reranked == pytest.approx(figures[f"{item.collection}_{name}"], abs=1e-12)
            assert values.first_stage == pytest.approx(figures[f"{item.collection}_base_{name}"], abs=1e-12)
    rows = [line for line in (model / "README.md").read_text().splitlines() if line.startswith("| **ndcg@10** |")]
    assert f"{mean.measures['ndcg@10'].reranked:.4f} ({mean.measures['ndcg@10'].difference:+.4f}) |" in rows[0]


def test_export_and_calibration_add_to_the_card(model):
    facts = read_facts(model)
    slow, fast = (EngineFacts("onnx", "onnx/model.onnx", 10, "here", pairs_per_second=speed) for speed in (1.0, 2.0))
    calibration = CalibrationFacts("platt", "dev", 10, {"slope": 1.0}, {"ECE": (0.2, 0.1)}, threshold=0.5)
    facts = replace(add_engine(add_engine(facts, slow), fast), calibration=calibration)
    write_facts(model, facts)
    assert read_facts(model) == facts
    assert [item.pairs_per_second for item in facts.engines] == [2.0]


def test_a_changed_activation_changes_the_scores_on_the_card(model, tmp_path, run):
    CrossEncoder(model, activation="identity").save_pretrained(tmp_path / "raw")
    run("card", tmp_path / "raw")
    facts = read_facts(tmp_path / "raw")
    assert facts.model.activation == "identity"
    assert facts.usage.scores == facts.usage.logits == pytest.approx(read_facts(model).usage.logits)


def test_a_folder_of_another_library_gets_a_card_of_what_it_says_itself(bert, tmp_path, run):
    folder = shutil.copytree(bert, tmp_path / "theirs")
    assert run("card", folder)[0] == 0
    assert read_facts(folder) == described(folder)
    assert "was not recorded" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("\udcff", "cannot be read"),
        ('{"schema": 99}', "99"),
        ('{"schema": 1, "model": {}}', "cannot be read"),
    ],
)
def test_facts_that_cannot_be_read(bert, tmp_path, content, message):
    folder = shutil.copytree(bert, tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"plackett\.json"):
        read_facts(folder)
    (folder / "plackett.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=message):
        read_facts(folder)


def test_fields_of_a_later_release_are_passed_over(model):
    values = json.loads((model / "plackett.json").read_text())
    (model / "plackett.json").write_text(json.dumps({**values, "news": 1}))
    assert json.loads(dump_facts(read_facts(model))) == values


def test_evaluations_of_other_depths_stay():
    facts = described_evaluations()
    assert [(item.collection, item.depth) for item in facts.evaluations] == [("a", 10), ("a", 20), ("b", 10)]


def described_evaluations():
    of = [replace(HELD_OUT, collection=name, depth=depth) for name, depth in (("a", 10), ("a", 20), ("b", 10))]
    return add_evaluations(replace(FACTS, evaluations=(of[0],)), of)


def test_a_long_document_is_cut_where_it_is_shown_and_scored_as_it_is_shown(bert):
    text = "日本語のテキスト " * 120_000  # a megabyte in characters, three in UTF-8
    part = Part([LabeledList("q" * 5000, (text, "b", "c", "d", "e", "f"), (1.0, 0, 0, 0, 0, 0))], name="x")
    facts = part.facts()
    assert facts.document_characters.maximum == len(text)
    [sample] = facts.samples
    assert [len(document) for document in sample.documents] == [1000, 1, 1, 1, 1]
    assert (len(sample.query), sample.length, len(sample.labels)) == (1000, 6, 5)
    encoder = CrossEncoder(bert)
    shown = usage(encoder, "q", [text, " ", "b"])
    assert [len(document) for document in shown.documents] == [300, 1]
    np.testing.assert_allclose(encoder.predict([("q", text) for text in shown.documents]), shown.scores, atol=1e-6)


def test_a_dataset_of_the_hub_is_known_by_its_name_and_revision():
    name = f"hf://datasets/microsoft/ms_marco@{'a1' * 20}/v1.1/train-00000-of-00001.parquet"
    facts = Part(iter([LabeledList("q", ("a",), (1.0,))]), name=name).facts()
    assert (facts.name, facts.source, facts.revision, facts.size) == ("microsoft/ms_marco", name, "a1" * 20, None)


def test_files_of_the_hub_stand_on_the_card_with_the_commit_that_was_read(trained, bert, tmp_path, monkeypatch):
    snapshot = tmp_path / "hub" / "datasets--org--name" / "snapshots" / ("c0" * 20)
    snapshot.mkdir(parents=True)
    (tmp_path / "hub" / "datasets--org--name" / "refs").mkdir()
    (tmp_path / "hub" / "datasets--org--name" / "refs" / "main").write_text(snapshot.name)
    for name in ("lists", "test"):
        shutil.copy(trained.parent / f"{name}.jsonl", snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    here = "hf://datasets/org/name"
    (tmp_path / "recipe.yaml").write_text(
        f"base: {bert}\ntrain: {here}/lists.jsonl\ntest: {here}@main/test.jsonl\noutput: {tmp_path}/model\n"
        "training: {max_steps: 1, bf16: false}\n"
    )
    facts = run_recipe(tmp_path / "recipe.yaml").facts
    [data], [evaluation] = facts.training.data, facts.evaluations
    assert (data.name, data.source, data.revision) == ("org/name", f"{here}/lists.jsonl", snapshot.name)
    assert (evaluation.source, evaluation.revision) == (f"{here}@main/test.jsonl", snapshot.name)
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.count(f"at revision `{snapshot.name}`") == 2
