"""Code shared by the engines of exported graphs: finding the file, and the padded batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.exports import STORED_AS, export_files, exports_of
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.hub import commit_of
from plackett.checkpoints.jsons import read_json
from plackett.checkpoints.own_files import CONFIG
from plackett.engines.base import Engine, EngineSettings
from plackett.errors import CheckpointError, SettingError
from plackett.tokenization.batches import EncodedPairs

Feed = dict[str, NDArray[np.int64]]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUT = "logits"
WIDTHS = ("hidden_size", "dim", "embedding_size")
"""Configuration keys for the width of embeddings."""


@dataclass(frozen=True)
class GraphShape:
    """What a runtime reports about a graph.

    inputs: names. outputs: name -> last dimension, None if it is not fixed. tables: (rows, columns) of embedding
    matrices, empty if the runtime does not report them.
    """

    inputs: Sequence[str]
    outputs: Mapping[str, int | None]
    tables: Sequence[tuple[int, int]] = ()


def find_export(checkpoint: Checkpoint, engine: str, precision: str | None) -> tuple[Path, str]:
    """Return the file of an engine and its precision; by default the fp32 file, else any other."""
    there = [stored for name, stored in exports_of(checkpoint.folder) if name == engine]
    wanted = STORED_AS[precision] if precision else next(iter(there), "fp32")
    file = export_files()[engine, wanted][0]
    if wanted not in there:
        elsewhere = " --output FOLDER" if commit_of(checkpoint.folder) else ""  # the Hub's cache must not be changed
        raise CheckpointError(
            f"{checkpoint.folder} has no {file}; to create it: "
            f"plackett export {checkpoint.folder} --engine {engine} --precision {precision or wanted}{elsewhere}"
        )
    return checkpoint.folder / file, wanted


def check_shape(path: Path, shape: GraphShape, checkpoint: Checkpoint) -> None:
    """Raise CheckpointError if a graph and its configuration do not belong to the same model."""
    wanted = INPUTS if checkpoint.inputs.token_types else INPUTS[:2]
    missing = [name for name in wanted if name not in shape.inputs]
    unknown = [name for name in shape.inputs if name not in INPUTS]
    if missing or unknown:
        raise _of_another_model(
            path, checkpoint, f"the inputs {', '.join(shape.inputs)}", f"a model that reads {', '.join(wanted)}"
        )
    if OUTPUT not in shape.outputs:
        raise _of_another_model(path, checkpoint, f"the outputs {', '.join(shape.outputs)}", f"an output {OUTPUT}")
    if shape.outputs[OUTPUT] not in (None, checkpoint.labels):
        raise _of_another_model(
            path, checkpoint, f"{shape.outputs[OUTPUT]} logits for each pair", f"{checkpoint.labels}"
        )
    _check_tables(path, shape.tables, checkpoint)


def _check_tables(path: Path, tables: Sequence[tuple[int, int]], checkpoint: Checkpoint) -> None:
    """Compare the embeddings of a graph with the configuration; the longest table belongs to the tokens."""
    if not tables:
        return
    rows, widths = max(table[0] for table in tables), {table[1] for table in tables}
    if rows < (checkpoint.inputs.vocabulary or 0):
        raise _of_another_model(path, checkpoint, f"{rows} embeddings", f"{checkpoint.inputs.vocabulary}")
    config = read_json(checkpoint.folder / CONFIG)
    known = [config[key] for key in WIDTHS if key in config]
    if known and widths.isdisjoint(known):
        raise _of_another_model(
            path, checkpoint, f"embeddings of {min(widths)} numbers", f"{' or '.join(map(str, known))}"
        )


def try_out(path: Path, engine: Engine, checkpoint: Checkpoint) -> None:
    """Score a pair of the first and last token ids; CheckpointError if the graph has no embedding for them."""
    last = max((checkpoint.inputs.vocabulary or 1) - 1, 0)
    pair = EncodedPairs(np.array([0, last]), np.zeros(2, np.int64), np.array([0, 2]))
    try:
        engine.score(pair)
    except CheckpointError as error:
        raise _of_another_model(
            path, checkpoint, f"no score for the token {last} ({error.__cause__ or error})", f"{last + 1} embeddings"
        ) from error


def _of_another_model(path: Path, checkpoint: Checkpoint, found: str, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{path} has {' '.join(found.split())[:300]}, but {checkpoint.folder / CONFIG} requires {expected}: they "
        "belong to different models; export again, or restore the configuration"
    )


def padded_feed(batch: EncodedPairs, checkpoint: Checkpoint, inputs: Sequence[str], step: int = 1) -> Feed:
    """Return the inputs of a graph, int64 (pairs, longest), with the longest rounded up to a multiple of `step`."""
    of_model = checkpoint.inputs
    token_ids, type_ids, mask = batch.padded(max(of_model.pad_id, 0), step, left=of_model.padding == "left")
    given = {"input_ids": token_ids, "token_type_ids": type_ids, "attention_mask": mask}
    return {name: given[name] for name in inputs}


def on_cpu(engine: str, settings: EngineSettings) -> None:
    """Raise SettingError for a device that exported graphs do not run on."""
    if settings.device not in (None, "cpu"):
        raise SettingError(f"the engine {engine} runs on the cpu, not on {settings.device!r}; leave device out")


def cannot_be_read(path: Path, error: Exception) -> CheckpointError:
    """Return the error for a graph that its runtime refuses."""
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return CheckpointError(f"{path} is damaged, incomplete or not for this runtime ({reason}); export it again")
