"""The onnx engine: runs an exported graph in onnxruntime, without torch.

Since 1.29, onnxruntime's builds send usage data to Microsoft, with an identifier stored in the user's cache, unless
this is disabled before the import. Plackett disables it.

Threads split a batch by its pairs, not each operation by its rows: no core has to read what another has written, which
is slow between cores without a common cache (docs/decisions/013).
"""

import copy
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
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
from plackett.engines.base import EngineSettings, computing
from plackett.tokenization.batches import EncodedPairs, groups, token_batches

PROVIDERS = ["CPUExecutionProvider"]

PART = 256
"""Maximum number of tokens per call, for each thread of a session. More are not faster; fewer balance the sessions."""

SLACK = 8
"""Padding tokens per pair, for each thread of a session, that cost less than another call (docs/decisions/013)."""

MOST_SESSIONS = 4
"""Maximum number of sessions: each has its own copy of the weights, and memory that it never returns."""


class OnnxEngine:
    """Runs a graph from input_ids, attention_mask and optional token_type_ids to `logits`, in several sessions."""

    def __init__(self, sessions: Sequence[Any], checkpoint: Checkpoint, threads: int = 1) -> None:
        self._threads = threads  # per session
        self._checkpoint = checkpoint
        self._inputs = [item.name for item in sessions[0].get_inputs()]
        self.lanes = len(sessions)
        self._free: SimpleQueue[Any] = SimpleQueue()
        for session in sessions:
            self._free.put(session)
        self.token_budget = 16 * PART * len(sessions)
        self._divides = True

    def one_lane(self) -> "OnnxEngine":
        """Return a copy that shares the sessions, and does not divide a batch among them."""
        found = copy.copy(self)
        found._divides = False
        return found

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        scores = np.empty((len(batch), self._checkpoint.labels), np.float32)

        def run(*parts: NDArray[np.int64]) -> None:
            session = self._free.get()
            try:
                for part in parts:
                    feed = padded_feed(batch.select(part), self._checkpoint, self._inputs)
                    scores[part] = session.run([OUTPUT], feed)[0]
            finally:
                self._free.put(session)

        free = max(1, self._free.qsize()) if self._divides else 1  # the rest are in use by other threads
        most, slack = PART * self._threads, SLACK * self._threads
        if free > 1:
            most = min(most, -(-int(batch.lengths.sum()) // free))
        parts = [
            pairs[part]
            for pairs in groups(batch.lengths, self._checkpoint.inputs.padding)
            for part in token_batches(batch.lengths[pairs], most, slack=slack)
        ]
        with computing(self._checkpoint, "onnx"):
            if free == 1 or len(parts) == 1:
                run(*parts)
            else:
                with ThreadPoolExecutor(free) as pool:  # a new pool per call, because threads do not survive a fork
                    list(pool.map(run, parts))
        return scores


def load(checkpoint: Checkpoint, settings: EngineSettings) -> OnnxEngine:
    """Load the export in the requested precision, by default fp32 if the folder has it."""
    on_cpu("onnx", settings)
    path, _ = find_export(checkpoint, "onnx", settings.precision)
    threads = settings.threads or usable_threads()
    sessions = math.gcd(threads, MOST_SESSIONS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads // sessions
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it would keep memory for each shape
    options.log_severity_level = 3
    try:
        with ThreadPoolExecutor(sessions) as pool:
            open_session = partial(onnxruntime.InferenceSession, path, options, providers=PROVIDERS)
            made = [future.result() for future in [pool.submit(open_session) for _ in range(sessions)]]
    except Exception as error:  # onnxruntime's errors derive from Exception
        raise cannot_be_read(path, error) from error
    check_shape(path, _shape(made[0]), checkpoint)
    engine = OnnxEngine(made, checkpoint, threads // sessions)
    try_out(path, engine, checkpoint)
    return engine


def _shape(session: Any) -> GraphShape:
    outputs = {item.name: item.shape[-1] if item.shape else None for item in session.get_outputs()}
    fixed = {name: last if isinstance(last, int) else None for name, last in outputs.items()}
    return GraphShape([item.name for item in session.get_inputs()], fixed)
