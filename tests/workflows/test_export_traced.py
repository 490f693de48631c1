"""Exports of families beyond BERT's give torch's logits."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

import small_families
from layouts import causal, logit_score
from plackett import CheckpointError, CrossEncoder
from plackett.checkpoints.folder import read_checkpoint
from plackett.engines.loading import load_engine
from plackett.engines.torch.engine import padded_forward
from plackett.models.classifier import load_model
from plackett.tokenization.batches import EncodedPairs
from plackett.workflows.export import TRACED, WORKLOAD, export

pytestmark = pytest.mark.slow

ALL = "PLACKETT_ALL_EXPORTS" in os.environ
"""Tracing takes five seconds per family: the suite exports one of each kind, `make exports` all of them."""


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Measure the speed on a few pairs: it is not looked at here."""
    monkeypatch.setattr("plackett.workflows.export.WORKLOAD", WORKLOAD[:3])


def make(folder, family, tiny):
    """A small classifier whose windows are shorter than its pairs, where its family has windows."""
    if family in ("modernbert", "deberta-v2"):
        shutil.copytree(tiny(family), folder)
        return folder
    small_families.build(folder, family)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["num_hidden_layers"] = 1  # tracing takes its time by the layer
    config |= {"layer_types": config["layer_types"][:1]} if config.get("layer_types") else {}
    config |= {"sliding_window": 8} if family == "mistral" else {}
    path.write_text(json.dumps(config))
    return folder


def batch_of(lengths, vocabulary):
    rng = np.random.default_rng(len(lengths))
    ids = rng.integers(5, vocabulary, sum(lengths))
    return EncodedPairs(ids, np.zeros_like(ids), np.concatenate([[0], np.cumsum(lengths)]))


def assert_agrees(folder, engine):
    checkpoint = read_checkpoint(folder)
    forward, scored = padded_forward(load_model(checkpoint), checkpoint), load_engine(engine, checkpoint)
    for lengths in ([1], [checkpoint.max_length], [3, 9, 1, 9, 30], [17] * 4):
        batch = batch_of(lengths, checkpoint.inputs.vocabulary)
        with torch.inference_mode():
            expected = forward(batch).numpy()
        np.testing.assert_allclose(scored.score(batch), expected, atol=1e-4)


@pytest.mark.parametrize("family", sorted(TRACED - {"qwen3"}) if ALL else ["deberta-v2", "gemma", "modernbert"])
def test_logits_are_those_of_transformers(tiny, tmp_path, family):
    folder = make(tmp_path / family, family, tiny)
    export(str(folder), engine="onnx")
    assert_agrees(folder, "onnx")


@pytest.mark.parametrize("family", ["qwen3"])
def test_openvino_too(tiny, tmp_path, family):
    folder = make(tmp_path / family, family, tiny)
    export(str(folder), engine="openvino")
    assert_agrees(folder, "openvino")


def test_a_causal_reranker_is_exported_with_its_template(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = logit_score(tmp_path / "st", causal(tmp_path / "lm"))
    export(str(folder), engine="onnx", output=tmp_path / "out")
    pairs = [("sort a list", "the list is sorted"), ("cats", "dogs and cats " * 150)]
    expected = CrossEncoder(folder, engine="torch").score(pairs)
    np.testing.assert_allclose(CrossEncoder(tmp_path / "out", engine="onnx").score(pairs), expected, atol=1e-4)


@pytest.mark.parametrize("engine", ["onnx", "openvino"] if ALL else ["onnx"])
def test_int8_is_measured_and_no_pair_changes_another(tiny, tmp_path, engine):
    lists = tmp_path / "lists.jsonl"
    row = {"query": "how do I sort", "docs": ["sort a list", "open a file", "no"], "labels": [1, 0, 0]}
    lists.write_text(json.dumps(row) + "\n")
    made = export(
        str(tiny("modernbert")),
        engine=engine,
        precision="int8",
        output=tmp_path / "out",
        calibration=str(lists),
        accept_loss=True,
    )
    assert set(made.facts.measures) >= {"nDCG@10"}
    encoder = CrossEncoder(tmp_path / "out", engine=engine, precision="int8")
    pairs = [("how do I sort", "words " * 40), ("how do I sort", "no"), ("a file", "open a file with a path")]
    alone = np.concatenate([encoder.score([pair]) for pair in pairs])
    np.testing.assert_allclose(encoder.score(pairs), alone, atol=1e-4 if engine == "onnx" else 0.05)


def test_positions_that_depend_on_the_batch_are_refused(tmp_path):
    small_families.build(tmp_path, "llama")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    path.write_text(json.dumps(config | {"rope_parameters": rope}))
    with pytest.raises(CheckpointError, match="rotary"):
        export(str(tmp_path), engine="onnx")
