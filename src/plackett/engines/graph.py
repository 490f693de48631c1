"""The forward pass of the BERT family as an ONNX graph, built directly from the weights.

Inputs are int64 (batch, sequence), padded on the right: `input_ids`, `attention_mask`, and `token_type_ids` if the
model reads them. The output is `logits`, float32 (batch, labels). These are the names that sentence-transformers,
fastembed, FlashRank and TEI expect.

Inside, the real tokens are rows of one matrix, (tokens, hidden), so that padding costs nothing; only
attention looks at padded rows. The last layer is computed for the first token of each row, all that the head reads.
"""

import contextlib
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from plackett._extras import require
from plackett.engines.torch.weights import Affine, EncoderWeights, LayerWeights

OPSET = 20  # the first to include Gelu
IR_VERSION = 10
LARGEST = 2**31 - 2**20
ONNXRUNTIME = "com.microsoft"  # the domain of its own operators, used by the int8 graph
INT8 = 127
GELU_LEAST = -0.17  # GELU never falls below -0.16998
OUTLIERS = 8
"""Number of inputs of the product after GELU that stay in fp32: encoders learn a few weights there that are 20 to 60
times larger than the others, and a scale that covers them would leave only a few codes for the rest."""

OPENVINO_ROWS = 32
"""OpenVINO caches code for each number of rows: memory grew by 300 MB over 1,500 batches of random sizes."""

# Activation of a family's head -> operator.
_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "gelu": "Gelu"}


class Graph:
    """A graph that grows node by node: every method returns the name of what it added."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any] | np.generic | torch.Tensor) -> str:
        """Add an initializer."""
        array = values.detach().numpy() if isinstance(values, torch.Tensor) else values
        name = f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """Add an initializer of int64, (values,)."""
        return self.constant(np.array(values, np.int64))

    def model(self, inputs: list[str], output: str, labels: int) -> onnx.ModelProto:
        """The finished model."""
        self._nodes.append(helper.make_node("Identity", [output], ["logits"], name="logits"))
        rows = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs]
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])
        graph = helper.make_graph(self._nodes, "plackett", rows, [logits], list(self._constants.values()))
        domains = {node.domain: 1 for node in self._nodes} | {"": OPSET}
        opsets = [helper.make_opsetid(domain, number) for domain, number in domains.items()]
        return helper.make_model(graph, producer_name="plackett", opset_imports=opsets, ir_version=IR_VERSION)


class _Rows(NamedTuple):
    """Names of the tensors that map between packed and padded rows.

    padded: int64 (batch, sequence), the packed row of each token. first: int64 (batch,), the packed row of each pair's
    first token. real: int64 (tokens,), the index of each packed row in the flattened padded batch. bias: float32
    (batch, 1, 1, sequence), added to attention scores.
    """

    padded: str
    first: str
    real: str
    bias: str


def build(weights: EncoderWeights, *, token_types: bool, step: int = 1, int8: bool = False) -> onnx.ModelProto:
    """Build the graph of these weights; `token_types` says whether the model reads them, or assumes 0.

    The packed rows are padded to a multiple of `step` by copies of the first, for runtimes that compile and cache code
    for each number of rows. With `int8`, embeddings are stored and linear layers computed in 8 bits.
    """
    return (_Int8Builder if int8 else _Builder)(weights, token_types, step).model()


class _Builder:
    def __init__(self, weights: EncoderWeights, token_types: bool, step: int) -> None:
        self._weights = weights
        self._step = step
        self._token_types = token_types and weights.types is not None
        self._graph = Graph()
        self._hidden = weights.layers[0].query.weight.shape[0]

    def model(self) -> onnx.ModelProto:
        rows = self._rows()
        hidden = self._embed(rows)
        for layer in self._weights.layers[:-1]:
            hidden = self._layer(hidden, layer, rows)
        first = self._layer(hidden, self._weights.layers[-1], rows, first_only=True)
        inputs = ["input_ids", "attention_mask", *["token_type_ids"] * self._token_types]
        return self._graph.model(inputs, self._head(first), len(self._weights.output.bias))

    def _rows(self) -> _Rows:
        graph = self._graph
        flat = graph.op("Reshape", "attention_mask", graph.integers(-1))
        real = self._filled(graph.op("Reshape", graph.op("NonZero", flat), graph.integers(-1)))
        before = graph.op("Sub", graph.op("CumSum", flat, graph.integers(0)), graph.integers(1))
        padded = graph.op("Reshape", before, graph.op("Shape", "attention_mask"))
        first = graph.op("Gather", padded, graph.constant(np.int64(0)), axis=1)
        masked = graph.op("Cast", graph.op("Sub", graph.integers(1), "attention_mask"), to=TensorProto.FLOAT)
        low = graph.constant(np.float32(np.finfo(np.float32).min))
        bias = graph.op("Unsqueeze", graph.op("Mul", masked, low), graph.integers(1, 2))
        return _Rows(padded, first, real, bias)

    def _filled(self, real: str) -> str:
        graph = self._graph
        if self._step == 1:
            return real
        missing = graph.op("Mod", graph.op("Neg", graph.op("Shape", real)), graph.integers(self._step))
        first = graph.op("Gather", real, graph.integers(0))
        return graph.op("Concat", real, graph.op("Expand", first, missing), axis=0)

    def _embed(self, rows: _Rows) -> str:
        graph, weights = self._graph, self._weights
        positions = weights.positions
        if weights.types is not None and not self._token_types:
            positions = positions + weights.types[0]
        embedded = graph.op(
            "Add",
            self._words(self._packed("input_ids", rows)),
            graph.op("Gather", graph.constant(positions), self._packed(self._positions(), rows)),
        )
        if self._token_types and weights.types is not None:
            types = graph.op("Gather", graph.constant(weights.types), self._packed("token_type_ids", rows))
            embedded = graph.op("Add", embedded, types)
        embedded = self._norm(embedded, weights.embeddings_norm)
        return self._linear(embedded, weights.project) if weights.project else embedded

    def _words(self, ids: str) -> str:
        return self._graph.op("Gather", self._graph.constant(self._weights.words), ids)

    def _packed(self, padded: str, rows: _Rows) -> str:
        return self._graph.op("Gather", self._graph.op("Reshape", padded, self._graph.integers(-1)), rows.real)

    def _positions(self) -> str:
        """Add the position of each token. RoBERTa starts after the padding id and skips it in texts."""
        graph = self._graph
        if self._weights.padding_idx is None:
            return graph.op("Sub", graph.op("CumSum", "attention_mask", graph.integers(1)), graph.integers(1))
        padding = graph.integers(self._weights.padding_idx)
        counted = graph.op("Not", graph.op("Equal", "input_ids", padding))
        counted = graph.op("Cast", counted, to=TensorProto.INT64)
        number = graph.op("Mul", graph.op("CumSum", counted, graph.integers(1)), counted)
        return graph.op("Add", number, padding)

    def _layer(self, hidden: str, layer: LayerWeights, rows: _Rows, *, first_only: bool = False) -> str:
        residual = self._graph.op("Gather", hidden, rows.first) if first_only else hidden
        attended = self._attend(residual, hidden, layer, rows, first_only)
        attended = self._graph.op("Add", self._linear(attended, layer.attention), residual)
        attended = self._norm(attended, layer.attention_norm)
        up = self._graph.op("Gelu", self._linear(attended, layer.up))
        down = self._linear(up, layer.down, least=GELU_LEAST)
        return self._norm(self._graph.op("Add", down, attended), layer.output_norm)

    def _attend(self, queries: str, hidden: str, layer: LayerWeights, rows: _Rows, first_only: bool) -> str:
        """Add attention, on padded rows: (tokens, hidden) -> (tokens or batch, hidden)."""
        graph, dim = self._graph, self._hidden // self._weights.heads
        query = Affine(layer.query.weight * dim**-0.5, layer.query.bias * dim**-0.5)
        if first_only:
            q = graph.op("Reshape", self._linear(queries, query), graph.integers(-1, self._weights.heads, 1, dim))
            k, v = self._padded_heads(hidden, rows, layer.key, layer.value)
        else:
            q, k, v = self._padded_heads(hidden, rows, query, layer.key, layer.value)
        scores = graph.op("MatMul", q, graph.op("Transpose", k, perm=(0, 1, 3, 2)))
        weights = graph.op("Softmax", graph.op("Add", scores, rows.bias), axis=-1)
        out = graph.op("Transpose", graph.op("MatMul", weights, v), perm=(0, 2, 1, 3))
        out = graph.op("Reshape", out, graph.integers(-1, self._hidden))
        return out if first_only else graph.op("Gather", out, rows.real)

    def _padded_heads(self, hidden: str, rows: _Rows, *affines: Affine) -> list[str]:
        """Add affine maps of the rows, each (batch, heads, sequence, dim), by one product and one gather."""
        graph, heads = self._graph, self._weights.heads
        joined = Affine(*map(torch.cat, zip(*affines, strict=True)))
        padded = graph.op("Gather", self._linear(hidden, joined), rows.padded)
        shape = graph.integers(0, 0, len(affines), heads, self._hidden // heads)
        apart = graph.op("Transpose", graph.op("Reshape", padded, shape), perm=(2, 0, 3, 1, 4))
        return [graph.op("Gather", apart, graph.constant(np.int64(number)), axis=0) for number in range(len(affines))]

    def _head(self, first: str) -> str:
        weights = self._weights
        dense = self._linear(first, weights.dense)
        return self._product(self._graph.op(_ACTIVATIONS[weights.activation], dense), weights.output)

    def _linear(self, rows: str, affine: Affine, *, least: float | None = None) -> str:
        """Add the affine map of rows; `least` is a known lower bound of their values."""
        return self._product(rows, affine)

    def _product(self, rows: str, affine: Affine) -> str:
        graph = self._graph
        product = graph.op("MatMul", rows, graph.constant(affine.weight.T))
        return graph.op("Add", product, graph.constant(affine.bias))

    def _norm(self, rows: str, affine: Affine) -> str:
        graph = self._graph
        weight, bias = graph.constant(affine.weight), graph.constant(affine.bias)
        return graph.op("LayerNormalization", rows, weight, bias, axis=-1, epsilon=self._weights.epsilon)


class _Int8Builder(_Builder):
    """Builds weights in symmetric int8, with one scale per output, and activations in 8 bits, with one per token.

    The scales of tokens are independent, so a pair's logit does not depend on the rest of its batch. The last layer of
    the head, which computes the logit, stays in fp32.
    """

    def _words(self, ids: str) -> str:
        graph = self._graph
        words, scales = _int8(self._weights.words)
        rows = graph.op("Cast", graph.op("Gather", graph.constant(words), ids), to=TensorProto.FLOAT)
        return graph.op("Mul", rows, graph.op("Gather", graph.constant(scales), ids))

    def _linear(self, rows: str, affine: Affine, *, least: float | None = None) -> str:
        if least is None:
            return self._coded(rows, affine)
        graph, weight = self._graph, affine.weight.detach().clone()
        inputs = weight.abs().amax(dim=0).argsort(descending=True)[:OUTLIERS]
        exact = graph.op("Gather", rows, graph.constant(inputs), axis=1)
        of_exact = graph.constant(weight[:, inputs].T)
        weight[:, inputs] = 0
        return graph.op("Gemm", exact, of_exact, self._coded(rows, Affine(weight, affine.bias), least=least))

    def _coded(self, rows: str, affine: Affine, *, least: float | None = None) -> str:
        """Add the affine map, with rows and weights in 8-bit codes."""
        graph = self._graph
        weight, of_outputs = _int8(affine.weight)
        bias = affine.bias.detach().numpy()
        if least is None:
            zero, magnitudes = INT8 + 1, graph.op("Abs", rows)
        else:  # all codes are for values above `least`, which the bias adds back
            zero, magnitudes = 0, (rows := graph.op("Add", rows, graph.constant(np.float32(-least))))
            bias = bias + np.float32(least) * of_outputs[:, 0] * weight.sum(axis=1, dtype=np.float32)
        codes, of_tokens = self._codes(rows, magnitudes, zero)
        product = graph.op(
            "MatMulIntegerToFloat",
            codes,
            graph.constant(weight.T),
            graph.constant(np.float32(1)),  # the operator accepts only one scale for all tokens
            graph.constant(of_outputs[:, 0]),
            graph.constant(np.uint8(zero)),
            domain=ONNXRUNTIME,
        )
        product = graph.op("Mul", product, graph.op("Unsqueeze", of_tokens, graph.integers(-1)))
        return graph.op("Add", product, graph.constant(bias))

    def _codes(self, rows: str, magnitudes: str, zero: int) -> tuple[str, str]:
        """Add codes of the rows (`zero` stands for 0, 255 for the largest magnitude) and their scales, (tokens,).

        They are unsigned, because VNNI instructions multiply unsigned values by signed weights.
        """
        graph = self._graph
        largest = graph.op("ReduceMax", magnitudes, graph.integers(-1), keepdims=0)
        largest = graph.op("Max", largest, graph.constant(np.float32(1e-12)))  # for a row of zeros
        of_tokens = graph.op("Mul", largest, graph.constant(np.float32(1 / (255 - zero))))
        zeros = graph.op("Expand", graph.constant(np.array([zero], np.uint8)), graph.op("Shape", of_tokens))
        return graph.op("QuantizeLinear", rows, of_tokens, zeros, axis=0), of_tokens


def _int8(matrix: torch.Tensor) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the codes of a matrix, in its shape, and the scale of each row, (rows, 1)."""
    values = matrix.detach().numpy().astype(np.float32)
    scales = np.maximum(np.abs(values).max(axis=1, keepdims=True), np.float32(1e-12)) / np.float32(INT8)
    return np.rint(values / scales).astype(np.int8), scales


def write_onnx(weights: EncoderWeights, path: Path, *, token_types: bool, int8: bool) -> None:
    """Write the graph of these weights for onnxruntime."""
    write(build(weights, token_types=token_types, int8=int8), path)


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph. Above two gigabytes, the limit of protobuf, its weights go to a separate file."""
    apart = model.ByteSize() > LARGEST
    onnx.save_model(model, path, save_as_external_data=apart, location=f"{path.name}_data" if apart else None)


def write_openvino(weights: EncoderWeights, path: Path, *, token_types: bool, int8: bool) -> None:
    """Write the graph as OpenVINO's own `.xml` and `.bin`.

    With `int8`, the weights have 8 bits and one scale per output; the engine quantises activations at run time.
    """
    save_openvino(build(weights, token_types=token_types, step=OPENVINO_ROWS), path, int8=int8)


def save_openvino(model: onnx.ModelProto, path: Path, *, int8: bool) -> None:
    """Write a graph in OpenVINO's format."""
    openvino: Any = require("openvino", extra="openvino")
    core = require("plackett.engines.openvino", extra="openvino").CORE
    with tempfile.TemporaryDirectory(prefix="plackett-export-") as folder:
        write(model, Path(folder) / "model.onnx")
        read = core.read_model(Path(folder) / "model.onnx")
        openvino.save_model(_compressed(read) if int8 else read, path, compress_to_fp16=False)


def _compressed(model: Any) -> Any:
    nncf: Any = require("nncf", extra="export")
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):  # its progress bars
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)


WRITERS = {"onnx": write_onnx, "openvino": write_openvino}
"""Engine -> the function that writes its file."""
