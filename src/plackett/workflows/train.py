"""Train as a recipe says, measure, and write the checkpoint with its card."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from plackett.checkpoints.hub import commit_of, find_file
from plackett.cross_encoder import CrossEncoder
from plackett.data import ListFile, check_columns, lists_as_collection
from plackett.errors import DataError
from plackett.evaluation.comparison import (
    compare,
)
from plackett.publishing.card import write_card
from plackett.publishing.collect import evaluation_facts, trained, usage
from plackett.publishing.storage import add_evaluations
from plackett.records import HELD_OUT, LabeledList
from plackett.retrieval.sources import first_stage, read_named
from plackett.training.arguments import arguments_of
from plackett.training.recipe import Recipe, read_recipe
from plackett.training.sampling import Part, hold_out
from plackett.training.train import TrainingFacts
from plackett.training.train import train as run_training


def train(
    recipe_path: str | Path,
    overrides: Sequence[str] = (),
    *,
    replaced: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Path:
    """Train by a recipe, measure on its `test` collections, and write the checkpoint with its card.

    `recipe_path` is a YAML file or the name of a recipe that ships with Plackett. `overrides` and `replaced` change
    its settings, as in `read_recipe`.
    """
    recipe = read_recipe(recipe_path, overrides, replaced=replaced)
    arguments_of(recipe, measured=bool(recipe.dev or recipe.hold_out))  # checked before the lists are read
    parts = [_part(name, share, recipe) for name, share in recipe.train.items()]
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
        example = next(item for part in parts for item in part.head)
        known = replace(known, usage=usage(encoder, example.query, example.documents))
        write_card(folder, add_evaluations(known, evaluation_facts(results)))

    run_training(recipe, parts, dev=dev, resume=resume, publish=publish)
    return Path(recipe.output).expanduser()


def _part(name: str, share: float, recipe: Recipe) -> Part:
    file = ListFile(find_file(name), check_columns(recipe.columns))
    lists = file if recipe.streaming else list(file)
    revision = commit_of(file.path) if name.startswith("hf://") else ""
    part = Part(lists, share, name, revision)
    if not part.head:
        raise DataError(f"{name} holds no lists")
    return part
