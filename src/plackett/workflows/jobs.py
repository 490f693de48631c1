"""Whole jobs, from files to files: what the commands call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import TrainingArguments

from plackett._files import whole_file
from plackett.checkpoints.hub import commit_of
from plackett.cross_encoder import CrossEncoder
from plackett.data.rows import ListFile, find_file, lists_as_collection
from plackett.data.trec import judged_only, read_run
from plackett.errors import DataError, SettingError
from plackett.evaluation.comparison import (
    MEASURES,
    Comparison,
    check_measures,
    compare,
    compare_run,
    mean_of,
    with_holm,
)
from plackett.evaluation.html_report import page
from plackett.evaluation.report import csv_text, figures, table
from plackett.evaluation.sentence_transformers import (
    evaluate_reference,
    reference_table,
    with_names,
    write_reference_csv,
)
from plackett.publishing.card import write_card
from plackett.publishing.collect import described, evaluation_facts, known_facts, reference_facts, trained, usage
from plackett.publishing.facts import Facts, add_evaluations, read_facts
from plackett.records import HELD_OUT, Collection, LabeledList, ScoredDoc
from plackett.retrieval.reranking import rerank
from plackett.retrieval.sources import Sources, first_stage, read_named
from plackett.training.callbacks import plot_training
from plackett.training.recipe import read_recipe
from plackett.training.sampling import Part, hold_out
from plackett.training.trainer import TrainingFacts
from plackett.training.trainer import train as run_training


def train(recipe_path: Path, overrides: Sequence[str] = (), *, resume: bool = False) -> Path:
    """Train as a recipe file says, measure on its `test` collections, and write the checkpoint with its card."""
    recipe = read_recipe(recipe_path, overrides)
    parts = [_part(name, share, streaming=recipe.streaming) for name, share in recipe.train.items()]
    dev, tests = (
        [first_stage(item, recipe.depth) for name in names for item in read_named(name)]
        for names in (recipe.dev, recipe.test)
    )
    held_out: list[LabeledList] = []
    named = dev
    if recipe.hold_out:
        parts, held_out = hold_out(parts, recipe.hold_out, recipe.training.get("seed", TrainingArguments.seed))
        dev = [*dev, lists_as_collection(HELD_OUT, held_out)]

    def publish(folder: Path, facts: TrainingFacts) -> None:
        encoder = CrossEncoder(folder)
        results = [compare(encoder, test, depth=recipe.depth, show_progress=True) for test in tests]
        known = trained(folder, facts, parts, held_out=held_out, dev=named)
        example = next(item for part in parts for item in part.lists)
        known = replace(known, usage=usage(encoder, example.query, example.documents))
        write_card(folder, add_evaluations(known, evaluation_facts(results)))

    run_training(recipe, parts, dev=dev, resume=resume, publish=publish)
    return Path(recipe.output)


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


def evaluate_as_reference(
    systems: Sequence[str], sources: Sources, depths: Sequence[int], always_rerank_positives: bool, outputs: Outputs
) -> str:
    """Measure one checkpoint as sentence-transformers' evaluators do: a table, and files and card where asked for."""
    if len(systems) > 1 or len(depths) > 1 or Path(systems[0]).is_file() or outputs.per_query or outputs.html:
        raise SettingError(
            "the reference's semantics measure one checkpoint at one depth: a table, --json, --csv and --card"
        )
    known = read_facts(Path(systems[0])) if outputs.card else None
    collections, [depth] = sources.read(depths[0]), depths
    encoder = CrossEncoder(systems[0])
    metrics = {
        item.name: evaluate_reference(
            encoder, item, depth=depth, always_rerank_positives=always_rerank_positives, show_progress=True
        )
        for item in collections
    }
    named = with_names(metrics, depth)
    if outputs.json is not None:
        _write_json(outputs.json, named)
    if outputs.csv is not None:
        write_reference_csv(outputs.csv, metrics, depth=depth)
    if known is not None:
        found = reference_facts(collections, metrics, depth, always_rerank_positives)
        write_card(Path(systems[0]), add_evaluations(known, found))
    return reference_table(named)


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
        _write_json(outputs.json, figures(comparisons, per_query=outputs.per_query))
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


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    with whole_file(path) as stream:
        json.dump(values, stream, indent=2, allow_nan=False)
        stream.write("\n")


def card(folder: Path) -> Path:
    """Write the card of a checkpoint again from its facts, and its picture; the path of the card.

    A checkpoint without facts gets what it says of itself; where its activation or token limit were changed since, the
    scores on the card are computed again.
    """
    now = described(folder)
    known = known_facts(folder)
    if (known.model.activation, known.model.max_length) != (now.model.activation, now.model.max_length):
        model = replace(known.model, activation=now.model.activation, max_length=now.model.max_length)
        shown = known.usage and usage(CrossEncoder(folder), known.usage.query, known.usage.documents)
        known = replace(known, model=model, usage=shown)
    if known.training:
        plot_training(known.training.log, folder / "training.png")
    return write_card(folder, known)


def _part(name: str, share: float, *, streaming: bool) -> Part:
    file = ListFile(find_file(name))
    lists = file if streaming else list(file)
    revision = commit_of(file.path) if name.startswith("hf://") else ""
    if not any(True for _ in lists):
        raise DataError(f"{name} holds no lists")
    return Part(lists, share, name, revision)
