"""Measure checkpoints and runs on collections."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plackett._files import whole_file
from plackett.cross_encoder import CrossEncoder
from plackett.data import read_run
from plackett.errors import SettingError
from plackett.evaluation.comparison import (
    MEASURES,
    Comparison,
    check_measures,
    compare_run,
    mean_of,
    with_holm,
)
from plackett.evaluation.html_report import page
from plackett.evaluation.report import csv_text, figures, table
from plackett.facts import Facts
from plackett.publishing.card import write_card
from plackett.publishing.collect import evaluation_facts
from plackett.publishing.storage import add_evaluations, read_facts
from plackett.ranking import judged_only
from plackett.records import Collection, ScoredDoc
from plackett.retrieval.reranking import rerank
from plackett.retrieval.sources import Sources


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Files that `evaluate` writes beside its table.

    `per_query` adds every query's values to the JSON; `card` adds the figures to the cards of the checkpoints.
    """

    json: Path | None = None
    csv: Path | None = None
    html: Path | None = None
    per_query: bool = False
    card: bool = False


def evaluate(
    systems: Sequence[str],
    sources: Sources,
    *,
    depths: Sequence[int],
    measures: Sequence[str] = MEASURES,
    long_documents: str = "longest_first",
    outputs: Outputs = Outputs(),
) -> str:
    """Measure checkpoints and runs (those that are files) on collections, all depths in one scoring pass: a table."""
    check_measures(measures)
    if outputs.card and long_documents != "longest_first":
        raise SettingError("a card shows what its checkpoint does by default; leave out --long-documents or --card")
    collections = sources.read(max(depths))
    encoders = {
        name: CrossEncoder(name, activation="identity", long_documents=long_documents)
        for name in systems
        if not Path(name).is_file()
    }
    on_cards = {system: read_facts(Path(system)) for system in encoders} if outputs.card else {}
    names = _short_names(systems)
    comparisons, runs = [], {}
    for collection in collections:
        of_collection = []
        for system in systems:
            run = _run_of(system, encoders, collection, max(depths))
            runs[collection.name, names[system]] = run
            of_collection.append(
                [
                    compare_run(collection, run, depth=depth, measures=measures, system=names[system])
                    for depth in sorted(depths)
                ]
            )
        comparisons += [item for of_depth in zip(*of_collection, strict=True) for item in with_holm(of_depth)]
    for system, known in on_cards.items():
        _add_to_card(Path(system), known, [item for item in comparisons if item.system == names[system]])
    if len(collections) > 1:
        comparisons += _means(comparisons)
    _write_outputs(outputs, comparisons, collections, runs)
    return table(*comparisons)


def _run_of(
    system: str, encoders: Mapping[str, CrossEncoder], collection: Collection, depth: int
) -> Sequence[ScoredDoc]:
    if system not in encoders:
        return read_run(Path(system))
    judged, _ = judged_only(collection)
    return rerank(encoders[system], judged, depth=depth, show_progress=True)


def _means(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Over the collections, for each depth and system."""
    of: dict[int, dict[str, list[Comparison]]] = {}
    for item in comparisons:
        of.setdefault(item.depth, {}).setdefault(item.system, []).append(item)
    return [item for systems in of.values() for item in with_holm([mean_of(items) for items in systems.values()])]


def _short_names(systems: Sequence[str]) -> dict[str, str]:
    """The last parts of paths where they tell the systems apart, else the paths as given."""
    if len(set(systems)) < len(systems):
        raise SettingError("a system is named twice")
    short = {name: Path(name).name or name for name in systems}
    return short if len(set(short.values())) == len(short) else {name: name for name in systems}


def _write_outputs(
    outputs: Outputs,
    comparisons: Sequence[Comparison],
    collections: Sequence[Collection],
    runs: Mapping[tuple[str, str], Sequence[ScoredDoc]],
) -> None:
    if outputs.json is not None:
        write_json(outputs.json, figures(comparisons, per_query=outputs.per_query))
    if outputs.csv is not None:
        with whole_file(outputs.csv) as stream:
            stream.write(csv_text(comparisons))
    if outputs.html is not None:
        with whole_file(outputs.html) as stream:
            stream.write(page(comparisons, collections, runs))


def _add_to_card(folder: Path, known: Facts, comparisons: Sequence[Comparison]) -> None:
    """The figures at the greatest depth."""
    depth = max(item.depth for item in comparisons)
    write_card(folder, add_evaluations(known, evaluation_facts([item for item in comparisons if item.depth == depth])))


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write figures as JSON, whole or not at all."""
    with whole_file(path) as stream:
        json.dump(values, stream, indent=2, allow_nan=False)
        stream.write("\n")
