"""Recipes: all settings of a training run in one YAML file."""

import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError

from plackett._arguments import LARGEST
from plackett.errors import SettingError
from plackett.losses import LOSSES
from plackett.retrieval.first_stage import FirstStageSettings
from plackett.training.checks import check_training, check_type, quote_hint
from plackett.training.recipe_file import override, read_values
from plackett.training.sampling import LARGEST_SHARE

ON_THE_CARD = ("description", "language", "license")  # descriptions, which do not affect the model

# Training arguments that only concern this machine, or are secret.
OF_THE_MACHINE = {"disable_tqdm", "hub_token", "local_rank", "logging_dir", "output_dir", "run_name"}
_PATH = re.compile(r"(~|\.{0,2})[/\\]|[A-Za-z]:[/\\]")

DEFAULT_LOSS = "p_list_mle"

Text = Annotated[str, Field(min_length=1)]
Switch = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=LARGEST)]
Share = Annotated[float, Strict(), Field(gt=0, le=LARGEST_SHARE, allow_inf_nan=False)]


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run. `training` holds Hugging Face TrainingArguments under their own names.

    `loss` is a name in `plackett.losses.LOSSES` with that function's options; from each list, `list_size` documents are
    trained on at a time: one of the best-labelled, and others (`negatives`) drawn at random or taken in order;
    `token_budget` bounds the tokens of a micro-batch, `mini_batch_size` its pairs; with `streaming`, lists are read as
    needed. `layers` keeps the first N layers of the base, `freeze_embeddings` does not train its word embeddings,
    `lora` holds options of peft's LoraConfig, and `cached_gradients` keeps the graph of only one micro-batch at a time,
    for lists of any length. `columns` maps Plackett's column names to those in the `train` files (`{query: q, document:
    d, label: grade}`); it also applies to files in `dev` and `test` that have these columns. `train` names files of
    lists, or maps each to its share of an epoch (`{a.jsonl: 1, b.jsonl: 0.5}`); `hold_out` lists, drawn with the
    training seed, are not trained on and form the development collection `held-out`. The collections in `dev` are
    measured during training, those in `test` afterwards, for the card: `depth` candidates per query are reranked.
    `first_stage` ranks their corpora: `bm25`, `bi_encoder:CHECKPOINT`, or a mapping of `name` and BM25's `language`,
    `stemmer` and `ngrams`. `early_stopping` ends the training after this many evaluations in a row without a better
    `metric_for_best_model`. `instruction` replaces that of a base with a chat template. `allow_pickle` accepts a base
    whose weights are a pickle instead of safetensors. `description` (of the data), `language` (ISO codes) and `license`
    appear on the card.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    base: Text
    train: Annotated[Mapping[Text, Share], Field(min_length=1)]
    output: Text
    loss: Mapping[str, Any] = field(default_factory=lambda: {"name": DEFAULT_LOSS})
    list_size: Annotated[int, Strict(), Field(ge=2, le=LARGEST)] = 16
    negatives: Literal["random", "first"] = "random"
    max_length: Count | None = None
    instruction: Text | None = None
    allow_pickle: Switch = False
    columns: Mapping[str, Text] = field(default_factory=dict)
    token_budget: Count = 4096
    mini_batch_size: Count | None = None
    streaming: Switch = False
    hold_out: Count | None = None
    layers: Count | None = None
    dropout: Annotated[float, Strict(), Field(ge=0, lt=1)] | None = None
    freeze_embeddings: Switch = False
    lora: Mapping[str, Any] | None = None
    cached_gradients: Switch = False
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    measures: tuple[Text, ...] = ("nDCG@10", "RR@10", "AP")
    depth: Count = 100
    first_stage: Mapping[str, Any] | None = None
    early_stopping: Count | None = None
    description: str = ""
    language: tuple[str, ...] = ()
    license: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)


def read_recipe(
    recipe: str | Path, overrides: Sequence[str] = (), *, replaced: Mapping[str, Any] | None = None
) -> Recipe:
    """Read and check a recipe: a YAML file, or the name of one that ships with Plackett.

    `overrides` are `key=value` with dots for nesting, values in YAML; `replaced` holds plain values by key.
    """
    values = read_values(recipe)
    for setting in overrides:
        override(values, setting)
    return make_recipe({**values, **(replaced or {})})


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """Check plain values and make a recipe; SettingError for invalid ones."""
    known = Recipe.__dataclass_fields__
    for key in values:
        if key not in known:
            raise SettingError.unknown("recipe key", key, known)
    _check_plain(values)

    try:
        recipe = TypeAdapter(Recipe).validate_python(_written_out(values))
    except ValidationError as error:
        raise SettingError(f"invalid recipe: {'; '.join(map(_problem, error.errors()))}") from error

    loss_function(recipe.loss)
    first_stage_of(recipe.first_stage)
    check_training(recipe.training)
    if recipe.hold_out and recipe.streaming:
        raise SettingError(
            "hold_out draws from all lists, but a stream is never read completely: name a file in dev instead"
        )
    if recipe.early_stopping and not recipe.training.get("metric_for_best_model"):
        raise SettingError(
            "early_stopping needs a measure to improve: set training.metric_for_best_model, "
            "training.eval_strategy, and collections in dev"
        )
    return recipe


def _check_plain(values: Mapping[str, Any]) -> None:
    """Raise SettingError for values that JSON cannot represent: the recipe is stored as JSON beside the weights."""
    try:
        json.dumps(values, ensure_ascii=False).encode()  # an unpaired surrogate would fail when the card is written
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(
            "the recipe contains a value that is not text, a number, true, false, a list or keys with values, "
            f"or that contains itself: {error}"
        ) from error


def _written_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the short forms of values."""
    return {key: _SHORT_FORMS[key](value) if key in _SHORT_FORMS else value for key, value in values.items()}


def _loss_mapping(loss: Any) -> Any:
    if isinstance(loss, str):
        return {"name": loss}
    return {"name": DEFAULT_LOSS, **loss} if isinstance(loss, Mapping) else loss


def _shares(train: Any) -> Any:
    """Return files with their shares of an epoch; a single file, or each file in a list, has a share of 1."""
    files = [train] if isinstance(train, str) else train
    if isinstance(files, list | tuple) and all(isinstance(file, str) for file in files):
        double = next((file for file in files if files.count(file) > 1), None)
        if double is not None:
            raise SettingError(f"train names {double} twice; give it a share: {{{double}: {files.count(double)}}}")
        files = dict.fromkeys(files, 1.0)
    return {_at_home(name): share for name, share in files.items()} if isinstance(files, Mapping) else files


def _first_stage_mapping(stage: Any) -> Any:
    stage = {"name": stage} if isinstance(stage, str) else stage
    if not isinstance(stage, Mapping) or not isinstance(stage.get("name"), str):
        return stage
    entry, colon, argument = stage["name"].partition(":")
    return {**stage, "name": f"{entry}{colon}{_at_home(argument)}"}


def _several(names: Any) -> Any:
    names = (names,) if isinstance(names, str) else names
    return tuple(map(_at_home, names)) if isinstance(names, list | tuple) else names


def _at_home(name: Any) -> Any:
    """Replace ~ in a path by the home folder; Hub ids stay unchanged."""
    return os.path.expanduser(name) if isinstance(name, str) else name


_SHORT_FORMS: dict[str, Callable[[Any], Any]] = {
    "base": _at_home,
    "dev": _several,
    "first_stage": _first_stage_mapping,
    "language": _several,
    "loss": _loss_mapping,
    "measures": _several,
    "output": _at_home,
    "test": _several,
    "train": _shares,
}


_WORDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys and values",
}
"""pydantic's name of a mistake of type -> what is expected, in the words of YAML."""


def _problem(error: Any) -> str:
    """Describe one mistake: a wrong type in YAML's terms, with advice for texts, others in pydantic's."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] in _WORDS:
        return f"{place} is {error['input']!r:.60}, not {_WORDS[error['type']]}"
    if error["type"] == "string_type":
        return f"{place} is {error['input']!r}, not text{quote_hint(error['input'])}"
    return f"{place}: {error['msg']}"


def loss_options(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and options of a loss, under its own names.

    sentence-transformers' `respect_input_order` becomes the equivalent value of `ties`.
    """
    options = {key: value for key, value in settings.items() if key != "name"}
    if "respect_input_order" in options:
        check_type("loss.respect_input_order", options["respect_input_order"], bool)
        options["ties"] = "input_order" if options.pop("respect_input_order") else "stable"
    return str(settings.get("name")), options


def loss_function(settings: Mapping[str, Any]) -> partial[torch.Tensor]:
    """Return the loss `settings["name"]` with the other settings as options, after trying it once."""
    name, options = loss_options(settings)
    if name not in LOSSES:
        raise SettingError.unknown("loss", name, LOSSES)
    parameters = inspect.signature(LOSSES[name]).parameters
    known = parameters.keys() - {"scores", "labels", "mask", "generator"}
    for key, value in options.items():
        if key not in known:
            raise SettingError.unknown(f"option of the loss {name}", key, known or ["(none)"])
        check_type(f"loss.{key}", value, parameters[key].annotation)

    loss = partial(LOSSES[name], **options)
    loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    return loss


def first_stage_of(settings: Mapping[str, Any] | None) -> FirstStageSettings | None:
    """Return the first stage of a recipe; None if the collections keep their own."""
    if settings is None:
        return None
    parameters = inspect.signature(FirstStageSettings.of).parameters
    for key, value in settings.items():
        if key not in parameters:
            raise SettingError.unknown("key of first_stage", key, parameters)
        check_type(f"first_stage.{key}", value, parameters[key].annotation)
    return FirstStageSettings.of(**settings)


def without_paths(values: Mapping[str, Any], *, base: str) -> dict[str, Any]:
    """Return the values of a recipe for publication: files by name, as on the card, and `base` as on the card."""
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
        "first_stage": _short_stage(values.get("first_stage")),
        "test": [_file_name(name) for name in values["test"]],
        "training": short_paths(arguments),
    }


def short_paths(value: Any) -> Any:
    """Reduce every path in a setting that begins with a root, a home or a dot to its name."""
    if isinstance(value, Mapping):
        return {key: short_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [short_paths(item) for item in value]
    return re.split(r"[/\\]", value)[-1] if isinstance(value, str) and _PATH.match(value) else value


def _short_stage(stage: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if stage is None or "name" not in stage:
        return stage
    entry, colon, argument = stage["name"].partition(":")
    return {**stage, "name": f"{entry}{colon}{short_paths(argument)}"}


def _file_name(name: str) -> str:
    return name if name.startswith("hf://") else Path(name).name
