"""Where the exported engines of a checkpoint are: files beside the weights, or in their place.

The names are those of sentence-transformers and optimum, whose backends find them.
"""

from collections.abc import Sequence
from pathlib import Path

# (engine, precision of the file) -> file, and the one that belongs to it.
EXPORTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("onnx", "fp32"): ("onnx/model.onnx",),
    ("onnx", "int8"): ("onnx/model_int8.onnx",),
    ("openvino", "fp32"): ("openvino/openvino_model.xml", "openvino/openvino_model.bin"),
    ("openvino", "int8"): ("openvino/openvino_model_int8.xml", "openvino/openvino_model_int8.bin"),
}

# OpenVINO computes in bf16 from the fp32 file.
STORED_AS = {"fp32": "fp32", "bf16": "fp32", "int8": "int8"}


def exports_of(folder: Path) -> list[tuple[str, str]]:
    """(engine, precision of the file) of every export that is there with all of its files."""
    return [key for key, names in EXPORTS.items() if is_whole(folder, names)]


def is_whole(folder: Path, names: Sequence[str]) -> bool:
    """Whether all files of an export are there."""
    return all((folder / name).is_file() for name in names)
