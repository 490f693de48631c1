"""The modules that `modules.json` of sentence-transformers lists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plackett.checkpoints.hub import inside
from plackett.checkpoints.jsons import parsed
from plackett.checkpoints.own_files import MODULES
from plackett.errors import CheckpointError


def read_modules(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of `modules.json`; none for a folder without it."""
    path = folder / MODULES
    modules = parsed(path) if path.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{path} does not contain a JSON list of objects")
    return modules


def class_of(module: Mapping[str, Any]) -> str:
    """Return the class of a module: without its package if it is sentence-transformers', else in full."""
    name = str(module.get("type", "?"))
    return name.rpartition(".")[2] if name.startswith("sentence_transformers.") else name


def folder_of(folder: Path, module: Mapping[str, Any]) -> Path:
    """Return the folder of a module. CheckpointError for one outside of `folder`."""
    path = str(module.get("path") or "")
    return inside(folder, path) if path else folder
