"""Training arguments: a recipe's TrainingArguments on top of Plackett's defaults, and the output folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from plackett._compat.torch import has_fast_bf16
from plackett._extras import require
from plackett._files import OutputFolder, check_apart
from plackett.checkpoints.output import checkpoint_folder
from plackett.errors import SettingError
from plackett.evaluation.development import measured_names
from plackett.records import Collection
from plackett.training.recipe import Recipe

LOGGERS = ("tensorboard", "trackio")  # also the names of their extras

# Names that transformers has replaced.
RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}

# Training arguments that no recipe changes. Batches of lists differ in shape and micro-batches: each process reads its
# own part of a stream instead of receiving it, and processes do not synchronise before every micro-batch.
FIXED = {
    "ddp_broadcast_buffers": False,
    "ddp_find_unused_parameters": False,
    "remove_unused_columns": False,
    "disable_tqdm": True,
    "accelerator_config": {"dispatch_batches": False},
}


def training_arguments(recipe: Recipe, dev: Sequence[Collection] = ()) -> TrainingArguments:
    """Return the recipe's TrainingArguments, checked against the development collections."""
    arguments = arguments_of(recipe, measured=bool(dev))
    if recipe.streaming and arguments.max_steps <= 0:
        raise SettingError("a stream has no known length: set training.max_steps")

    best = arguments.metric_for_best_model
    names = measured_names([collection.name for collection in dev], recipe.measures)
    if best is not None and best.removeprefix("eval_") not in names:
        raise SettingError.unknown("metric_for_best_model", best, names or ["(name collections in dev)"])
    if recipe.early_stopping and arguments.eval_strategy == "no":
        raise SettingError("early_stopping needs evaluations: set training.eval_strategy to steps or epoch")
    return arguments


def arguments_of(recipe: Recipe, *, measured: bool) -> TrainingArguments:
    """Return the recipe's TrainingArguments on top of Plackett's defaults, before its lists are read.

    The defaults: bf16 if the processor supports it, no intermediate checkpoints, no reporting, and an evaluation before
    the first step if collections are `measured`.
    """
    _check_extras(recipe.training)
    if folder := recipe.training.get("output_dir"):
        inputs = [recipe.base, *recipe.train, *recipe.dev, *recipe.test]
        check_apart(Path(os.path.realpath(folder)), inputs, SettingError)
    defaults = {
        "output_dir": f"{output_of(recipe).path}-training",
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": torch.cuda.is_available() or has_fast_bf16(),
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "none",
        "eval_on_start": measured,
    }
    try:
        return TrainingArguments(**{**defaults, **_renamed(recipe.training), **FIXED})
    except Exception as error:  # transformers, accelerate and DeepSpeed raise many kinds for invalid settings
        raise SettingError(f"invalid training arguments: {error}") from error


def _renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings under the names of the installed transformers; recipes use names that all releases know."""
    known = TrainingArguments.__dataclass_fields__
    return {RENAMED[key] if RENAMED.get(key) in known else key: value for key, value in settings.items()}


def output_of(recipe: Recipe) -> OutputFolder:
    """Check the output; CheckpointError if it is not writable or is an input."""
    return checkpoint_folder(recipe.output, inputs=[recipe.base, *recipe.train, *recipe.dev, *recipe.test])


def _check_extras(settings: Mapping[str, Any]) -> None:
    """Raise MissingExtraError for a logger or DeepSpeed that is not installed."""
    report_to = settings.get("report_to") or ()
    for name in [report_to] if isinstance(report_to, str) else report_to:
        if name in LOGGERS:
            require(name, extra=name)
    if settings.get("deepspeed"):
        require("deepspeed", extra="deepspeed")
