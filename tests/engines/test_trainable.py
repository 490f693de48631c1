"""Weights read back from graphs are those that the graphs were exported from."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from plackett import CheckpointError, CrossEncoder
from plackett.checkpoints import bundled
from plackett.checkpoints.folder import read_base, read_checkpoint
from plackett.engines.graph import build
from plackett.engines.torch.weights import LAYOUTS, read_weights
from plackett.engines.trainable import read_graph, trainable
from plackett.models.classifier import load_model
from tiny import DOCUMENTS, PAIRS, QUERY, unsettle


@pytest.fixture(params=[*((family, 1) for family in LAYOUTS), ("bert", 3)], ids=lambda param: f"{param[0]}-{param[1]}")
def model(tiny, request):
    family, labels = request.param
    module = load_model(read_checkpoint(tiny("roberta" if family == "camembert" else family, labels)))
    if family == "camembert":
        config = transformers.CamembertConfig(**module.config.to_dict() | {"model_type": "camembert"})
        module = transformers.CamembertForSequenceClassification(config)
    return unsettle(module)


@pytest.mark.parametrize("int8", [False, True])
def test_a_graph_gives_its_weights_back(model, int8):
    expected = {name: values.numpy() for name, values in model.state_dict().items()}
    types = next((values for name, values in expected.items() if "token_type" in name), None)
    reads_types = types is not None and len(types) > 1
    found = read_graph(build(read_weights(model), token_types=reads_types, int8=int8), model.config.to_dict())

    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if not reads_types and "position_embeddings" in name and types is not None:
            values = values + types[0]
        if not reads_types and "token_type" in name:
            values = values * 0
        coded = int8 and values.ndim == 2 and name not in {"classifier.weight", "classifier.out_proj.weight"}
        step = np.abs(values).max(axis=-1, keepdims=True) / 127 if coded else 0
        # A bias behind GELU loses digits where what was added to it is taken away.
        assert (np.abs(found[name] - values) <= step * 0.51 + 1e-5).all(), name


def test_the_embedded_model_can_be_trained_from_its_graph():
    shipped = CrossEncoder()
    with trainable(bundled.folder()) as folder:
        base = read_base(folder)
        restored = CrossEncoder(folder, activation="identity")
        assert base.max_length == shipped.checkpoint.max_length
        logits = restored.predict([*PAIRS, (QUERY, DOCUMENTS[0])])
    expected = CrossEncoder(activation="identity").predict([*PAIRS, (QUERY, DOCUMENTS[0])])
    np.testing.assert_allclose(logits, expected, atol=0.15)
    assert not folder.exists()


def test_a_folder_with_weights_is_used_as_it_is(bert):
    with trainable(bert) as folder:
        assert folder == bert


@pytest.mark.parametrize("damage", ["cut", "foreign", "layers"])
def test_a_graph_that_is_not_ours_or_not_whole_is_named(graph, tmp_path, damage):
    folder = shutil.copytree(graph, tmp_path / "m")
    path = next(folder.rglob("*.onnx"))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5000])
    elif damage == "foreign":
        model = onnx.load(path)
        model.producer_name = "pytorch"
        onnx.save(model, path)
    else:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with pytest.raises(CheckpointError, match=path.name), trainable(folder):
        pass


def test_an_export_without_weights_gives_the_weights_it_was_made_from(bert, graph):
    with trainable(graph) as folder:
        found, expected = load_file(folder / "model.safetensors"), load_file(bert / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(values))
