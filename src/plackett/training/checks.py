"""Checks of a recipe's values before anything is loaded: names, types and bounds."""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.utils.logging import log_levels

from plackett._arguments import LARGEST, Bounds
from plackett._compat.trainer import LOGGERS
from plackett.errors import SettingError

KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "keys and values",
}


_COUNT = Bounds(1, LARGEST)
_NOT_NEGATIVE = Bounds(0)
_POSITIVE = Bounds(0, above=True)
_SEED = Bounds(0, 2**32 - 1)

# Bounds of TrainingArguments. All other numbers must be finite, and whole ones at most LARGEST.
BOUNDS = {
    "adam_beta1": Bounds(0, 1),
    "adam_beta2": Bounds(0, 1),
    "adam_epsilon": _POSITIVE,
    "data_seed": _SEED,
    "dataloader_num_workers": Bounds(0, 1024),
    "dataloader_prefetch_factor": _COUNT,
    "ddp_bucket_cap_mb": _COUNT,
    "ddp_timeout": _COUNT,
    "eval_accumulation_steps": _COUNT,
    "eval_delay": _NOT_NEGATIVE,
    "eval_steps": _POSITIVE,
    "gradient_accumulation_steps": _COUNT,
    "label_smoothing_factor": Bounds(0, 1),
    "learning_rate": _NOT_NEGATIVE,
    "logging_steps": _POSITIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "max_steps": Bounds(-1, LARGEST),
    "neftune_noise_alpha": _NOT_NEGATIVE,
    "num_train_epochs": _POSITIVE,
    "per_device_eval_batch_size": _COUNT,
    "per_device_train_batch_size": _COUNT,
    "save_steps": _POSITIVE,
    "save_total_limit": _COUNT,
    "seed": _SEED,
    "torch_empty_cache_steps": _COUNT,
    "warmup_steps": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
}

# Valid values of TrainingArguments whose types do not list them.
CHOICES: dict[str, Sequence[str]] = {
    "log_level": [*log_levels, "passive"],
    "log_level_replica": [*log_levels, "passive"],
    "report_to": ["none", "all", *LOGGERS],
    "train_sampling_strategy": ["random", "sequential"],
}

# Types of arguments for which transformers accepts more than it declares.
TYPES: dict[str, Any] = {"fsdp": bool | str | list | None}

# TrainingArguments that another command or option of Plackett replaces.
ELSEWHERE = {
    "push_to_hub": "publish the finished checkpoint with `plackett publish`",
    "resume_from_checkpoint": "continue a training with `plackett train --resume`",
}

# (key, its value or None for any) -> the keys that must be set too.
NEEDS: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("dataloader_prefetch_factor", None): ("dataloader_num_workers",),
    ("dataloader_persistent_workers", None): ("dataloader_num_workers",),
    ("load_best_model_at_end", None): ("metric_for_best_model", "eval_strategy"),
    ("save_strategy", "best"): ("metric_for_best_model", "eval_strategy"),
}


def check_training(settings: Mapping[str, Any]) -> None:
    """Check TrainingArguments by name, type and bounds; SettingError for the first invalid one."""
    known = TrainingArguments.__dataclass_fields__
    for key, value in settings.items():
        name = f"training.{key}"
        if key not in known:
            raise SettingError.unknown("training argument", key, known)
        if key in ELSEWHERE and value:
            raise SettingError(f"{name} has no effect here: {ELSEWHERE[key]}")
        annotation = TYPES.get(key, known[key].type)
        check_type(name, value, annotation)
        _check_words(name, value, [*_enumerated(annotation), *CHOICES.get(key, ())])
        _check_number(name, value, BOUNDS.get(key, Bounds(-LARGEST, LARGEST)))
    _check_together(settings)


def check_type(name: str, value: Any, annotation: Any) -> None:
    """Raise SettingError if a value has none of the plain types that the annotation allows."""
    allowed = _plain_types(annotation)
    if not allowed or any(_is(value, kind) for kind in allowed):
        return
    expected = " or ".join(KINDS[kind] for kind in KINDS if kind in allowed)
    raise SettingError(f"{name} is {value!r}, not {expected}{quote_hint(value) if str in allowed else ''}")


def quote_hint(value: Any) -> str:
    """Return advice on how to write a YAML value as text."""
    return f'; write it in quotes: "{json.dumps(value)}"' if isinstance(value, int | float) else ""


def _plain_types(annotation: Any) -> list[Any]:
    """Return the members of a union that YAML can represent; empty if none is a plain type."""
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return [kind for member in members if (kind := typing.get_origin(member) or member) in {*KINDS, types.NoneType}]


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in {typing.Union, types.UnionType}


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of this type: True is not a number, but 2.0 is a whole number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _enumerated(annotation: Any) -> list[str]:
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    enumerations = [member for member in members if isinstance(member, type) and issubclass(member, Enum)]
    return [str(choice.value) for enumeration in enumerations for choice in enumeration]


def _check_words(name: str, value: Any, choices: Sequence[str]) -> None:
    for word in value if isinstance(value, list) else [value]:
        if choices and isinstance(word, str) and word not in choices:
            raise SettingError.unknown(name, word, choices)


def _check_number(name: str, value: Any, bounds: Bounds) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not bounds.allow(value):
        raise SettingError(f"{name} is {value}; it must be a finite number, {bounds}")


def _check_together(settings: Mapping[str, Any]) -> None:
    """Check settings that require another one, or depend on the disk."""
    for key in ("logging_steps", "eval_steps", "save_steps"):
        steps = settings.get(key)
        if isinstance(steps, float) and steps > 1 and not steps.is_integer():
            raise SettingError(
                f"training.{key} is {steps}; above 1 it must be a whole number of steps, below 1 it is a share"
            )
    for (key, value), needed in NEEDS.items():
        if settings.get(key) and value in (None, settings[key]):
            _check_needed(f"training.{key}: {settings[key]}", settings, needed)
    _check_folder(settings.get("output_dir"))


def _check_needed(setting: str, settings: Mapping[str, Any], needed: Sequence[str]) -> None:
    missing = [f"training.{key}" for key in needed if settings.get(key) in (None, 0, "no")]
    if missing:
        raise SettingError(f"{setting} needs {' and '.join(missing)}")


def _check_folder(folder: Any) -> None:
    if folder == "":
        raise SettingError("training.output_dir is empty; choose a folder for intermediate checkpoints")
    if isinstance(folder, str) and Path(folder).exists() and not Path(folder).is_dir():
        raise SettingError(f"training.output_dir is {folder}, a file; choose a folder for intermediate checkpoints")
