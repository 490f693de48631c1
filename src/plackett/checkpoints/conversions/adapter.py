"""LoRA adapters, merged by peft into the weights of the base model that they name."""

from collections.abc import Callable
from pathlib import Path

from plackett._extras import require
from plackett.checkpoints.conversions.folders import headers, link_files
from plackett.checkpoints.jsons import read_json
from plackett.checkpoints.own_files import CONFIG
from plackett.errors import CheckpointError

ADAPTER = "adapter_config.json"
_TASKS = {"SEQ_CLS": "AutoModelForSequenceClassification", "CAUSAL_LM": "AutoModelForCausalLM"}
_HEADS = ("classifier.out_proj.weight", "classifier.weight", "score.weight")


def fits(folder: Path) -> bool:
    """Whether a folder contains an adapter."""
    return (folder / ADAPTER).is_file()


def inputs(folder: Path, find: Callable[[str], Path]) -> list[Path]:
    """Return the folder and its base's folder; any checkpoint name may name the base."""
    base = read_json(folder / ADAPTER).get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise CheckpointError(f"{folder / ADAPTER} names no base model (base_model_name_or_path)")
    return [folder, find(base)]


def convert(inputs: list[Path], target: Path) -> None:
    """Merge an adapter with its base."""
    folder, base = inputs
    config = read_json(folder / ADAPTER)
    task = _TASKS.get(str(config.get("task_type")))
    if task is None:
        raise CheckpointError(
            f"{folder / ADAPTER} is an adapter for the task {config.get('task_type')!r}; a reranker's task is "
            "SEQ_CLS or CAUSAL_LM"
        )
    peft, transformers = require("peft", extra="train"), require("transformers", extra="train")
    labels = _labels(folder) if task.endswith("Classification") else None
    settings = {} if labels is None else {"num_labels": labels}
    try:
        model = getattr(transformers, task).from_pretrained(base, local_files_only=True, dtype="auto", **settings)
        merged = peft.PeftModel.from_pretrained(model, folder, local_files_only=True).merge_and_unload()
        link_files(base, target, weights=False)
        (target / CONFIG).unlink(missing_ok=True)
        link_files(folder, target, weights=False)  # its tokenizer and settings override the base's
        (target / ADAPTER).unlink()
        merged.save_pretrained(target)
    except Exception as error:  # peft raises many kinds for an adapter that does not fit its base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(f"the adapter {folder} cannot be merged with its base {base}: {reason}") from error


def _labels(folder: Path) -> int | None:
    """Return the number of labels of a head trained with the adapter; None without one."""
    for name, (_, entry, _) in headers(folder).items():
        if any(name.endswith(head) for head in _HEADS):
            return int(entry["shape"][0])
    return None
