"""Python code in a checkpoint's folder, which transformers runs to build models that it does not know.

Plackett runs none unless the user allows it for a local folder; its files are then logged with their hashes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plackett.checkpoints.heads import architectures_of
from plackett.checkpoints.hub import commit_of, repository_of
from plackett.checkpoints.own_files import CONFIG
from plackett.errors import CheckpointError

CLASSIFIER = "AutoModelForSequenceClassification"

# Families published with code before transformers supported them -> transformers' class for the same weights.
NATIVE = {
    "eurobert": "EuroBertForSequenceClassification",
    "gte": "GteForSequenceClassification",
    "nomic_bert": "NomicBertForSequenceClassification",
    "phi3": "Phi3ForSequenceClassification",
}


@dataclass(frozen=True)
class CodeFile:
    """One file of code."""

    name: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256})"


def is_native(config: Mapping[str, Any]) -> bool:
    """Whether transformers has its own class for what a configuration names code for."""
    return NATIVE.get(str(config.get("model_type"))) in architectures_of(config)


def code_of(folder: Path) -> tuple[CodeFile, ...]:
    """Return the Python files of a folder."""
    paths = sorted(path for path in folder.rglob("*.py") if path.is_file())
    return tuple(
        CodeFile(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths
    )


def trusted_code(folder: Path, auto_map: object) -> tuple[CodeFile, ...]:
    """Return the files that transformers may run. CheckpointError if any of the code is outside the user's folder."""
    if not isinstance(auto_map, dict) or not auto_map.get(CLASSIFIER):
        raise CheckpointError(
            f"{folder / CONFIG}: auto_map names no {CLASSIFIER}, so its code does not define a reranker"
        )
    if commit_of(folder):
        raise CheckpointError(
            f"trust_remote_code works only for a local folder: run hf download {repository_of(folder)} --local-dir "
            "FOLDER, read its code, and name the folder"
        )
    for name in sorted(str(value) for value in auto_map.values() if value):
        _check_in_folder(folder, name)
    return code_of(folder)


def _check_in_folder(folder: Path, name: str) -> None:
    """Raise CheckpointError for a class, `module.Class`, whose file is not in a folder."""
    if "--" in name:
        raise CheckpointError(
            f"{folder / CONFIG}: auto_map names code in another repository ({name}); copy its files into the folder, "
            "review them, and remove the repository from the names in auto_map"
        )
    if not (folder / f"{name.partition('.')[0]}.py").is_file():
        raise CheckpointError(f"{folder / CONFIG}: auto_map names {name}, but the folder has no such file")


def refused_code(folder: Path, name: str, auto_map: object) -> CheckpointError:
    """Return the error for code that the user has not trusted, or that belongs to a tokenizer."""
    if name != CONFIG:
        return CheckpointError(
            f"{folder / name} names code for the tokenizer (auto_map), which is never run: Plackett reads "
            "tokenizer.json. Remove auto_map if that file gives the same tokens"
        )
    files = ", ".join(map(str, code_of(folder))) or "none of it in the folder"
    advice = (
        "If you trust it, pass trust_remote_code=True (--trust-remote-code) and use the torch engine"
        if isinstance(auto_map, dict) and auto_map.get(CLASSIFIER)
        else f"It defines no {CLASSIFIER}, so Plackett cannot use it either: choose another model"
    )
    return CheckpointError(f"{folder / name} names code (auto_map), which is not run by default: {files}. {advice}")
