"""Chains of modules equivalent to a ModernBERT classifier, such as the ettin rerankers.

sentence-transformers' Transformer, Pooling (first token or mean), Dense, LayerNorm and Dense with one output compute
the same as `ModernBertForSequenceClassification`: `head.dense`, its activation, `head.norm` and `classifier`.
"""

import re
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from plackett.checkpoints.conversions.folders import (
    add_weights,
    copy_renamed,
    headers,
    link_files,
    modules_of,
    replace_json,
)
from plackett.checkpoints.jsons import read_json, read_optional
from plackett.checkpoints.own_files import CONFIG, MODULES, SENTENCE_TRANSFORMERS, WEIGHTS
from plackett.checkpoints.settings import FIRST_MODULE
from plackett.checkpoints.templates import write_modules
from plackett.errors import CheckpointError

LINKS = ("Transformer", "Pooling", "Dense", "LayerNorm", "Dense")

# Activations of the first Dense module by their names in torch -> transformers' names.
_ACTIVATIONS = {"GELU": "gelu", "Tanh": "tanh", "ReLU": "relu", "SiLU": "silu"}
_OF_TORCH = re.compile(r"torch\.nn\.(?:modules\.\w+\.)?(\w+)")

# Inputs and outputs of the modules, where other names would connect them differently.
_NAMES = (
    {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding", "use_residual": False},
    {"module_input_name": "sentence_embedding", "module_output_name": "scores", "use_residual": False},
)
_EPSILON = 1e-5
"""Of LayerNorm, which has no setting for it; ModernBERT's head takes it from `norm_eps`."""


def fits(folder: Path) -> bool:
    """Whether a folder is such a chain over a ModernBERT."""
    names = tuple(name for name, _ in modules_of(folder))
    return names == LINKS and read_optional(folder / CONFIG).get("model_type") == "modernbert"


def convert(inputs: list[Path], target: Path) -> None:
    """Write the classifier equivalent to a chain."""
    [folder] = inputs
    base, pooling, dense, norm, last = (place for _, place in modules_of(folder))
    config = read_json(folder / CONFIG)
    activation = _activation(dense, last)
    if config.get("norm_eps", _EPSILON) != _EPSILON:
        raise CheckpointError(
            f"{folder / CONFIG} sets norm_eps to {config['norm_eps']!r}, but the module LayerNorm uses {_EPSILON}; "
            "Plackett supports only equal values"
        )
    own = _weights(dense, norm, last)

    link_files(base, target, weights=False)
    names = {name: name if name.startswith("model.") else f"model.{name}" for name in headers(base)}
    for path in sorted(base.glob("*.safetensors")):
        copy_renamed(path, target / ("model-base.safetensors" if path.name == WEIGHTS else path.name), names)
    add_weights(target, own, "model-head.safetensors")

    replace_json(
        target / CONFIG,
        config
        | {
            "architectures": ["ModernBertForSequenceClassification"],
            "classifier_pooling": _pooling(pooling),
            "classifier_activation": activation,
            "classifier_bias": "head.dense.bias" in own,
            "classifier_dropout": 0.0,
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
        },
    )
    for name in (MODULES, SENTENCE_TRANSFORMERS, *FIRST_MODULE):
        (target / name).unlink(missing_ok=True)
        source = (base if name in FIRST_MODULE else folder) / name
        if source.is_file():
            shutil.copyfile(source, target / name)
    write_modules(target, None)


def _activation(dense: Path, last: Path) -> str:
    """Return the activation between the linear layers. CheckpointError for Dense modules with other settings."""
    for folder, names in zip((dense, last), _NAMES, strict=True):
        settings = read_json(folder / CONFIG)
        different = next((key for key, value in names.items() if settings.get(key, value) != value), None)
        if different is not None:
            raise CheckpointError(
                f"{folder / CONFIG} sets {different} to {settings[different]!r}; Plackett supports {names[different]!r}"
            )
    first, second = (read_json(folder / CONFIG).get("activation_function") for folder in (dense, last))
    found = [match[1] if (match := _OF_TORCH.fullmatch(str(name))) else "" for name in (first, second)]
    if found[0] not in _ACTIVATIONS:
        raise CheckpointError(
            f"{dense / CONFIG} sets activation_function to {first}; Plackett supports {', '.join(_ACTIVATIONS)}"
        )
    if found[1] != "Identity":
        raise CheckpointError(f"{last / CONFIG} sets activation_function to {second}; Plackett supports only Identity")
    return _ACTIVATIONS[found[0]]


def _pooling(folder: Path) -> str:
    """Return the mode of a Pooling module: "cls" or "mean"."""
    config = read_json(folder / CONFIG)
    older = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    mode = config.get("pooling_mode", older)
    for name, key in {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}.items():
        if mode in (name, {key}):
            return name
    raise CheckpointError(
        f"{folder / CONFIG} pools by {mode or 'nothing'}; Plackett supports either cls (the first token) or mean"
    )


def _weights(dense: Path, norm: Path, last: Path) -> dict[str, NDArray[np.float32]]:
    """Return the head under the names of a ModernBERT classifier; the norm's bias is folded into the classifier's."""
    first, end = (_read(folder, "linear.weight") for folder in (dense, last))
    middle = _read(norm, "norm.weight")
    if len(end["linear.weight"]) != 1:
        raise CheckpointError(f"{last / WEIGHTS} has {len(end['linear.weight'])} outputs; a reranker's last has one")
    weight, bias = end["linear.weight"], end.get("linear.bias", np.zeros(len(end["linear.weight"]), np.float32))
    shift = middle.get("norm.bias")
    own = {"head.dense.weight": first["linear.weight"], "head.norm.weight": middle["norm.weight"]}
    if "linear.bias" in first:
        own["head.dense.bias"] = first["linear.bias"]
    return own | {
        "classifier.weight": weight,
        "classifier.bias": (bias if shift is None else bias + weight @ shift).astype(np.float32),
    }


def _read(folder: Path, needed: str) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a module. CheckpointError if they are missing or damaged, or lack the weights `needed`."""
    path = folder / WEIGHTS
    try:
        found = {name: array.astype(np.float32) for name, array in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({error}); download or save it again") from error
    if needed not in found:
        raise CheckpointError(f"{path} has no weights {needed}; download or save it again")
    return found
