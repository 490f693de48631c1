"""The JSON files of a checkpoint: read with errors that name the file, written reproducibly."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plackett.errors import CheckpointError


def parsed(path: Path) -> Any:
    """Return the content of a JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read; the checkpoint may be incomplete: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    value = parsed(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not contain a JSON object")
    return value


def read_optional(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or an empty one if the file does not exist."""
    return read_json(path) if path.is_file() else {}


def write_json(path: Path, value: object) -> None:
    """Write a value with sorted keys."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def whole(config: Mapping[str, Any], key: str, default: int | None = None) -> int | None:
    """Return the whole number at a key; None if it is null."""
    value = config.get(key, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise CheckpointError(f"a configuration has {key} = {str(value)[:40]!r}, which is not a whole number")
    return value
