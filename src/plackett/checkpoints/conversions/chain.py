"""Chains of modules equivalent to a ModernBERT classifier, such as the ettin rerankers.

sentence-transformers' Transformer, Pooling (first token or mean), Dense, LayerNorm and Dense with one output compute
the same as `ModernBertForSequenceClassification`: `head.dense`, its activation, `head.norm` and `classifier`.
"""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
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

# Activations of a Dense module, by the last part of their names -> transformers' names.
_ACTIVATIONS = {"GELU": "gelu", "Tanh": "tanh", "ReLU": "relu", "SiLU": "silu"}


def fits(folder: Path) -> bool:
    """Whether a folder is such a chain over a ModernBERT."""
    names = tuple(name for name, _ in modules_of(folder))
    return names == LINKS and read_optional(folder / CONFIG).get("model_type") == "modernbert"


def convert(inputs: list[Path], target: Path) -> None:
    """Write the classifier equivalent to a chain."""
    [folder] = inputs
    base, pooling, dense, norm, last = (place for _, place in modules_of(folder))
    config, first = read_json(folder / CONFIG), read_json(dense / CONFIG)
    own = _weights(dense, norm, last)
    activation = _ACTIVATIONS.get(str(first.get("activation_function", "")).rpartition(".")[2])
    if activation is None:
        raise CheckpointError(f"{dense / CONFIG} names an activation that ModernBERT's head does not have")

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


def _pooling(folder: Path) -> str:
    """Return the mode of a Pooling module: "cls" or "mean"."""
    config = read_json(folder / CONFIG)
    mode = config.get("pooling_mode")
    for name in ("cls", "mean"):
        if mode == name or config.get(f"pooling_mode_{name}_token" + ("s" if name == "mean" else "")) is True:
            return name
    raise CheckpointError(f"{folder / CONFIG} uses a pooling other than the first token or the mean")


def _weights(dense: Path, norm: Path, last: Path) -> dict[str, NDArray[np.float32]]:
    """Return the head under the names of a ModernBERT classifier; the norm's bias is folded into the classifier's."""
    first, middle, end = (
        {name: array.astype(np.float32) for name, array in load_file(folder / WEIGHTS).items()}
        for folder in (dense, norm, last)
    )
    weight, bias = end["linear.weight"], end.get("linear.bias", np.zeros(len(end["linear.weight"]), np.float32))
    shift = middle.get("norm.bias")
    own = {"head.dense.weight": first["linear.weight"], "head.norm.weight": middle["norm.weight"]}
    if "linear.bias" in first:
        own["head.dense.bias"] = first["linear.bias"]
    return own | {
        "classifier.weight": weight,
        "classifier.bias": (bias if shift is None else bias + weight @ shift).astype(np.float32),
    }
