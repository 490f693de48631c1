"""Train from a recipe, measure, and write the checkpoint with its card."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from plackett._arguments import checked
from plackett.checkpoints.folder import DEFAULT, find_folder, read_base
from plackett.checkpoints.foreign import own_errors
from plackett.checkpoints.hub import commit_of, find_file
from plackett.cross_encoder import CrossEncoder
from plackett.data import ListFile, check_columns, lists_as_collection
from plackett.data.rows import NO_COLUMNS, Columns, columns_in
from plackett.engines.trainable import trainable
from plackett.errors import DataError
from plackett.evaluation.comparison import Comparison, compare, with_mean
from plackett.facts import Facts
from plackett.publishing.card import write_card
from plackett.publishing.collect import trained, usage
from plackett.publishing.storage import add_evaluations
from plackett.records import HELD_OUT, Collection, LabeledList
from plackett.retrieval.sources import first_stage, read_named
from plackett.training.arguments import arguments_of
from plackett.training.facts import training_facts
from plackett.training.recipe import Recipe, first_stage_of, read_recipe
from plackett.training.sampling import Part, hold_out
from plackett.training.train import TrainingFacts
from plackett.training.train import train as run_training


@dataclass(frozen=True)
class Trained:
    """A trained checkpoint: its folder, its facts, and comparisons on the `test` collections, then their mean.

    With several training processes, only the first has facts and comparisons.
    """

    folder: Path
    facts: Facts | None = None
    comparisons: tuple[Comparison, ...] = ()


@checked()
def train(
    recipe_path: str | Path,
    overrides: Sequence[str] = (),
    *,
    replaced: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Trained:
    """Train from a recipe, measure on its `test` collections, and write the checkpoint with its card.

    `recipe_path` is a YAML file or the name of a recipe that ships with Plackett. `overrides` and `replaced` change its
    settings as in `read_recipe`.
    """
    recipe = read_recipe(recipe_path, overrides, replaced=replaced)
    _check_base(recipe)  # before the lists are read, like the arguments
    arguments_of(recipe, measured=bool(recipe.dev or recipe.hold_out))
    parts = [_part(name, share, recipe) for name, share in recipe.train.items()]
    named, tests = _collections(recipe.dev, recipe), _collections(recipe.test, recipe)

    held_out: list[LabeledList] = []
    dev = named
    if recipe.hold_out:
        parts, held_out = hold_out(parts, recipe.hold_out, recipe.training.get("seed", TrainingArguments.seed))
        dev = [*named, lists_as_collection(HELD_OUT, held_out)]

    output, published = Path(os.path.expanduser(recipe.output)), list[Trained]()

    def publish(folder: Path, outcome: TrainingFacts) -> None:
        encoder = CrossEncoder(folder)
        found = with_mean([compare(encoder, test, depth=recipe.depth, show_progress=True) for test in tests])

        facts = trained(folder, recipe, training_facts(outcome, parts, held_out=held_out, dev=named))
        example = next(item for part in parts for item in part.head)
        facts = replace(facts, usage=usage(encoder, example.query, example.documents))
        facts = add_evaluations(facts, [item.facts() for item in found])
        write_card(folder, facts)
        published.append(Trained(output, facts, tuple(found)))

    run_training(recipe, parts, dev=dev, resume=resume, publish=publish)
    return published[-1] if published else Trained(output)


def _check_base(recipe: Recipe) -> None:
    """Raise CheckpointError for a folder on this machine that cannot be trained."""
    if recipe.base == DEFAULT:
        find_folder(DEFAULT, revision=None, local_files_only=True)  # verifies the checksums of its files
    elif Path(recipe.base).is_dir():
        found = find_folder(recipe.base, revision=None, local_files_only=True)
        with own_errors(recipe.base), trainable(found) as folder:
            read_base(folder, max_length=recipe.max_length, allow_pickle=recipe.allow_pickle)


def _collections(names: Sequence[str], recipe: Recipe) -> list[Collection]:
    stage = first_stage_of(recipe.first_stage)
    return [
        first_stage(collection, recipe.depth, stage, show_progress=True)
        for name in names
        for collection in read_named(name, columns=_columns(name, recipe))
    ]


def _columns(name: str, recipe: Recipe) -> Columns:
    return columns_in(find_file(name), recipe.columns) if recipe.columns else NO_COLUMNS


def _part(name: str, share: float, recipe: Recipe) -> Part:
    file = ListFile(find_file(name), check_columns(recipe.columns))
    lists = file if recipe.streaming else list(file)
    revision = commit_of(file.path) if name.startswith("hf://") else ""
    part = Part(lists, share, name, revision)
    if not part.head:
        raise DataError(f"{name} contains no lists")
    return part
