"""Recipes: everything a training is made of, in one YAML file."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from plackett.errors import SettingError
from plackett.losses import LOSSES

ON_THE_CARD = ("description", "language", "license")  # what is said of the model and changes nothing of it

# Training arguments that say something of this machine only, or are a secret.
OF_THE_MACHINE = {"disable_tqdm", "hub_token", "local_rank", "logging_dir", "output_dir", "run_name"}
_PATH = re.compile(r"(~|\.{0,2})[/\\]|[A-Za-z]:[/\\]")


@dataclass(frozen=True)
class Recipe:
    """Everything a training is made of. `training` holds Hugging Face TrainingArguments by their own names.

    `loss` is a name in `plackett.losses.LOSSES` with that function's options; `list_size` documents of each list are
    trained on at a time, the best-labelled one always among them, the `negatives` beside it drawn at random or taken
    first to last; `token_budget` bounds the tokens of a micro-batch, `mini_batch_size` its pairs; with `streaming` the
    lists are read as they are needed.
    `layers` keeps the first so many of the base, `freeze_embeddings` trains none of its word embeddings, `lora` are
    options of peft's LoraConfig, and `cached_gradients` holds the graph of one micro-batch at a time, for lists of any
    length.
    `train` names files of lists, or maps each to its share of an epoch (`{a.jsonl: 1, b.jsonl: 0.5}`); `hold_out` of
    the lists, drawn by the training's seed, are not trained on and are the development collection `held-out`.
    The collections in `dev` are measured during the training, those in `test` afterwards, for the card: `depth`
    candidates of each query are reranked. `early_stopping` ends the training after so many evaluations in a row
    without a better `metric_for_best_model`.
    `allow_pickle` takes a base whose weights are no safetensors.
    `description` (of the data), `language` (ISO codes) and `license` stand on the card.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    base: str
    train: Mapping[str, Annotated[float, Field(gt=0)]]
    output: str
    loss: Mapping[str, Any] = field(default_factory=lambda: {"name": "p_list_mle"})
    list_size: Annotated[int, Field(ge=2)] = 16
    negatives: Literal["random", "first"] = "random"
    max_length: int | None = None
    allow_pickle: bool = False
    token_budget: Annotated[int, Field(ge=1)] = 4096
    mini_batch_size: Annotated[int, Field(ge=1)] | None = None
    streaming: bool = False
    hold_out: Annotated[int, Field(ge=1)] | None = None
    layers: Annotated[int, Field(ge=1)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    freeze_embeddings: bool = False
    lora: Mapping[str, Any] | None = None
    cached_gradients: bool = False
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("nDCG@10", "RR@10", "AP")
    depth: Annotated[int, Field(ge=1)] = 100
    early_stopping: Annotated[int, Field(ge=1)] | None = None
    description: str = ""
    language: tuple[str, ...] = ()
    license: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from YAML; `overrides` are `key=value` with dots for nesting, values in YAML."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"the recipe {path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise SettingError(f"the recipe {path} is not a list of `key: value`")
    for override in overrides:
        _override(values, override)
    return make_recipe(values)


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """A checked recipe from plain values."""
    for key in values.keys() - Recipe.__dataclass_fields__.keys():
        raise SettingError.unknown("recipe key", key, Recipe.__dataclass_fields__)
    spread: dict[str, Any] = {
        key: (values[key],) for key in ("dev", "test", "language") if isinstance(values.get(key), str)
    }
    files = [values["train"]] if isinstance(values.get("train"), str) else values.get("train")
    if isinstance(files, list):
        spread["train"] = dict.fromkeys(files, 1.0)
    try:
        recipe = TypeAdapter(Recipe).validate_python({**values, **spread})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise SettingError(f"the recipe does not fit: {problems}") from error
    loss_function(recipe.loss)
    if recipe.hold_out and recipe.streaming:
        raise SettingError("hold_out draws from all lists, and a stream is never read whole: name a file in dev")
    if recipe.early_stopping and not recipe.training.get("metric_for_best_model"):
        raise SettingError(
            "early_stopping needs a measure that should get better: set training.metric_for_best_model, "
            "training.eval_strategy, and collections in dev"
        )
    return recipe


def loss_function(settings: Mapping[str, Any]) -> Callable[..., torch.Tensor]:
    """The loss called `settings["name"]`, with the other settings as its options, tried once.

    sentence-transformers' `respect_input_order` is understood as the value of `ties` that means the same.
    """
    options = {key: value for key, value in settings.items() if key != "name"}
    if "respect_input_order" in options:
        options["ties"] = "input_order" if options.pop("respect_input_order") else "stable"
    name = str(settings.get("name"))
    if name not in LOSSES:
        raise SettingError.unknown("loss", name, LOSSES)
    known = inspect.signature(LOSSES[name]).parameters.keys() - {"scores", "labels", "mask", "generator"}
    for key in options.keys() - known:
        raise SettingError.unknown(f"option of the loss {name}", key, known or ["(none)"])
    loss = partial(LOSSES[name], **options)
    try:
        loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    except TypeError as error:
        raise SettingError(f"the loss {name} does not take these options: {error}") from error
    return loss


def without_paths(values: Mapping[str, Any], *, base: str) -> dict[str, Any]:
    """The values of a recipe as others may read them: files by name, as on the card, and `base` as the card has it."""
    files = [_file_name(file) for file in values["train"]]
    again = [files[:place].count(name) + 1 for place, name in enumerate(files)]
    names = [name if time == 1 else f"{name} ({time})" for name, time in zip(files, again, strict=True)]
    arguments = {key: value for key, value in values["training"].items() if key not in OF_THE_MACHINE}
    return {
        **values,
        "base": base or _file_name(values["base"]),
        "train": dict(zip(names, values["train"].values(), strict=True)),
        "output": _file_name(values["output"]),
        "dev": [_file_name(name) for name in values["dev"]],
        "test": [_file_name(name) for name in values["test"]],
        "training": short_paths(arguments),
    }


def short_paths(value: Any) -> Any:
    """A setting in which every path that begins at a root, a home or a dot is a name only."""
    if isinstance(value, Mapping):
        return {key: short_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [short_paths(item) for item in value]
    return re.split(r"[/\\]", value)[-1] if isinstance(value, str) and _PATH.match(value) else value


def _file_name(name: str) -> str:
    return name if name.startswith("hf://") else Path(name).name


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: PyYAML alone takes 1e-4 for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def _override(values: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    if not separator or not path:
        raise SettingError(f"--set {override!r} is not key=value")
    *parents, key = path.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise SettingError(f"--set {override!r}: {parent} holds no keys")
        values = child
    try:
        values[key] = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SettingError(f"--set {override!r}: the value is not YAML") from error
