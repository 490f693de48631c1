"""Whole jobs, from files to files: what the commands call."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from plackett.callbacks import plot_training
from plackett.card import write_card
from plackett.cross_encoder import CrossEncoder
from plackett.errors import DataError
from plackett.evaluation import MEASURES, Comparison, compare, table
from plackett.facts import FILE, add_evaluations, read_facts
from plackett.mining import with_bm25
from plackett.readers import ListFile, find_file, lists_as_collection, read_collection
from plackett.recipes import read_recipe
from plackett.recording import described, evaluation_facts, trained, usage
from plackett.records import Collection, LabeledList
from plackett.sampling import Part, hold_out
from plackett.training import TrainingFacts
from plackett.training import train as run_training
from plackett.writers import whole_file


def train(recipe_path: Path, overrides: Sequence[str] = (), *, resume: bool = False) -> Path:
    """Train as a recipe file says, measure on its `test` collections, and write the checkpoint with its card."""
    recipe = read_recipe(recipe_path, overrides)
    parts = [_part(name, share, streaming=recipe.streaming) for name, share in recipe.train.items()]
    dev, tests = (
        [first_stage(read_collection(find_file(name)), recipe.depth) for name in names]
        for names in (recipe.dev, recipe.test)
    )
    held_out: list[LabeledList] = []
    if recipe.hold_out:
        parts, held_out = hold_out(parts, recipe.hold_out, recipe.training.get("seed", TrainingArguments.seed))
        dev = [*dev, lists_as_collection("held-out", held_out)]

    def publish(folder: Path, facts: TrainingFacts) -> None:
        encoder = CrossEncoder(folder)
        results = [compare(encoder, test, depth=recipe.depth, show_progress=True) for test in tests]
        known = trained(folder, facts, parts, held_out)
        example = next(item for part in parts for item in part.lists)
        known = replace(known, usage=usage(encoder, example.query, example.documents))
        write_card(folder, add_evaluations(known, [evaluation_facts(item) for item in results]))

    run_training(recipe, parts, dev=dev, resume=resume, publish=publish)
    return Path(recipe.output)


def evaluate(
    checkpoint: str,
    collection: Collection,
    depth: int,
    measures: Sequence[str] = MEASURES,
    json_path: Path | None = None,
    *,
    on_card: bool = False,
) -> str:
    """Measure a checkpoint on a collection: a table, and its figures as JSON where a path is given.

    `on_card` adds them to the checkpoint's card.
    """
    encoder = CrossEncoder(checkpoint, activation="identity")
    comparison = compare(encoder, first_stage(collection, depth), depth=depth, measures=measures, show_progress=True)
    if json_path is not None:
        with whole_file(json_path) as stream:
            json.dump({"collections": {comparison.collection: _figures(comparison)}}, stream, indent=2)
            stream.write("\n")
    if on_card:
        write_card(Path(checkpoint), add_evaluations(read_facts(Path(checkpoint)), [evaluation_facts(comparison)]))
    return table(comparison)


def card(folder: Path) -> Path:
    """Write the card of a checkpoint again from its facts, and its picture; the path of the card.

    A checkpoint without facts gets what it says of itself; where its activation or token limit were changed since, the
    scores on the card are computed again.
    """
    now = described(folder)
    known = read_facts(folder) if (folder / FILE).is_file() else now
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
    if not any(True for _ in lists):
        raise DataError(f"{name} holds no lists")
    return Part(lists, share, name)


def first_stage(collection: Collection, depth: int) -> Collection:
    """The collection with a run: its own, else BM25's."""
    return collection if collection.run else with_bm25(collection, depth=depth)


def _figures(comparison: Comparison) -> dict[str, Any]:
    return {
        "queries": comparison.queries,
        "depth": comparison.depth,
        "measures": {
            name: {
                "first_stage": comparison.first_stage[name],
                "reranked": comparison.reranked[name],
                "difference": comparison.difference(name),
            }
            for name in comparison.reranked
        },
    }
