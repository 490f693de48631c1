"""Whole jobs, from files to files: what the commands call."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from plackett import card
from plackett.cross_encoder import CrossEncoder
from plackett.errors import DataError
from plackett.evaluation import MEASURES, Comparison, compare, table
from plackett.mining import with_bm25
from plackett.readers import ListFile, find_file, lists_as_collection, read_collection
from plackett.recipes import read_recipe
from plackett.records import Collection, LabeledList
from plackett.sampling import Part, hold_out
from plackett.training import TrainingFacts
from plackett.training import train as run_training
from plackett.writers import whole_file

VERSIONS = ("plackett", "torch", "transformers", "tokenizers")
SHOWN_DOCUMENTS = 5


def train(recipe_path: Path, overrides: Sequence[str] = (), *, resume: bool = False) -> Path:
    """Train as a recipe file says, measure on its `test` collections, and write the checkpoint with its card."""
    recipe = read_recipe(recipe_path, overrides)
    parts = [_part(name, share, streaming=recipe.streaming) for name, share in recipe.train.items()]
    dev, tests = (
        [first_stage(read_collection(find_file(name)), recipe.depth) for name in names]
        for names in (recipe.dev, recipe.test)
    )
    if recipe.hold_out:
        parts, held_out = hold_out(parts, recipe.hold_out, recipe.training.get("seed", TrainingArguments.seed))
        dev = [*dev, lists_as_collection("held-out", held_out)]

    def publish(folder: Path, facts: TrainingFacts) -> None:
        encoder = CrossEncoder(folder, activation="identity")
        results = [compare(encoder, test, depth=recipe.depth, show_progress=True) for test in tests]
        card_facts = _card_facts(facts, results, _usage(folder, next(item for part in parts for item in part.lists)))
        (folder / "README.md").write_text(card.render(card_facts), encoding="utf-8")

    run_training(recipe, parts, dev=dev, resume=resume, publish=publish)
    return Path(recipe.output)


def evaluate(
    checkpoint: str,
    collection: Collection,
    depth: int,
    measures: Sequence[str] = MEASURES,
    json_path: Path | None = None,
) -> str:
    """Measure a checkpoint on a collection: a table, and its figures as JSON where a path is given."""
    encoder = CrossEncoder(checkpoint, activation="identity")
    comparison = compare(encoder, first_stage(collection, depth), depth=depth, measures=measures, show_progress=True)
    if json_path is not None:
        with whole_file(json_path) as stream:
            json.dump({"collections": {comparison.collection: _figures(comparison)}}, stream, indent=2)
            stream.write("\n")
    return table(comparison)


def _part(name: str, share: float, *, streaming: bool) -> Part:
    file = ListFile(find_file(name))
    lists = file if streaming else list(file)
    if not any(True for _ in lists):
        raise DataError(f"{name} holds no lists")
    return Part(lists, share)


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


def _usage(folder: Path, example: LabeledList) -> card.Usage:
    documents = example.documents[:SHOWN_DOCUMENTS]
    scores = CrossEncoder(folder).predict([(example.query, document) for document in documents])
    return card.Usage(example.query, documents, scores.tolist())


def _card_facts(facts: TrainingFacts, results: Sequence[Comparison], usage: card.Usage) -> card.CardFacts:
    recipe = facts.recipe
    elsewhere = {"loss", "training", "description", "train", "dev", "test", "output"}
    shown = {key: value for key, value in asdict(recipe).items() if key not in elsewhere}
    return card.CardFacts(
        name=Path(recipe.output).name,
        base=recipe.base,
        data=recipe.description or ", ".join(recipe.train),
        lists=facts.lists,
        loss=recipe.loss,
        hyperparameters={**shown, **recipe.training, "seconds of training": round(facts.seconds)},
        log=[entry for entry in facts.log if "loss" in entry],
        max_length=facts.max_length,
        versions={name: version(name) for name in VERSIONS},
        results=[
            card.Result(
                item.collection,
                item.queries,
                item.depth,
                {name: (item.first_stage[name], item.reranked[name]) for name in item.reranked},
            )
            for item in results
        ],
        usage=usage,
    )
