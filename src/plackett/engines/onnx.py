"""The onnx engine: an exported graph in onnxruntime, without torch.

Since 1.29 the builds of onnxruntime report to Microsoft what is run, with an identifier that they keep in the user's
cache, unless they are told not to before they are imported. Plackett tells them.
"""

import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from plackett.batching import EncodedPairs
from plackett.checkpoint import Checkpoint
from plackett.engines import EngineSettings
from plackett.engines.exported import cannot_be_read, find_export, on_cpu, padded_feed
from plackett.engines.threads import usable_threads


class OnnxEngine:
    """Runs `logits` of a graph of input_ids, attention_mask and maybe token_type_ids."""

    token_budget = 1024

    def __init__(self, session: Any, checkpoint: Checkpoint) -> None:
        self._session = session
        self._checkpoint = checkpoint
        self._inputs = [item.name for item in session.get_inputs()]

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        if not len(batch):
            return np.empty((0, self._checkpoint.labels), np.float32)
        scores: NDArray[np.float32] = self._session.run(["logits"], padded_feed(batch, self._checkpoint, self._inputs))[
            0
        ]
        return scores


def load(checkpoint: Checkpoint, settings: EngineSettings) -> OnnxEngine:
    """The export of the wanted precision, by default the fp32 one where there is one."""
    on_cpu("onnx", settings)
    path, _ = find_export(checkpoint, "onnx", settings.precision)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads or usable_threads()
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # kept for each shape that is met
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a tree of its own, below Exception
        raise cannot_be_read(path, error) from error
    return OnnxEngine(session, checkpoint)
