"""plackett calibrate: what it prints, what it leaves in the checkpoint, and what it refuses without touching it."""

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder, DataError
from plackett.calibration import report as reliability
from plackett.calibration.fitting import calibrate as fit
from plackett.calibration.report import table
from plackett.calibration.thresholds import Target
from plackett.checkpoints.calibrations import parameters_of, read_calibration
from plackett.checkpoints.own_files import CALIBRATION, CALIBRATION_PLOT
from plackett.data import write_beir
from plackett.publishing.card import render
from plackett.publishing.publish import publish
from plackett.publishing.storage import read_facts
from plackett.records import Collection, Qrel
from plackett.workflows.calibrate import CalibrationSettings, Sources, calibrate
from tiny import PAIRS

pytestmark = pytest.mark.slow

WORDS = ["apple", "pear", "plum", "list", "sort", "file", "path", "word", "json", "text", "parser", "string"]
NEW = {CALIBRATION, CALIBRATION_PLOT, "README.md", "plackett.json"}


@pytest.fixture
def model(bert, tmp_path):
    return shutil.copytree(bert, tmp_path / "model")


@pytest.fixture(scope="module")
def lists(bert, tmp_path_factory):
    """Forty lists; what scores high is relevant, mostly. The logits are far from being those of probabilities."""
    random, encoder, rows = np.random.default_rng(0), CrossEncoder(bert), []
    for number in range(40):
        query = f"{WORDS[number % 12]} {number}"
        docs = [" ".join(random.choice(WORDS, 4)) for _ in range(6)]
        logits = encoder.score([(query, text) for text in docs])[:, 0]
        rows.append((query, docs, logits))
    scale = np.concatenate([logits for *_, logits in rows])
    chances = [1 / (1 + np.exp(-3 * (logits - scale.mean()) / scale.std() + 1.5)) for *_, logits in rows]
    path = tmp_path_factory.mktemp("lists") / "dev.jsonl"
    with path.open("w") as stream:
        for (query, docs, _), chance in zip(rows, chances, strict=True):
            labels = [int(value) * int(random.integers(1, 4)) for value in random.random(6) < chance]
            stream.write(json.dumps({"query": query, "docs": docs, "labels": labels}) + "\n")
    return path


def judged(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    pairs = [(row["query"], text) for row in rows for text in row["docs"]]
    return pairs, np.array([label for row in rows for label in row["labels"]])


def test_a_calibration_its_picture_the_facts_and_the_card_are_left_and_nothing_else_changes(model, lists, run):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    code, output, errors = run("calibrate", model, "--data", lists)
    assert code == 0, errors
    after = {path.name: path.read_bytes() for path in model.iterdir()}
    assert set(after) == set(before) | NEW
    assert {name: content for name, content in after.items() if name not in NEW} == before
    with Image.open(model / CALIBRATION_PLOT) as picture:
        picture.verify()
        assert picture.size == (800, 550)
    facts, calibration = read_facts(model), read_calibration(model)
    assert (facts.calibration.collection, facts.calibration.pairs) == ("dev.jsonl", 240)
    assert facts.calibration.parameters == parameters_of(calibration)
    assert facts.calibration.method in output
    assert f"{facts.calibration.threshold:g}" in output
    assert (model / "README.md").read_text() == render(facts)
    assert "](calibration.png)" in render(facts)
    assert f"min_score={facts.calibration.threshold:g}" in render(facts)
    for name, (worse, better) in facts.calibration.measures.items():
        assert better < worse, name
        assert all(f"{value:.4f}" in output for value in (worse, better))
    assert "--activation calibrated" in errors


def test_the_figures_are_those_of_the_models_logits_and_the_labels(model, lists):
    pairs, labels = judged(lists)
    targets = (Target("precision", 0.8), Target("recall", 0.8))
    found = calibrate(model, Sources(data=[str(lists)]), CalibrationSettings(targets=targets, seed=3))
    logits = CrossEncoder(model).score(pairs)[:, 0]
    np.testing.assert_allclose(found.pairs.logits, logits, atol=1e-5)
    np.testing.assert_array_equal(found.pairs.relevant, labels > 0)
    np.testing.assert_array_equal(found.pairs.queries, np.arange(240) // 6)
    assert found.best.log_loss == fit(found.pairs, seed=3).best.log_loss
    encoder = CrossEncoder(model, activation="calibrated")
    probabilities = encoder.predict(pairs)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert probabilities.mean() == pytest.approx((labels > 0).mean(), abs=0.01), "right on the whole"
    for item in found.thresholds:
        kept = np.isfinite(encoder.predict(pairs, min_score=item.value))
        precision, recall = (labels[kept] > 0).mean(), (labels[kept] > 0).sum() / (labels > 0).sum()
        assert {"precision": precision, "recall": recall}[item.target.measure] >= item.target.value
        assert f"{item.target!s:<14}{item.value:>11g}" in table(found)


def test_grades_from_which_a_document_is_relevant(model, lists):
    _, labels = judged(lists)
    found = calibrate(model, Sources(data=[str(lists)]), CalibrationSettings(relevant_from=2))
    np.testing.assert_array_equal(found.pairs.relevant, labels >= 2)


def test_the_same_again_gives_the_same_bytes_and_another_takes_its_place(model, lists, run):
    contents = []
    for options in ("", "", "--relevant-from 2 --seed 5"):
        assert run("calibrate", model, "--data", lists, *shlex.split(options))[0] == 0
        contents.append({name: (model / name).read_bytes() for name in NEW})
    assert contents[0] == contents[1]
    assert contents[0][CALIBRATION] != contents[2][CALIBRATION]
    assert (model / "README.md").read_text().count("## Calibration") == 1


def test_a_calibrated_checkpoint_is_published_whole_and_only_with_its_own_calibration(model, lists):
    calibrate(model, Sources(data=[str(lists)]), CalibrationSettings(targets=(Target("recall", 0.5),)))
    assert {file.path for file in publish(model, "org/name", dry_run=True).files} >= NEW
    (model / CALIBRATION).write_text('{"version": 1, "method": "temperature", "temperature": 2}')
    with pytest.raises(CheckpointError, match="calibration"):
        publish(model, "org/name", dry_run=True)
    (model / CALIBRATION_PLOT).unlink()
    with pytest.raises(CheckpointError, match=r"calibration\.png"):
        publish(model, "org/name", dry_run=True)


@pytest.mark.peer
def test_sentence_transformers_gives_the_same_scores_as_before(model, lists, bert):
    calibrate(model, Sources(data=[str(lists)]))
    scores = [
        sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True).predict(PAIRS)
        for folder in (bert, model)
    ]
    np.testing.assert_array_equal(*scores)


def test_a_beir_folder_is_taken_by_its_first_stage_and_what_nobody_judged_is_not_relevant(model, tmp_path):
    corpus = {f"d{i}": f"{WORDS[i % 12]} {WORDS[i % 5]} {i}" for i in range(60)} | {"empty": " "}
    queries = {f"q{i}": f"{WORDS[i]} {WORDS[i % 5]}" for i in range(12)}
    write_beir(
        tmp_path / "beir", Collection("beir", queries, corpus, [Qrel(f"q{i}", f"d{i}", 1) for i in range(12)], ())
    )
    found = calibrate(model, Sources(data=[str(tmp_path / "beir")]), CalibrationSettings(depth=3, folds=3))
    assert len(set(found.pairs.queries.tolist())) == 12
    assert len(found.pairs) <= 36
    assert 0 < found.pairs.relevant.sum() <= 12


def test_queries_of_two_files_are_told_apart(model, lists, tmp_path):
    other = shutil.copyfile(lists, tmp_path / "other.jsonl")
    found = calibrate(model, Sources(data=[str(lists), str(other)]))
    assert len(set(found.pairs.queries.tolist())) == 80
    assert read_facts(model).calibration.collection == "dev.jsonl, other.jsonl"


def test_scores_that_tell_nothing_or_the_opposite_are_said_to(model, tmp_path, run):
    texts = ["the worst", "the best words"]
    logits = CrossEncoder(model).score([("q", text) for text in texts])[:, 0]
    opposite = [int(logit == logits.min()) for logit in logits]
    for docs, labels in ((["the same"] * 2, [1, 0]), (texts, opposite)):
        lines = [json.dumps({"query": "q", "docs": docs, "labels": labels}) for _ in range(10)]
        (tmp_path / "dev.jsonl").write_text("\n".join(lines))
        code, output, _ = run("calibrate", model, "--data", tmp_path / "dev.jsonl")
        assert code == 0
        assert "no better than the base rate" in output


def rows(labels, count=10):
    return "".join(
        json.dumps({"query": f"q {i}", "docs": ["a b", "c d"], "labels": labels}) + "\n" for i in range(count)
    )


MISTAKES = {
    "nothing relevant": (rows([0, 0]), "", "bad.jsonl: 0 of 20 pairs are relevant"),
    "everything relevant": (rows([1, 2]), "", "bad.jsonl: 20 of 20 pairs are relevant: a calibration needs"),
    "nothing relevant enough": (rows([1, 0]), "--relevant-from 2", "labels of at least 2 count as relevant"),
    "too few queries": (rows([1, 0], 3), "", "5 folds of 3 queries"),
    "one fold": (rows([1, 0]), "--folds 1", "folds is 1"),
    "a label that is text": (rows(["yes", 0]), "", "bad.jsonl:1: labels[0] is 'yes', not a number"),
    "a label that is NaN": (rows([float("nan"), 0]), "", "labels[0] is nan, not a number"),
    "a label between grades": (rows([0.5, 0]), "", "the label is 0.5"),
    "no lists": ("", "", "contains no lists"),
    "no such precision": (rows([1, 0]), "--precision-target 1.5", "a target precision of 1.5"),
    "a recall of NaN": (rows([1, 0]), "--recall-target nan", "is nan"),
    "no candidates": (rows([1, 0]), "--depth 0", "--depth"),
    "a seed that is none": (rows([1, 0]), "--seed -1", "--seed"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_in_one_line_and_leaves_the_checkpoint_as_it_was(model, tmp_path, run, name):
    content, options, message = MISTAKES[name]
    (tmp_path / "bad.jsonl").write_text(content)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    code, output, errors = run("calibrate", model, "--data", tmp_path / "bad.jsonl", *shlex.split(options))
    assert (code, output) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_checkpoints_that_cannot_be_calibrated(tiny, model, lists, run, monkeypatch):
    for checkpoint, message in {
        tiny("bert", 3): "a calibration needs one label",
        "org/name": "CrossEncoder('org/name').save_pretrained('models/name')",
        "default": "plackett calibrate models/default",
    }.items():
        code, _, errors = run("calibrate", checkpoint, "--data", lists)
        assert code == 2
        assert message in errors
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    with pytest.raises(CheckpointError, match="read-only"):
        calibrate(model, Sources(data=[str(lists)]))


def test_what_cannot_be_written_at_the_end_leaves_the_checkpoint_as_it_was(model, lists):
    (model / CALIBRATION_PLOT).mkdir()
    before = sorted(path.name for path in model.iterdir())
    with pytest.raises(DataError, match=r"calibration\.png is a folder where a file is expected"):
        calibrate(model, Sources(data=[str(lists)]))
    assert sorted(path.name for path in model.iterdir()) == before


def test_a_link_is_replaced_and_what_it_leads_to_left_alone(model, lists, tmp_path):
    (tmp_path / "blob").write_text("a card")
    (model / "README.md").symlink_to(tmp_path / "blob")
    calibrate(model, Sources(data=[str(lists)]))
    assert (tmp_path / "blob").read_text() == "a card"
    assert "## Calibration" in (model / "README.md").read_text()


def test_a_damaged_calibration_can_be_made_again(model, lists, run):
    (model / CALIBRATION).write_text("{")
    assert run("calibrate", model, "--data", lists)[0] == 0
    read_calibration(model)


def test_a_disk_that_is_full_at_the_end_leaves_the_checkpoint_as_it_was(model, lists, run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reliability, "plot", full)
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    code, output, errors = run("calibrate", model, "--data", lists)
    assert (code, output) == (1, "")
    assert f"{model} cannot be written: No space left on device" in errors
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_a_model_that_answers_nan_is_not_calibrated(model, lists, run):
    weights = load_file(model / "model.safetensors")
    save_file({**weights, "classifier.bias": np.full(1, np.nan, np.float32)}, model / "model.safetensors")
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    code, output, errors = run("calibrate", model, "--data", lists)
    assert (code, output) == (2, "")
    assert "returned NaN or infinity for 240 of 240 pairs" in errors
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


KILLED = """
import os, pathlib, signal, sys
from plackett.workflows.calibrate import CalibrationSettings, Sources, calibrate

model, lists, renames = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
replace, done = pathlib.Path.replace, []

def counted(path, target):
    if pathlib.Path(target).parent == model:
        if len(done) == renames:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(target)
    return replace(path, target)

pathlib.Path.replace = counted
calibrate(model, Sources(data=[lists]), CalibrationSettings(seed=5))
"""


@pytest.mark.process
def test_killed_between_two_files_each_is_whole_and_the_same_again_ends_it(model, lists, bert):
    """The first and the last but one of four: a card that is new, facts that are not."""
    calibrate(model, Sources(data=[str(lists)]), CalibrationSettings(relevant_from=2))
    old = {name: (model / name).read_bytes() for name in NEW}
    other = shutil.copytree(model, model.parent / "whole" / model.name)
    calibrate(other, Sources(data=[str(lists)]), CalibrationSettings(seed=5))
    new = {name: (other / name).read_bytes() for name in NEW}
    for renames in (1, 3):
        done = subprocess.run([sys.executable, "-c", KILLED, model, lists, str(renames)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        left = {name: (model / name).read_bytes() for name in NEW}
        assert sum(left[name] == new[name] != old[name] for name in NEW) == renames
        assert all(left[name] in (old[name], new[name]) for name in NEW)
        np.testing.assert_array_equal(CrossEncoder(model).score(PAIRS), CrossEncoder(bert).score(PAIRS))
        CrossEncoder(model, activation="calibrated").predict(PAIRS)
        with pytest.raises(CheckpointError, match="does not match"):
            publish(model, "org/name", dry_run=True)
    calibrate(model, Sources(data=[str(lists)]), CalibrationSettings(seed=5))
    assert {name: (model / name).read_bytes() for name in NEW} == new
    assert not any(file.path.startswith(".") for file in publish(model, "org/name", dry_run=True).files)
