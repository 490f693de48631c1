"""A report on what is installed, what would be faster, and what is misconfigured, without heavy imports."""

import difflib
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from plackett import _hardware as hardware
from plackett._extras import is_installed
from plackett.workflows.info import Info, read_info

Status = Literal["ok", "faster", "problem"]
PROBLEM: Status = "problem"

# Extra -> the modules that it installs, and their purpose.
EXTRAS = {
    "train": (("torch", "transformers", "ir_measures", "bm25s"), "training and evaluation"),
    "openvino": (("openvino",), "the engine openvino"),
    "serve": (("starlette", "uvicorn", "prometheus_client"), "the server"),
    "export": (("onnx", "nncf", "onnxscript"), "exports"),
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Finding:
    """One line of the report. `advice` is what to type or change, empty if there is nothing to do."""

    status: Status
    topic: str
    message: str
    advice: str = ""


def examine(environment: Mapping[str, str], known: Collection[str]) -> list[Finding]:
    """Examine this installation, this machine and the environment; `known` are the variables that have an effect."""
    info = read_info()
    found = [finding for check in CHECKS for finding in check(info, environment)]
    return [*found, *_mistyped(environment, known)]


def _installed(info: Info, _environment: Mapping[str, str]) -> Iterator[Finding]:
    yield Finding("ok", "plackett", f"{info.versions['plackett']} on Python {info.versions['python']}, {info.system}")
    for extra, (modules, purpose) in EXTRAS.items():
        missing = [module for module in modules if not is_installed(module)]
        if not missing:
            yield Finding("ok", f"extra {extra}", f"installed: {purpose}")
        elif len(missing) < len(modules):
            install = f"pip install 'plackett[{extra}]'"
            yield Finding(PROBLEM, f"extra {extra}", f"incomplete: {', '.join(missing)} missing", install)


def _embedded_model(info: Info, _environment: Mapping[str, str]) -> Iterator[Finding]:
    if Path(info.default_model).is_dir():
        yield Finding("ok", "embedded model", info.default_model)
    else:
        advice = "pip install --force-reinstall --no-deps plackett"
        yield Finding(PROBLEM, "embedded model", info.default_model, advice)


def _conflicts(_info: Info, _environment: Mapping[str, str]) -> Iterator[Finding]:
    """Find several builds of onnxruntime, which overwrite each other's files, and releases that are too old."""
    builds = [name for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino") if _has(name)]
    if len(builds) > 1:
        advice = f"pip uninstall {' '.join(builds)}; pip install onnxruntime"
        yield Finding(PROBLEM, "onnxruntime", f"several builds are installed: {', '.join(builds)}", advice)
    for name in _missing_requirements():
        yield Finding(PROBLEM, "requirements", f"{name} is not installed", f"pip install {name}")


def _missing_requirements() -> Iterator[str]:
    for requirement in requires("plackett") or ():
        name = requirement.partition(";")[0].split(">")[0].split("=")[0].strip()
        if "extra ==" not in requirement and not _has(name):
            yield name


def _has(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _speed(info: Info, _environment: Mapping[str, str]) -> Iterator[Finding]:
    int8 = {"avx512_vnni", "avx_vnni", "amx_int8"} & hardware.instructions()
    found = " ".join(info.instructions) or "not known"
    yield Finding("ok", "processor", f"{info.processor}, {info.threads} threads, instructions: {found}")
    if not is_installed("openvino") and platform.machine().lower() in ("x86_64", "amd64"):
        message = "OpenVINO is the fastest engine on most x86 processors"
        yield Finding("faster", "openvino", message, "pip install 'plackett[openvino]', then use an OpenVINO export")
    if info.bf16:
        message = "this processor has bf16 instructions, about 1.7 times as fast as fp32"
        yield Finding("faster", "bf16", message, 'CrossEncoder(..., precision="bf16")')
    if int8:
        message = f"this processor has {', '.join(sorted(int8))}: int8 exports are several times as fast as fp32"
        export = "plackett export MODEL --engine onnx --precision int8 --calibration LISTS"
        yield Finding("faster", "int8", message, export)
    cores = os.cpu_count() or info.threads
    if info.threads < cores:
        message = f"this process may use {info.threads} of {cores} processors"
        yield Finding("faster", "threads", message, "raise the container's CPU quota or the affinity")


def _variables(info: Info, environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in THREADS:
        value = environment.get(name, "")
        if value.isdecimal() and int(value) < info.threads:
            yield Finding("faster", name, f"is {value}; {info.threads} threads are available", f"unset {name}")
    if environment.get("TOKENIZERS_PARALLELISM", "").lower() in ("false", "0", "off"):
        advice = "unset TOKENIZERS_PARALLELISM"
        yield Finding("faster", "TOKENIZERS_PARALLELISM", "is off: texts are tokenised by one thread", advice)
    if environment.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield Finding("ok", "HF_HUB_OFFLINE", "is set: models are read from the Hub's cache only")


def _mistyped(environment: Mapping[str, str], known: Collection[str]) -> Iterator[Finding]:
    for name in sorted(environment):
        if not name.startswith("PLACKETT_") or name in known:
            continue
        for near in difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8):
            yield Finding(PROBLEM, name, "is not a variable of Plackett", f"did you mean {near}?")


CHECKS: tuple[Callable[[Info, Mapping[str, str]], Iterator[Finding]], ...] = (
    _installed,
    _embedded_model,
    _conflicts,
    _speed,
    _variables,
)
