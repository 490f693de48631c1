"""The weights of an exported graph as a checkpoint that can be trained: the inverse of `engines.graph`.

The embedded model is only an int8 graph. To train from it, its codes are multiplied by their scales and renamed as in
transformers. The graph also rounds the inputs of its products, so its logits differ from those of the weights by up to
about 0.1.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.numpy import save_file

from plackett.checkpoints.exports import export_files, exports_of
from plackett.checkpoints.folder import copy_tokenizer
from plackett.checkpoints.jsons import read_json
from plackett.checkpoints.own_files import CONFIG, SENTENCE_TRANSFORMERS, WEIGHTS
from plackett.checkpoints.weights import has_weights
from plackett.engines.graph import GELU_LEAST
from plackett.engines.torch.weights import LAYOUTS, Layout
from plackett.errors import CheckpointError

Array = NDArray[np.float32]
Linear = tuple[Array, Array]


@contextlib.contextmanager
def trainable(folder: Path) -> Iterator[Path]:
    """Yield `folder`, or if it has only a graph written by Plackett, a temporary folder with its weights.

    Raises CheckpointError for a graph that is damaged or was not written by Plackett.
    """
    if has_weights(folder) or not any(engine == "onnx" for engine, _ in exports_of(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="plackett-weights-") as name:
        yield write_weights(folder, Path(name))


def write_weights(folder: Path, target: Path) -> Path:
    """Write the weights in `folder`'s graph, its configuration and its tokenizer to `target`."""
    path = _graph(folder)
    config = read_json(folder / CONFIG)
    try:
        weights = read_graph(onnx.load(path), config)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}; name an encoder or a reranker with {WEIGHTS} as the base") from error
    except Exception as error:  # readers raise many kinds for a foreign or damaged file
        raise CheckpointError(f"{path} is damaged, or not a graph that plackett export wrote ({error})") from error
    copy_tokenizer(folder, target)
    for name in (CONFIG, SENTENCE_TRANSFORMERS):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    return target


def _graph(folder: Path) -> Path:
    """Return the graph for onnxruntime, in fp32 if available."""
    found = sorted(key for key in exports_of(folder) if key[0] == "onnx")  # fp32 comes before int8
    return folder / export_files()[found[0]][0]


def read_graph(model: onnx.ModelProto, config: Mapping[str, object]) -> dict[str, Array]:
    """Return name -> weight as in transformers' classifier of the family, all in float32.

    Raises CheckpointError for a graph that `engines.graph` did not build.
    """
    layout = LAYOUTS.get(str(config.get("model_type")))
    if model.producer_name != "plackett" or layout is None:
        raise CheckpointError("was not written by plackett export, so its weights cannot be read back")
    return _named(_Parts(model), layout, config)


class _Parts:
    """Tables, norms and linear layers of a graph, in the order of its nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        self._nodes = {node.output[0]: node for node in model.graph.node}
        self.tables, self.norms, self.linears = list[Array](), list[Linear](), list[Linear]()

        readers = {
            "Gather": self._table,
            "LayerNormalization": self._norm,
            "Gemm": self._outliers,
            "Add": self._linear,
        }
        for node in model.graph.node:
            if node.op_type in readers:
                readers[node.op_type](node)

    def _table(self, node: onnx.NodeProto) -> None:
        """Embeddings. The scales of the rows follow those in int8."""
        table = self._constants.get(node.input[0])
        if table is None or table.ndim != 2:
            return
        if table.shape[1] == 1 and self.tables:
            self.tables[-1] = self.tables[-1] * table.astype(np.float32)
        else:
            self.tables.append(table.astype(np.float32))

    def _norm(self, node: onnx.NodeProto) -> None:
        self.norms.append((self._constants[node.input[1]], self._constants[node.input[2]]))

    def _linear(self, node: onnx.NodeProto) -> None:
        """Read a product with constant weights, and the bias added to it."""
        bias, product = self._constants.get(node.input[1]), self._nodes.get(node.input[0])
        if bias is None or product is None:
            return
        if product.op_type == "Mul":  # of codes, by the scale of each token
            product = self._nodes.get(product.input[0], product)
        if product.op_type == "MatMulIntegerToFloat":
            self.linears.append(self._decoded(product, bias.astype(np.float32)))
        elif product.op_type == "MatMul" and (weight := self._constants.get(product.input[1])) is not None:
            self.linears.append((weight.T.astype(np.float32), bias.astype(np.float32)))

    def _decoded(self, node: onnx.NodeProto, bias: Array) -> Linear:
        """Return codes times scales, and the bias without the shift of `engines.graph` for rows with a lower bound."""
        codes, _, scales, zero = (self._constants[name] for name in node.input[1:5])
        weight = codes.T.astype(np.float32) * scales.astype(np.float32)[:, None]
        moved = np.float32(GELU_LEAST) * weight.sum(axis=1, dtype=np.float32)
        return weight, bias - moved if int(zero) == 0 else bias

    def _outliers(self, node: onnx.NodeProto) -> None:
        """Return the few inputs of the last linear layer that are kept in float32."""
        gathered = self._nodes[node.input[0]]
        weight, _ = self.linears[-1]
        weight[:, self._constants[gathered.input[1]]] = self._constants[node.input[1]].T


def _named(parts: _Parts, layout: Layout, config: Mapping[str, object]) -> dict[str, Array]:
    """Return the parts under transformers' names; CheckpointError unless all parts can be placed."""
    named, norms, linears = _embeddings(parts.tables, layout, config), iter(parts.norms), iter(parts.linears)
    _put(named, f"{layout.encoder}.embeddings.LayerNorm", next(norms))
    if parts.tables[0].shape[1] != parts.norms[-1][0].shape[0]:  # widths of the embeddings and of the layers
        _put(named, f"{layout.encoder}.embeddings_project", next(linears))
    for number in range(_layers(config)):
        norms_of = {part: next(norms) for part in ("attention_norm", "output_norm")}
        for part, linear in (_layer(linears, _heads(config)) | norms_of).items():
            _put(named, f"{layout.encoder}.{layout.layers}.{number}.{layout.layer[part]}", linear)
    _put(named, layout.dense, next(linears))
    _put(named, layout.output, next(linears))
    if [*norms, *linears]:
        raise CheckpointError("has more layers than its configuration")
    return {name: np.ascontiguousarray(values) for name, values in named.items()}


def _embeddings(tables: Sequence[Array], layout: Layout, config: Mapping[str, object]) -> dict[str, Array]:
    words, positions, *types = tables
    found = {"word_embeddings": words, "position_embeddings": positions}
    if types:
        found["token_type_embeddings"] = types[0]
    elif number := config.get("type_vocab_size"):  # none are read: the graph adds the first to the positions
        found["token_type_embeddings"] = np.zeros((int(str(number)), words.shape[1]), np.float32)
    return {f"{layout.encoder}.embeddings.{name}.weight": table for name, table in found.items()}


def _layer(linears: Iterator[Linear], heads: int) -> dict[str, Linear]:
    """Return one layer's linear maps. Queries, keys and values are joined, except in the last layer."""
    weight, bias = next(linears)
    if weight.shape[0] == weight.shape[1]:
        others, of_others = next(linears)
        weight, bias = np.concatenate([weight, others]), np.concatenate([bias, of_others])
    (query, key, value), biases = np.split(weight, 3), np.split(bias, 3)
    scale = np.float32((query.shape[0] // heads) ** 0.5)  # the graph scales queries instead of scores
    joined = {
        "query": (query * scale, biases[0] * scale),
        "key": (key, biases[1]),
        "value": (value, biases[2]),
    }
    return joined | {part: next(linears) for part in ("attention", "up", "down")}


def _put(named: dict[str, Array], name: str, linear: Linear) -> None:
    named[f"{name}.weight"], named[f"{name}.bias"] = linear


def _layers(config: Mapping[str, object]) -> int:
    return int(str(config.get("num_hidden_layers", config.get("n_layers"))))


def _heads(config: Mapping[str, object]) -> int:
    return int(str(config.get("num_attention_heads", config.get("n_heads"))))
