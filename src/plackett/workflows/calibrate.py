"""Calibrate a checkpoint on judged candidates, and write its calibration, plot, facts and card."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from plackett._arguments import COUNT, NOT_NEGATIVE, Bounds, check_fields, checked
from plackett._files import whole_files
from plackett.calibration import fitting, report
from plackett.calibration.fitting import JudgedPairs
from plackett.calibration.thresholds import Target
from plackett.checkpoints.calibrations import dump_calibration
from plackett.checkpoints.own_files import CALIBRATION, CALIBRATION_PLOT
from plackett.cross_encoder import CrossEncoder
from plackett.errors import CheckpointError, DataError
from plackett.publishing.card import write_card
from plackett.publishing.collect import check_local, copying, known_facts
from plackett.ranking import judged_only
from plackett.records import Collection
from plackett.retrieval.reranking import Candidates
from plackett.retrieval.sources import Sources


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """The data that a calibration is fitted to, and the method.

    It uses the first `depth` candidates of each query; those labelled `relevant_from` or more are relevant. `folds` are
    drawn by query, with `seed`.
    """

    depth: Annotated[int, COUNT] = 100
    relevant_from: Annotated[int, COUNT] = 1
    folds: Annotated[int, Bounds(2, 1000)] = 5
    seed: Annotated[int, NOT_NEGATIVE] = 0
    targets: Sequence[Target] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@checked()
def calibrate(
    folder: Path, sources: Sources, settings: CalibrationSettings = CalibrationSettings()
) -> fitting.Calibrated:
    """Fit a calibration to the judged candidates of collections, and write either all its files or none.

    Raises DataError if no pair is relevant, or every pair is; SettingError for fewer queries than folds; and
    CheckpointError for a checkpoint with several labels, or one that is not a writable folder.
    """
    check_local(folder, "calibrate")
    encoder = CrossEncoder(folder, activation="identity")
    if not encoder.model.ranks:
        raise CheckpointError(f"a calibration needs one label, but {folder} has {encoder.model.labels}")
    if not os.access(folder, os.W_OK):
        raise CheckpointError(f"{folder} is read-only, and calibrating writes to it; {copying(folder, 'calibrate')}")

    known = known_facts(folder)
    collections = sources.read(settings.depth, show_progress=True)
    name = ", ".join(item.name for item in collections)

    pairs = _judged_pairs(encoder, collections, name, settings)
    found = fitting.calibrate(pairs, folds=settings.folds, seed=settings.seed, targets=settings.targets)

    with whole_files(folder) as beside:
        (beside / CALIBRATION).write_text(dump_calibration(found.calibration), encoding="utf-8")
        report.plot(found, beside / CALIBRATION_PLOT)
        write_card(beside, replace(known, calibration=found.facts(name)))
    return found


def _judged_pairs(
    encoder: CrossEncoder, collections: Sequence[Collection], name: str, settings: CalibrationSettings
) -> JudgedPairs:
    """Score the candidates that have text. Unusable data is refused before scoring starts."""
    candidates = [Candidates.of(encoder, judged_only(item)[0], settings.depth) for item in collections]
    relevant, queries, numbers = list[bool](), list[int](), dict[tuple[int, str], int]()

    for place, (of_collection, collection) in enumerate(zip(candidates, collections, strict=True)):
        grades = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in collection.qrels}
        for key in (of_collection.keys[index] for index in of_collection.filled):
            relevant.append(grades.get(key, 0) >= settings.relevant_from)
            queries.append(numbers.setdefault((place, key[0]), len(numbers)))

    try:
        pairs = JudgedPairs(np.zeros(len(relevant)), np.array(relevant, bool), np.array(queries, np.int64))
    except DataError as error:
        raise DataError(f"{name}: {error}; labels of at least {settings.relevant_from} count as relevant") from error

    fitting.folds_by_query(pairs.queries, settings.folds, settings.seed)
    logits = [encoder.score_encoded(item.encoded, show_progress=True)[:, 0] for item in candidates]
    return replace(pairs, logits=np.concatenate(logits))
