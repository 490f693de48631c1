"""Export a checkpoint as a graph for an engine without torch: build it, compare it with torch, move it in place."""

import contextlib
import os
import shutil
import tempfile
import timeit
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from plackett import _hardware as hardware
from plackett._arguments import checked
from plackett._extras import require
from plackett._files import OutputFolder, whole_files
from plackett._hardware import usable_threads
from plackett._wording import counted
from plackett.checkpoints.exports import ENGINES, STORED_AS
from plackett.checkpoints.folder import (
    Checkpoint,
    copy_tokenizer,
    find_folder,
    read_checkpoint,
    write_metadata,
)
from plackett.checkpoints.foreign import own_errors
from plackett.checkpoints.output import checkpoint_folder
from plackett.checkpoints.own_files import (
    CALIBRATION,
    CALIBRATION_PLOT,
    CONFIG,
    FACTS,
    MODULES,
    SENTENCE_TRANSFORMERS,
    TRAINING_PLOT,
)
from plackett.checkpoints.weights import engines_without_weights
from plackett.cross_encoder import CrossEncoder
from plackett.data.rows import NO_COLUMNS, Columns
from plackett.engines.base import PRECISIONS, Parts
from plackett.engines.torch.engine import TorchEngine
from plackett.engines.torch.weights import LAYOUTS, read_weights
from plackett.errors import CheckpointError, DataError, SettingError
from plackett.evaluation import evaluate
from plackett.evaluation.agreement import TOP, agreement
from plackett.facts import EngineFacts, Facts
from plackett.models.classifier import Reranker, load_model
from plackett.publishing.card import write_card
from plackett.publishing.collect import described, usage
from plackett.publishing.storage import add_engine, read_facts
from plackett.records import Collection
from plackett.retrieval.reranking import Candidates
from plackett.retrieval.sources import read_one

TOLERANCE = 1e-4
"""Largest accepted difference of a raw logit in fp32; relative to the largest logit if that is above 1."""

MOST_LOST = 0.005
"""Largest accepted loss of nDCG@10 against torch in fp32, on the lists of `calibration`."""

TRACED = frozenset(
    {"albert", "deberta-v2", "gemma", "gte", "llama", "mistral", "modernbert", "mpnet", "qwen2", "qwen3"}
)
"""Families beyond BERT's whose graphs torch traces; the tests compare each with transformers."""

MEASURE = f"nDCG@{TOP}"
DEPTH = 100

SETTINGS_FILES = (CONFIG, SENTENCE_TRANSFORMERS, MODULES)
SHOWN_FILES = (CALIBRATION, CALIBRATION_PLOT, TRAINING_PLOT)  # shown on the card

# Pairs of many lengths, in case the checkpoint's facts contain none.
QUERY = "how do I sort a list of words"
DOCUMENTS = (
    "The method sort puts the items of a list in order, in place.",
    "no",
    "Naïve café, 東京, Привет: a few words in several scripts.",
    "A parser for command line options, with help and defaults. " * 3,
    "Return a new list that holds the items of the given one from the smallest to the largest. " * 40,
)
WORKLOAD = [(QUERY, document) for document in DOCUMENTS * 20]  # for the speed on the card


@dataclass(frozen=True)
class Exported:
    """The folder, and the facts and measurements of the export in it."""

    folder: Path
    facts: EngineFacts


@checked()
def export(
    model: str,
    *,
    engine: str,
    precision: str = "fp32",
    output: Path | None = None,
    calibration: str | None = None,
    columns: Columns = NO_COLUMNS,
    accept_loss: bool = False,
) -> Exported:
    """Atomically write an engine's graph beside the weights of a checkpoint, or to the folder `output`.

    `output` receives what the engine needs, without torch weights. The graph is loaded again and compared with torch.
    `calibration` names judged lists (a file or a BEIR folder) on which its ranking is measured too; int8 requires them.
    Nothing is fitted to them: the engine computes int8 scales as it runs.

    Raises SettingError for an unknown engine or precision, DataError for lists without positives, and CheckpointError
    if the checkpoint's family cannot be exported, if the graph's logits differ from torch's, and, unless `accept_loss`,
    if the ranking loses more than `MOST_LOST` nDCG@10.
    """
    _check(engine, precision, calibration)
    target = None if output is None else checkpoint_folder(output, inputs=[model, calibration or ""])
    lists = _lists(calibration, columns) if calibration else None
    with own_errors(model):
        folder = find_folder(model, revision=None, local_files_only=False)
    if target is None and (folder != Path(model) or not os.access(folder, os.W_OK)):
        raise SettingError(f"{model} is not a folder that you can write to; name one with --output")
    with own_errors(model):
        checkpoint = read_checkpoint(folder)
        _check_family(checkpoint)
        _check_weights(checkpoint)
        module = load_model(checkpoint)
        reference = CrossEncoder.from_parts(Parts.of(checkpoint, TorchEngine(module, checkpoint)))
    with _workshop(checkpoint) as work:
        _write_graph(work, engine, precision, module, checkpoint)
        made = _measured(work, engine, precision, reference)
        if lists:
            made = _ranked(made, work, reference, lists)
            _check_loss(made, accept_loss)
        if target is None:
            _move_in(work, folder, engine, precision)
            _add_facts(folder, made)
        else:
            _write_folder(target, work, checkpoint, made)
    return Exported(output or folder, made)


def exported_engines() -> list[str]:
    """List the engines that run exported files."""
    return sorted(spec.name for spec in ENGINES.values() if spec.exports)


def _check(engine: str, precision: str, calibration: str | None) -> None:
    if engine not in exported_engines():
        raise SettingError.unknown("engine to export for", engine, exported_engines())
    if precision not in PRECISIONS:
        raise SettingError.unknown("precision", precision, PRECISIONS)
    spec = ENGINES[engine]
    spec.check(precision)
    if precision == "int8" and calibration is None:
        raise SettingError("int8 is exported only if its ranking is measured: name judged lists with --calibration")
    for package in spec.export_packages[STORED_AS[precision]]:
        require(package, extra="export")


def _check_family(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError, before anything is loaded, for a model that cannot be exported."""
    what = ""
    if checkpoint.lists is not None:
        what = "reads lists of documents"
    elif checkpoint.code:
        what = "is built by code in its folder"
    elif checkpoint.model_type not in LAYOUTS.keys() | TRACED:
        what = f"is of the family {checkpoint.model_type or 'unknown'}"
    if what:
        raise CheckpointError(
            f"{checkpoint.folder} {what}, which cannot be exported; engine='torch' runs it. Plackett exports "
            f"{', '.join(sorted(LAYOUTS.keys() | TRACED))}"
        )
    if checkpoint.model_type in TRACED:
        require("onnxscript", extra="export")


def _check_weights(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError for a folder of exports."""
    if engines := engines_without_weights(checkpoint.folder):
        raise CheckpointError(
            f"{checkpoint.folder} is an export itself, for {' and '.join(engines)}, and Plackett exports from weights "
            "for torch; name the checkpoint that it was exported from"
        )


@contextlib.contextmanager
def _workshop(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yield a folder with everything in the checkpoint except its weights."""
    with tempfile.TemporaryDirectory(prefix="plackett-export-") as name:
        work = Path(name) / "export"  # the temporary folder itself is private
        work.mkdir()
        copy_tokenizer(checkpoint.folder, work)
        _copy(checkpoint.folder, work, SETTINGS_FILES)
        write_metadata(work, activation=checkpoint.activation, inputs=checkpoint.inputs, template=checkpoint.template)
        yield work


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _write_graph(work: Path, engine: str, precision: str, module: Reranker, checkpoint: Checkpoint) -> None:
    """Build the graph from the weights if Plackett knows the family's layers, else trace its modules."""
    path, int8 = work / _files(engine, precision)[0], precision == "int8"
    path.parent.mkdir()
    weights = read_weights(module)
    if weights is not None:
        graph = require("plackett.engines.graph", extra="export")
        graph.WRITERS[engine](weights, path, token_types=checkpoint.inputs.token_types, int8=int8)
        return
    traced = require("plackett.engines.traced", extra="export")
    traced.WRITERS[engine](module, path, checkpoint, int8=int8)


def _files(engine: str, precision: str) -> Sequence[str]:
    return ENGINES[engine].exports[STORED_AS[precision]]


def _measured(work: Path, engine: str, precision: str, reference: CrossEncoder) -> EngineFacts:
    """Return the facts of the graph in `work`. CheckpointError if its logits differ from torch's."""
    names = _files(engine, precision)
    encoder = CrossEncoder(work, engine=engine, precision=precision)
    pairs = _pairs(reference.checkpoint.folder)
    expected, found = reference.score(pairs), encoder.score(pairs)
    difference = float(np.abs(found - expected).max())
    if precision == "fp32" and difference > TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise CheckpointError(
            f"the {engine} graph of {reference.checkpoint.folder} has logits that differ from torch's by up to "
            f"{difference:.1e}, more than {TOLERANCE:.0e}: it was not written"
        )
    seconds = _seconds(encoder)
    return EngineFacts(
        engine=engine,
        precision=precision,
        workload=f"{len(WORKLOAD)} documents of 1 to 680 words, {usable_threads()} threads",
        pairs_per_second=len(WORKLOAD) / seconds,
        milliseconds=seconds * 1000,
        file=names[0],
        bytes=sum(path.stat().st_size for path in (work / names[0]).parent.iterdir()),
        hardware=hardware.name(),
        max_difference=difference,
    )


def _lists(name: str, columns: Columns) -> Collection:
    collection = read_one(name, DEPTH, columns=columns)
    if not any(qrel.relevance > 0 for qrel in collection.qrels):
        raise DataError(f"{name} has no positives: a loss of nDCG@10 cannot be measured; name lists with labels")
    return collection


def _ranked(made: EngineFacts, work: Path, reference: CrossEncoder, lists: Collection) -> EngineFacts:
    """Return the facts with nDCG@10 of (torch, this engine), and the agreement with torch."""
    if not reference.model.ranks:
        raise SettingError(
            f"a model with {reference.model.labels} labels does not rank documents; leave out --calibration"
        )
    candidates = Candidates.of(reference, lists, DEPTH)
    encoder = CrossEncoder(work, engine=made.engine, precision=made.precision)
    expected, found = (side.score_encoded(candidates.encoded) for side in (reference, encoder))
    queries = [candidates.keys[index][0] for index in candidates.filled]
    agreed = agreement(expected, found, queries)
    before, after = (
        evaluate(candidates.run(scores[:, 0]), lists.qrels, [MEASURE])[MEASURE] for scores in (expected, found)
    )
    measures = {
        MEASURE: (before, after),
        "Kendall's tau": (1.0, agreed.tau),
        f"top-{TOP} overlap": (1.0, agreed.overlap),
    }
    return replace(
        made,
        lists=f"{lists.name}, {counted(agreed.queries, 'query')}",
        max_difference=max(agreed.largest, made.max_difference or 0.0),
        measures={name: (of_torch, own) for name, (of_torch, own) in measures.items() if own is not None},
    )


def _check_loss(made: EngineFacts, accept_loss: bool) -> None:
    before, after = made.measures[MEASURE]
    if before - after > MOST_LOST and not accept_loss:
        raise CheckpointError(
            f"{made.engine} in {made.precision} loses {before - after:.4f} {MEASURE} on {made.lists} ({before:.4f} "
            f"to {after:.4f}), more than {MOST_LOST}: it was not written; --accept-loss writes it anyway"
        )


def _seconds(encoder: CrossEncoder) -> float:
    """Return the seconds to score WORKLOAD: the median of three runs after a warm-up."""
    times = timeit.repeat(lambda: encoder.score(WORKLOAD), number=1, repeat=4)
    return median(times[1:])


def _pairs(folder: Path) -> list[tuple[str, str]]:
    shown = read_facts(folder).usage if (folder / FACTS).is_file() else None
    own = [(shown.query, document) for document in shown.documents] if shown else []
    return [*own, *((QUERY, document) for document in DOCUMENTS)]


def _move_in(work: Path, folder: Path, engine: str, precision: str) -> None:
    """Move the files beside the weights; the main one is removed first and added last."""
    name = _files(engine, precision)[0]
    with whole_files(folder, last=name) as beside:
        shutil.copytree((work / name).parent, (beside / name).parent, copy_function=shutil.copyfile)


def _add_facts(folder: Path, made: EngineFacts) -> None:
    """Record the export in a card of Plackett's; other cards are left unchanged."""
    if (folder / FACTS).is_file():
        write_card(folder, add_engine(read_facts(folder), made))


def _write_folder(output: OutputFolder, work: Path, checkpoint: Checkpoint, made: EngineFacts) -> None:
    source = checkpoint.folder
    known = read_facts(source) if (source / FACTS).is_file() else described(source)
    with output.work() as beside:
        shutil.copytree(work, beside, dirs_exist_ok=True)
        _copy(source, beside, SHOWN_FILES)
        write_card(beside, add_engine(_of_export(known, beside, made), made))


def _of_export(known: Facts, folder: Path, made: EngineFacts) -> Facts:
    """Return the facts with this folder's engine only, and its default scores for the example.

    The scores are in fp32 for a file that can also run in bf16.
    """
    alone = replace(known, model=replace(known.model, weights=False), engines=())
    if known.usage is None:
        return alone
    encoder = CrossEncoder(folder, engine=made.engine)
    return replace(alone, usage=usage(encoder, known.usage.query, known.usage.documents))
