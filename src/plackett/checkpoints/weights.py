"""The weight files of a checkpoint: checks that they exist and are complete, and their contents."""

import math
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from plackett.checkpoints.exports import exports_of
from plackett.checkpoints.hub import inside
from plackett.checkpoints.jsons import read_json
from plackett.checkpoints.own_files import CONFIG, WEIGHTS, WEIGHTS_INDEX
from plackett.errors import CheckpointError

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_HEADS = {"classifier", "score", "classification_head", "logits_proj"}
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_NOT_LOADED = {"lm_head.weight", "embed_out.weight"}
"""Output matrices of language models, which a classifier does not use."""

# Prefix -> the model whose weights have it, and what to save instead.
_WRAPPERS = {
    "_orig_mod.": ("a model wrapped by torch.compile", "model._orig_mod"),
    "module.": ("a model wrapped by DataParallel or DistributedDataParallel", "model.module"),
    "base_model.model.": ("a model wrapped by peft", "model.merge_and_unload()"),
    "_fsdp_wrapped_module.": ("a model wrapped by FSDP", "model.module"),
}


def has_weights(folder: Path) -> bool:
    """Whether a folder has safetensors, complete or not."""
    return any(folder.glob("model*.safetensors*"))


def weights_of(folder: Path) -> tuple[int, tuple[str, ...]]:
    """Return the number of a classifier's parameters and their types, from the headers of the files alone."""
    count, types = 0, set()
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            for name in set(tensors.keys()) - _NOT_LOADED:
                part = tensors.get_slice(name)
                count += math.prod(part.get_shape())
                types.add(part.get_dtype())
    return count, tuple(sorted(types))


def check_weights(folder: Path, *, allow_pickle: bool) -> None:
    """Raise CheckpointError unless every weight file exists and has the length that its header states.

    A folder with exported models needs no weights; pickles count if they are allowed.
    """
    if has_weights(folder):
        names = _names(folder)
        _check_layers(folder, len(names))
        _check_names(folder, names)
    elif not exports_of(folder):
        _check_pickles(folder, allow_pickle)


def check_trainable(folder: Path, *, allow_pickle: bool) -> None:
    """Raise CheckpointError as `check_weights` does, and for a folder that contains only exported models."""
    check_weights(folder, allow_pickle=allow_pickle)
    if not has_weights(folder) and not any((folder / name).is_file() for name in PICKLES):
        names = " and ".join(sorted({engine for engine, _ in exports_of(folder)}))
        raise CheckpointError(
            f"{folder} contains a graph for {names} and no weights to train; name an encoder or a reranker with "
            f"{WEIGHTS} as the base"
        )


def has_head(folder: Path) -> bool:
    """Whether the safetensors contain a classification head, judging by transformers' names for it."""
    return has_weights(folder) and any(name.partition(".")[0] in _HEADS for name in _names(folder))


def _names(folder: Path) -> list[str]:
    """Return the names of all weights, from the headers; CheckpointError for a missing or truncated file."""
    return [name for path in _parts(folder) for name in _names_in(path)]


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """Raise CheckpointError for weights that a wrapper renamed."""
    for prefix, (what, mend) in _WRAPPERS.items():
        if names and all(name.startswith(prefix) for name in names):
            raise CheckpointError(
                f"the weights in {folder} belong to {what}: their names begin with {prefix!r}. Save {mend} instead, "
                "or rename them"
            )
    lora = next((name for name in names if ".lora_A." in name or ".lora_B." in name), None)
    if lora:
        raise CheckpointError(
            f"the weights in {folder} contain unmerged LoRA adapters, such as {lora}; merge them with peft "
            "(model.merge_and_unload()) and save the model again"
        )


def _check_layers(folder: Path, weights: int) -> None:
    """Raise CheckpointError for a configuration of more layers than there are weights: they would fill the memory."""
    config = read_json(folder / CONFIG)
    for key in _LAYERS:
        layers = config.get(key)
        if isinstance(layers, int) and layers > weights:
            raise CheckpointError(f"{folder / CONFIG} has {key} = {layers}, but there are only {weights} weights")


def check_torch_weights(folder: Path) -> None:
    """Raise CheckpointError for a folder that contains only exported models."""
    if exports := engines_without_weights(folder):
        raise CheckpointError(
            f"{folder} has exported models but no weights for torch; choose their engine: {', '.join(exports)}"
        )


def engines_without_weights(folder: Path) -> list[str]:
    """List the engines of a folder that contains only exported models; empty if it has weights for torch."""
    if has_weights(folder) or any(folder.glob("pytorch_model*.bin*")):
        return []
    return sorted({engine for engine, _ in exports_of(folder)})


def _parts(folder: Path) -> list[Path]:
    """Return the weight files: a single one, or those that an index names."""
    index = folder / WEIGHTS_INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [folder / WEIGHTS]
    names = read_json(index).get("weight_map")
    if not names or not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(f"{index} does not map weights to files")
    return [inside(folder, name) for name in sorted(set(names.values()))]


def _names_in(path: Path) -> list[str]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}: saving or downloading it was interrupted")
    try:
        with safe_open(path, framework="numpy") as tensors:
            return list(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or incomplete ({error}); download or save it again") from error


def _check_pickles(folder: Path, allow_pickle: bool) -> None:
    found = next((name for name in PICKLES if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder} has no {WEIGHTS}: it is incomplete, or its weights are in another format")
    if not allow_pickle:
        raise CheckpointError(
            f"{folder} has no {WEIGHTS} but {found}, a pickle, which can run any code; if you trust its author, "
            "pass allow_pickle=True (in a recipe: allow_pickle: true)"
        )
