"""What the engines of exported graphs share: finding the file, and the padded batch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.exports import STORED_AS, export_files, exports_of
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.hub import commit_of
from plackett.engines.base import EngineSettings
from plackett.errors import CheckpointError, SettingError
from plackett.tokenization.batches import EncodedPairs

Feed = dict[str, NDArray[np.int64]]


def find_export(checkpoint: Checkpoint, engine: str, precision: str | None) -> tuple[Path, str]:
    """The file of an engine and what it holds; without a precision the fp32 one, else what is there."""
    there = [stored for name, stored in exports_of(checkpoint.folder) if name == engine]
    wanted = STORED_AS[precision] if precision else next(iter(there), "fp32")
    file = export_files()[engine, wanted][0]
    if wanted not in there:
        elsewhere = " --output FOLDER" if commit_of(checkpoint.folder) else ""  # the hub's cache is not ours to change
        raise CheckpointError(
            f"{checkpoint.folder} holds no {file}; make it: "
            f"plackett export {checkpoint.folder} --engine {engine} --precision {precision or wanted}{elsewhere}"
        )
    return checkpoint.folder / file, wanted


def padded_feed(batch: EncodedPairs, checkpoint: Checkpoint, inputs: Sequence[str], step: int = 1) -> Feed:
    """The inputs that a graph asks for, int64 (pairs, longest), the longest rounded up to a multiple of `step`."""
    of_model = checkpoint.inputs
    token_ids, type_ids, mask = batch.padded(max(of_model.pad_id, 0), step, left=of_model.padding == "left")
    given = {"input_ids": token_ids, "token_type_ids": type_ids, "attention_mask": mask}
    return {name: given[name] for name in inputs}


def on_cpu(engine: str, settings: EngineSettings) -> None:
    """SettingError for a device that an exported graph does not run on."""
    if settings.device not in (None, "cpu"):
        raise SettingError(f"the engine {engine} runs on the cpu, not on {settings.device!r}; leave device out")


def cannot_be_read(path: Path, error: Exception) -> CheckpointError:
    """The error for a graph that its runtime refuses."""
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return CheckpointError(f"{path} is damaged, half-written or not for this runtime ({reason}); export it again")
