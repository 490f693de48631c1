"""Measure an installation without extras: its size, and the time to an import and to a first score.

    make small                                           # install the wheel in a new environment and measure it
    python -m benchmarks.small_install.run ENVIRONMENT   # a virtual environment; --json for figures

Sizes are the bytes of files, without pip and setuptools, which every virtual environment contains. pip compiles
bytecode during the installation; other installers do not. Times are those of whole processes, from start to end:
medians of --rounds runs after a warm-up, on the clock and of the processor.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

OWN = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}
TIMED = {
    "python": "pass",
    "import": "from plackett import CrossEncoder",
    "first score": "import plackett; plackett.CrossEncoder().predict([('calories in an egg', 'An egg has 72.')])",
}


def sizes(environment: Path) -> tuple[Counter[str], int]:
    """Return the bytes of each package, and of all bytecode."""
    packages: Counter[str] = Counter()
    bytecode = 0
    [site] = environment.glob("lib/python*/site-packages")
    for path in environment.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        package = path.relative_to(site).parts[0] if site in path.parents else "the environment itself"
        if package.partition("-")[0] in OWN:
            continue
        if path.suffix == ".pyc":
            bytecode += path.stat().st_size
        else:
            packages[package] += path.stat().st_size
    return packages, bytecode


def seconds(environment: Path, code: str, rounds: int) -> dict[str, float]:
    """Return the median seconds of a process that runs `code`, on the clock and of the processor."""
    command = [str(environment / "bin" / "python"), "-c", code]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clock, processor = [], []
    for _ in range(rounds + 1):
        start, used = time.perf_counter(), os.times()
        subprocess.run(command, check=True, env=clean)
        now = os.times()
        clock.append(time.perf_counter() - start)
        processor.append(now.children_user + now.children_system - used.children_user - used.children_system)
    return {"clock": statistics.median(clock[1:]), "processor": statistics.median(processor[1:])}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("environment", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    packages, bytecode = sizes(options.environment)
    found: dict[str, Any] = {
        "megabytes": sum(packages.values()) / 1e6,
        "megabytes_of_bytecode": bytecode / 1e6,
        "packages": {name: size / 1e6 for name, size in packages.most_common()},
        "seconds": {name: seconds(options.environment, code, options.rounds) for name, code in TIMED.items()},
    }
    if options.json:
        json.dump(found, sys.stdout)
        return
    print("| package | MB |\n|:---|---:|")
    for name, size in [(name, size) for name, size in found["packages"].items() if size >= 1]:
        print(f"| {name} | {size:.1f} |")
    print(f"| all, without bytecode | {found['megabytes']:.1f} |")
    print(f"| bytecode | {found['megabytes_of_bytecode']:.1f} |\n")
    print("| seconds, from the start of the process | clock | processor |\n|:---|---:|---:|")
    for name, taken in found["seconds"].items():
        print(f"| {name} | {taken['clock']:.3f} | {taken['processor']:.3f} |")


if __name__ == "__main__":
    main()
