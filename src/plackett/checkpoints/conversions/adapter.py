"""LoRA adapters, merged by peft into the weights of the base model that they name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plackett._extras import require
from plackett._hardware import gigabytes, usable_memory
from plackett._wording import one_line
from plackett.checkpoints.conversions.folders import headers, link_files, replace_json
from plackett.checkpoints.hub import repository_of
from plackett.checkpoints.jsons import read_json
from plackett.checkpoints.own_files import CONFIG
from plackett.errors import CheckpointError, TooLargeError

ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TASKS = {"SEQ_CLS": "AutoModelForSequenceClassification", "CAUSAL_LM": "AutoModelForCausalLM"}
_HEADS = ("classifier.out_proj.weight", "classifier.weight", "score.weight")


def fits(folder: Path) -> bool:
    """Whether a folder contains an adapter."""
    return (folder / ADAPTER).is_file()


def inputs(folder: Path, find: Callable[[str, str | None], Path]) -> list[Path]:
    """Return the folder and its base's folder; any checkpoint name may name the base."""
    config = read_json(folder / ADAPTER)
    name = config.get("base_model_name_or_path")
    if not name or not isinstance(name, str):
        raise CheckpointError(f"{folder / ADAPTER} names no base model (base_model_name_or_path)")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise CheckpointError(
            f"{folder} has no {ADAPTER_WEIGHTS}: it is incomplete, or its weights are a pickle; save the adapter with "
            "peft again"
        )
    try:
        base = find(name, config.get("revision"))
    except CheckpointError as error:
        raise type(error)(
            f"the base of the adapter {folder} cannot be read: {error}. It is named by base_model_name_or_path in "
            f"{ADAPTER}"
        ) from error
    if fits(base):
        raise CheckpointError(
            f"the base of the adapter {folder} is an adapter as well ({base}); merge that one first, with "
            f"CrossEncoder({str(base)!r}).save_pretrained(FOLDER), and name FOLDER as base_model_name_or_path in "
            f"{folder / ADAPTER}"
        )
    return [folder, base]


def convert(inputs: list[Path], target: Path) -> None:
    """Merge an adapter with its base."""
    folder, base = inputs
    task = _task(folder)
    _check_memory(folder, base)
    names = ("peft", "transformers", "plackett._compat.transformers")
    peft, transformers, compat = (require(name, extra="lora") for name in names)
    labels = _labels(folder) if task.endswith("Classification") else None
    settings: Mapping[str, Any] = {} if labels is None else {"num_labels": labels}
    with compat.quiet():
        try:
            model = getattr(transformers, task).from_pretrained(
                base, local_files_only=True, dtype="auto", use_safetensors=True, **settings
            )
            merged = peft.PeftModel.from_pretrained(model, folder, local_files_only=True).merge_and_unload()
        except Exception as error:  # peft raises many kinds for an adapter that does not fit its base
            reason = one_line(error)[:300] or type(error).__name__
            raise CheckpointError(f"the adapter {folder} cannot be merged with its base {base}: {reason}") from error
        merged.save_pretrained(target)

    # Written before anything is linked, because a link would lead the writer to the base's own files.
    written = {path.name for path in target.iterdir()}
    link_files(base, target, weights=False, but=written)
    link_files(folder, target, weights=False, but={*written, ADAPTER})  # its tokenizer and settings override the base's

    # Some causal rerankers are known by their base's name only.
    config = read_json(target / CONFIG)
    replace_json(target / CONFIG, config | {"_name_or_path": repository_of(base) or base.resolve().name})


def _task(folder: Path) -> str:
    """Return the class of the model that an adapter changes."""
    name = read_json(folder / ADAPTER).get("task_type")
    task = _TASKS.get(str(name))
    if task is None:
        raise CheckpointError(
            f"{folder / ADAPTER} has the task_type {name!r}; the task of a reranker is {' or '.join(_TASKS)}"
        )
    return task


def _check_memory(folder: Path, base: Path) -> None:
    """Raise TooLargeError unless the base fits into memory in its stored precision, in which it is merged."""
    needed, available = sum(path.stat().st_size for path in base.glob("*.safetensors")), usable_memory()
    if available is not None and needed > available:
        raise TooLargeError(
            f"merging the adapter {folder} with its base {base} needs {gigabytes(needed)} of memory, and "
            f"{gigabytes(available)} are available; merge them once on a machine with more memory, with "
            f"CrossEncoder({str(folder)!r}).save_pretrained(FOLDER)",
            needed=needed,
            available=available,
        )


def _labels(folder: Path) -> int | None:
    """Return the number of labels of a head trained with the adapter; None without one."""
    for name, (_, entry, _) in headers(folder).items():
        if any(name.endswith(head) for head in _HEADS):
            return int(entry["shape"][0])
    return None
