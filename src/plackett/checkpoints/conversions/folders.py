"""Code shared by conversions: modules of sentence-transformers, links to weights, and small new weights."""

import json
import os
import shutil
import struct
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from plackett.checkpoints.jsons import write_json
from plackett.checkpoints.modules import class_of, folder_of, read_modules
from plackett.checkpoints.own_files import WEIGHTS, WEIGHTS_INDEX
from plackett.checkpoints.settings import is_chain
from plackett.errors import CheckpointError

_NUMBERS = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def modules_of(folder: Path) -> list[tuple[str, Path]]:
    """Return class name and folder of each module of a sentence-transformers cross-encoder; empty for other folders."""
    if not is_chain(folder):
        return []
    return [(class_of(module), folder_of(folder, module)) for module in read_modules(folder)]


def link_files(source: Path, target: Path, *, weights: bool = True, but: Container[str] = ()) -> None:
    """Link the entries of a folder, replacing entries of the same name; copy files where links are not possible.

    Entries whose names are in `but` are left out.
    """
    for path in sorted(source.iterdir()):
        is_weight = path.suffix in (".safetensors", ".bin") or path.name.endswith(".safetensors.index.json")
        if (is_weight and not weights) or path.name.startswith(".") or path.name in but:
            continue
        (target / path.name).unlink(missing_ok=True)
        try:
            os.symlink(path.resolve(), target / path.name)
        except OSError:  # file systems without links
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target / path.name)


def unlink(path: Path) -> None:
    """Replace a link with a copy, so that writing to it does not change the folder that it points to."""
    if path.is_symlink():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def replace_json(path: Path, content: object) -> None:
    """Write a JSON file, replacing a link whose target must not change."""
    path.unlink(missing_ok=True)
    write_json(path, content)


def headers(folder: Path) -> dict[str, tuple[Path, Mapping[str, Any], int]]:
    """Map each weight's name to its file, its entry in the header, and the offset of the file's data."""
    found: dict[str, tuple[Path, Mapping[str, Any], int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        header, start = _header(path)
        found |= {name: (path, entry, start) for name, entry in header.items() if name != "__metadata__"}
    return found


def rows_of(folder: Path, name: str, rows: list[int]) -> NDArray[np.float32]:
    """Return some rows of a weight matrix as float32, (rows, columns). CheckpointError for missing ones."""
    entry = headers(folder).get(name)
    if entry is None:
        raise CheckpointError(f"{folder} has no weights {name}")
    path, tensor, start = entry
    number = _NUMBERS.get(tensor["dtype"])
    if number is None or len(tensor["shape"]) != 2 or max(rows) >= tensor["shape"][0]:
        raise CheckpointError(
            f"{path}: {name} is {tensor['dtype']} with the shape {tensor['shape']}, so it has no row {max(rows)}"
        )
    stored = np.memmap(path, number, "r", start + tensor["data_offsets"][0], tuple(tensor["shape"]))
    found = stored[rows]
    if tensor["dtype"] == "BF16":  # the upper half of a float32
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32)


def add_weights(folder: Path, own: Mapping[str, NDArray[np.float32]], file: str) -> None:
    """Add small weights to a folder of linked ones, in a separate file, with an index of all."""
    single = folder / WEIGHTS
    if single.exists():
        single.rename(folder / "model-base.safetensors")
    for path in folder.glob("*.safetensors"):
        if not path.name.startswith("model"):
            path.rename(folder / f"model-{path.name}")
    (folder / WEIGHTS_INDEX).unlink(missing_ok=True)
    names = {name: path.name for name, (path, _, _) in headers(folder).items()}
    save_file(dict(own), folder / file)
    write_json(folder / WEIGHTS_INDEX, {"metadata": {}, "weight_map": names | dict.fromkeys(own, file)})


def copy_renamed(source: Path, target: Path, names: Mapping[str, str]) -> None:
    """Copy a safetensors file with renamed weights, whose bytes stay the same."""
    header, start = _header(source)
    renamed = {names.get(name, name): entry for name, entry in header.items()}
    content = json.dumps(renamed).encode()
    content += b" " * (-len(content) % 8)
    with source.open("rb") as read, target.open("wb") as written:
        written.write(struct.pack("<Q", len(content)) + content)
        read.seek(start)
        shutil.copyfileobj(read, written, 1 << 24)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and the offset of its data."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
    except (OSError, ValueError, struct.error, MemoryError) as error:
        raise CheckpointError(f"{path} is damaged or incomplete; download or save it again") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged or incomplete; download or save it again")
    return header, 8 + length
