"""Peak memory of a process, and result files that record how they were measured.

`speed/peers.py` runs in environments without Plackett, so this module imports only the standard library at the top.
"""

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "onnxruntime",
    "openvino",
    "nncf",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


def peak_resident() -> int:
    """Return the peak memory of this process in MB.

    Linux only: `ru_maxrss` would start from the memory of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def provenance() -> dict[str, object]:
    """Return the commit, the processor and the versions that a result was measured with."""
    from plackett import _hardware as hardware

    return {
        "commit": _commit(),
        "processor": hardware.name(),
        "instructions": [name for name in hardware.RELEVANT if name in hardware.instructions()],
        "threads": hardware.usable_threads(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def write_result(path: Path, result: Mapping[str, object]) -> dict[str, Any]:
    """Write a result with its provenance to a JSON file, and return both together."""
    document = {**result, "provenance": provenance()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return document


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 client`, `8 clients`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
