"""The openvino engine: runs an exported graph in OpenVINO, without torch."""

import os
import threading
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from plackett._hardware import usable_threads
from plackett.checkpoints.folder import Checkpoint
from plackett.engines._exported import (
    OUTPUT,
    GraphShape,
    cannot_be_read,
    check_shape,
    find_export,
    on_cpu,
    padded_feed,
    try_out,
)
from plackett.engines.base import EngineSettings, check_process, computing
from plackett.errors import SettingError
from plackett.tokenization.batches import EncodedPairs, groups

STEP = 8
"""Rows are padded to a multiple of this, and the graph pads their number too: code is cached for each size."""

INT8_GROUP = 128
"""Values of an activation that share a scale in int8, computed separately for each token."""


CORE = openvino.Core()
"""A single core that lives as long as the process.

Each core installs a stack for signal handlers and frees it at the end, even if another core has reinstalled it: if two
end in the order of their creation, the next signal that Python handles kills the process.
"""


class OpenvinoEngine:
    """Runs a graph from input_ids, attention_mask and optional token_type_ids to `logits`."""

    token_budget = 1024

    def __init__(self, compiled: Any, checkpoint: Checkpoint) -> None:
        self._request = compiled.create_infer_request()
        self._checkpoint = checkpoint
        self._process = os.getpid()
        self._inputs = [item.any_name for item in compiled.inputs]
        self._lock = threading.Lock()  # one request uses all threads; a second one would only take memory

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        if not len(batch):
            return np.empty((0, self._checkpoint.labels), np.float32)
        check_process(self._process, "openvino")
        with computing(self._checkpoint, "openvino"):
            _check_ids(batch, self._checkpoint.inputs.vocabulary)
        padding = self._checkpoint.inputs.padding
        scores = np.empty((len(batch), self._checkpoint.labels), np.float32)
        for pairs in groups(batch.lengths, padding):
            feed = padded_feed(batch.select(pairs), self._checkpoint, self._inputs, 1 if padding == "none" else STEP)
            with self._lock, computing(self._checkpoint, "openvino"):
                scores[pairs] = self._request.infer(feed)[OUTPUT]
        return scores


def _check_ids(batch: EncodedPairs, vocabulary: int | None) -> None:
    """Raise IndexError for an id without an embedding, which OpenVINO would read as zeros."""
    largest = int(batch.token_ids.max(initial=0))
    if vocabulary is not None and largest >= vocabulary:
        raise IndexError(f"the token id {largest} is beyond the {vocabulary} embeddings")


def load(checkpoint: Checkpoint, settings: EngineSettings) -> OpenvinoEngine:
    """Load the export in the requested precision, by default fp32 if the folder has it; bf16 uses the fp32 file."""
    on_cpu("openvino", settings)
    path, stored = find_export(checkpoint, "openvino", settings.precision)
    has_bf16 = "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if settings.precision == "bf16" and not has_bf16:
        raise SettingError("precision='bf16' needs a processor with bf16 instructions, which this one lacks; use fp32")
    in_bf16 = settings.precision == "bf16" or (stored == "int8" and has_bf16)  # for the rest of int8 graphs
    options = {
        # By default, OpenVINO would compute fp32 models in bf16 if the processor can.
        "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 else "f32",
        "INFERENCE_NUM_THREADS": settings.threads or usable_threads(),
        "NUM_STREAMS": 1,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": INT8_GROUP if stored == "int8" else 0,
    }
    try:
        graph = CORE.read_model(path)
        compiled = CORE.compile_model(graph, "CPU", options)
    except Exception as error:  # OpenVINO raises bare RuntimeErrors
        raise cannot_be_read(path, error) from error
    check_shape(path, _shape(graph), checkpoint)
    engine = OpenvinoEngine(compiled, checkpoint)
    try_out(path, engine, checkpoint)
    return engine


def _shape(graph: Any) -> GraphShape:
    tables = [op.input(0).get_partial_shape() for op in graph.get_ops() if op.get_type_name() == "Gather"]
    return GraphShape(
        inputs=[item.any_name for item in graph.inputs],
        outputs={item.any_name: _fixed(item.partial_shape[-1]) for item in graph.outputs},
        tables=[tuple(table.to_shape()) for table in tables if table.is_static and len(table) == 2],
    )


def _fixed(dimension: Any) -> int | None:
    return dimension.get_length() if dimension.is_static else None
