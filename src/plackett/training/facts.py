"""The facts of a finished training run, for its model card."""

import inspect
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

import torch
from transformers import TrainingArguments

from plackett.facts import Development, Training
from plackett.records import HELD_OUT, Collection, LabeledList
from plackett.training.arguments import FIXED
from plackett.training.recipe import OF_THE_MACHINE, Recipe, loss_function, short_paths
from plackett.training.sampling import Part
from plackett.training.train import TrainingFacts

# Recipe keys with separate sections on the card.
_ELSEWHERE = {
    *("base", "description", "dev", "first_stage", "language", "license", "loss", "output", "test", "train"),
    "training",
}
_LOGGED = {"epoch", "learning_rate", "loss", "step"}


def training_facts(
    outcome: TrainingFacts,
    parts: Sequence[Part],
    *,
    held_out: Sequence[LabeledList] = (),
    dev: Sequence[Collection] = (),
) -> Training:
    """Describe a training run on `parts`, after lists were held out; `dev` was measured during it."""
    recipe = outcome.recipe
    settings = {key: value for key, value in asdict(recipe).items() if key not in _ELSEWHERE}
    arguments = {key: short_paths(value) for key, value in outcome.arguments.items() if key not in OF_THE_MACHINE}
    return Training(
        data=tuple(part.facts() for part in parts),
        held_out=Part(held_out, name=HELD_OUT).facts() if held_out else None,
        loss=str(recipe.loss["name"]),
        loss_parameters=_loss_parameters(recipe),
        settings=settings,
        arguments=arguments,
        changed=(*_changed_settings(settings), *_changed_arguments(arguments)),
        log=tuple(_log_entry(entry) for entry in outcome.log),
        best_step=outcome.best_step,
        lists_seen=outcome.lists,
        seconds=outcome.seconds,
        hardware=_hardware(outcome.arguments),
        description=recipe.description,
        development=tuple(
            Development(item.name, len(item.queries), item.origin.source, item.origin.revision) for item in dev
        ),
    )


def _loss_parameters(recipe: Recipe) -> dict[str, Any]:
    """Return all options of the loss, with defaults for options missing in the recipe."""
    loss = loss_function(recipe.loss)
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(loss.func).parameters.items()
        if parameter.default is not inspect.Parameter.empty and key != "generator"
    }
    return {**defaults, **loss.keywords}


def _changed_settings(settings: Mapping[str, Any]) -> list[str]:
    defaults = {item.name: item.default for item in fields(Recipe) if item.default is not MISSING}
    return [name for name, value in settings.items() if value != defaults.get(name)]


def _changed_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Return the Trainer's non-default arguments that a recipe can change."""
    defaults = TrainingArguments(output_dir="", use_cpu=True).to_dict()  # type: ignore[no-untyped-call]
    fixed = {"use_cpu", *FIXED}
    return [name for name, value in arguments.items() if name not in fixed and value != defaults.get(name)]


def _hardware(arguments: Mapping[str, Any]) -> str:
    if arguments["use_cpu"]:
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else str(torch.accelerator.current_accelerator())
    return f"{os.environ.get('WORLD_SIZE', '1')} x {name}"


def _log_entry(entry: Mapping[str, float]) -> dict[str, float]:
    kept = {key: value for key, value in entry.items() if key in _LOGGED or key.startswith("eval_")}
    return {key: value for key, value in kept.items() if isinstance(value, int | float) and math.isfinite(value)}
