"""Graphs of families beyond BERT's: transformers' own modules, traced by torch.

Inputs and output are those of `engines.graph`: int64 (batch, sequence), padded on the right, and `logits`. In int8, the
weights of linear layers have 8 bits and one scale per block; activations are quantised at run time, block by block, so
a pair's logit does not depend on the rest of its batch.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch

from plackett._extras import require
from plackett.checkpoints.folder import Checkpoint
from plackett.engines.graph import OPSET, save_openvino, write
from plackett.engines.torch.modules import rotary_depends_on_batch
from plackett.errors import CheckpointError
from plackett.models.classifier import Reranker, padded_inputs
from plackett.tokenization.batches import EncodedPairs
from plackett.tokenization.templates import tokenizer_of

BLOCK = 128
"""Number of weights of an input that share a scale, in int8."""


class _Logits(torch.nn.Module):
    """A classifier with positional instead of named inputs."""

    def __init__(self, model: Reranker, names: list[str]) -> None:
        super().__init__()
        self._model, self._names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(**dict(zip(self._names, inputs, strict=True))).logits
        return logits


def trace(model: Reranker, checkpoint: Checkpoint) -> onnx.ModelProto:
    """Return the graph of a classifier. CheckpointError if torch cannot trace it."""
    if rotary_depends_on_batch(model.config):
        raise CheckpointError(
            f"{checkpoint.folder} has rotary positions that depend on the longest pair of a batch, which a graph "
            "cannot express; engine='torch' runs it"
        )
    inputs = padded_inputs(_example(checkpoint), checkpoint)
    names = list(inputs)
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with _silent(), torch.inference_mode(False), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                _Logits(model, names).eval(),
                tuple(inputs.values()),
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=(tuple(dynamic for _ in names),),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # torch raises many kinds for foreign modules
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise CheckpointError(
                f"torch cannot trace {checkpoint.folder}, of the family {checkpoint.model_type} ({reason}); "
                "engine='torch' runs it"
            ) from error
    found: onnx.ModelProto = program.model_proto
    return found


def write_onnx(model: Reranker, path: Path, checkpoint: Checkpoint, *, int8: bool) -> None:
    """Write the graph of a classifier for onnxruntime."""
    traced = trace(model, checkpoint)
    write(_int8(traced) if int8 else traced, path)


def write_openvino(model: Reranker, path: Path, checkpoint: Checkpoint, *, int8: bool) -> None:
    """Write the graph of a classifier as OpenVINO's own `.xml` and `.bin`."""
    save_openvino(trace(model, checkpoint), path, int8=int8)


WRITERS = {"onnx": write_onnx, "openvino": write_openvino}
"""Engine -> the function that writes its file."""


def _example(checkpoint: Checkpoint) -> EncodedPairs:
    """Return pairs of several lengths, because tracing treats sizes of 1 and equal sizes as fixed."""
    return tokenizer_of(checkpoint).encode([("a b c", "d e f g h"), ("a", "b"), ("a b", "c d e")])


def _int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the constant weights of its products in 8 bits."""
    quantizers: Any = require("onnxruntime.quantization.matmul_nbits_quantizer", extra="export")
    with _silent("onnxruntime.quantization.matmul_nbits_quantizer"):
        quantizer = quantizers.MatMulNBitsQuantizer(
            model, bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=4
        )
        quantizer.process()
    found: onnx.ModelProto = quantizer.model.model
    return found


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Silence warnings and logs that say nothing about the graph."""
    loggers = [logging.getLogger(name) for name in (names or ("torch.onnx", "torch.export", "onnxscript", "onnx_ir"))]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
