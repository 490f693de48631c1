"""Engines as data: the requirements of each, and the files of a checkpoint that it runs.

Exported files have the names that sentence-transformers' backends and optimum expect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plackett.errors import SettingError

STORED_AS = {"fp32": "fp32", "bf16": "fp32", "int8": "int8"}
"""The precision to compute in -> the precision of the exported file: bf16 is computed from the fp32 file."""


@dataclass(frozen=True)
class EngineSpec:
    """One engine.

    module: has `load(checkpoint, settings) -> Engine`.
    packages: what it imports; `extra` installs them.
    precisions: the precisions that it computes in.
    rank: engines of a lower rank are faster.
    exports: precision of a file (a value of `STORED_AS`) -> the file and its companion files. An engine without
        exports runs a checkpoint's weights.
    export_packages: what exporting in a precision imports; the extra `export` installs them.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    extra: str
    precisions: tuple[str, ...]
    rank: int
    exports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    export_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def check(self, precision: str | None) -> None:
        """Raise SettingError for a precision that this engine does not support."""
        if precision is None or precision in self.precisions:
            return
        others = [spec for spec in ENGINES.values() if precision in spec.precisions]
        known = " or ".join(f"engine={spec.name!r}" for spec in others) or "another engine"
        raise SettingError(
            f"the engine {self.name} computes in {' or '.join(self.precisions)}, not in {precision}; use {known}"
            f"{_how_to_export(precision, others)}"
        )


def _how_to_export(precision: str, engines: Sequence[EngineSpec]) -> str:
    """Return the command to run first, for a precision that needs its own file."""
    found = next((spec.name for spec in engines if precision in spec.exports), None)
    if found is None or precision == "fp32":
        return ""
    command = f"plackett export CHECKPOINT --engine {found} --precision {precision} --calibration LISTS --output FOLDER"
    return f" on the output of {command}"


ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec(
            name="torch",
            module="plackett.engines.torch.engine",
            packages=("torch", "transformers"),
            extra="train",
            precisions=("fp32", "bf16"),
            rank=0,
        ),
        EngineSpec(
            name="onnx",
            module="plackett.engines.onnx",
            packages=("onnxruntime",),
            extra="train",  # part of the bare install
            precisions=("fp32", "int8"),
            rank=2,
            exports={"fp32": ("onnx/model.onnx",), "int8": ("onnx/model_int8.onnx",)},
            export_packages={"fp32": ("onnx",), "int8": ("onnx",)},
        ),
        EngineSpec(
            name="openvino",
            module="plackett.engines.openvino",
            packages=("openvino",),
            extra="openvino",
            precisions=("fp32", "bf16", "int8"),
            rank=1,
            exports={
                "fp32": ("openvino/openvino_model.xml", "openvino/openvino_model.bin"),
                "int8": ("openvino/openvino_model_int8.xml", "openvino/openvino_model_int8.bin"),
            },
            export_packages={"fp32": ("onnx", "openvino"), "int8": ("onnx", "openvino", "nncf")},
        ),
    )
}


def export_files() -> dict[tuple[str, str], tuple[str, ...]]:
    """Map (engine, precision of the file) to the file and its companion files."""
    return {(spec.name, stored): names for spec in ENGINES.values() for stored, names in spec.exports.items()}


def exports_of(folder: Path) -> list[tuple[str, str]]:
    """Return (engine, precision of the file) for every complete export in `folder`."""
    return [key for key, names in export_files().items() if all((folder / name).is_file() for name in names)]
