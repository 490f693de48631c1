"""Check that memory stops growing: call `rank` with random shapes and record the resident memory of the process.

    python -m benchmarks.resident_memory.run [torch|onnx|openvino] [--precision P] [--ranks 10000] [--checkpoint FOLDER]

Each call has a random number of documents of random lengths, up to the token limit, so engines meet thousands of
shapes. This reveals kernels that are compiled and kept for each shape, and arenas that only grow. The plateau is the
median between 10% and 20% of the calls. The exit code is 1 if the memory is ever more than 10% above it afterwards. The
checkpoint is the first two layers of all-MiniLM-L6-v2 with a new head: kernels depend on widths and lengths, not on
depth. Results: benchmarks/resident_memory/results/resident_memory.json, one entry per engine and precision.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import _checkpoints as checkpoints
from benchmarks._common import provenance
from plackett import CrossEncoder

RESULT = Path(__file__).parent / "results" / "resident_memory.json"
PAGE = 4096 / 1e6
MOST_DOCUMENTS, LONGEST, LAYERS = 12, 400, 2


def resident() -> float:
    """Return the current resident memory of this process in MB, from Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def requests(ranks: int, seed: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Yield queries with documents. Sizes are uniform in their logarithm, because most requests are small."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(1, 7))) for _ in range(5000)]

    def text(longest: int) -> str:
        return " ".join(draw.choices(words, k=round(longest ** draw.random())))

    for _ in range(ranks):
        yield text(20), [text(LONGEST) for _ in range(round(MOST_DOCUMENTS ** draw.random()))]


def watch(encoder: CrossEncoder, ranks: int) -> list[float]:
    """Return the memory at the start and after every hundredth of the calls."""
    every = max(1, ranks // 100)
    samples = [resident()]
    for number, (query, documents) in enumerate(requests(ranks), start=1):
        encoder.rank(query, documents)
        if number % every == 0:
            samples.append(resident())
    return samples


def measure(engine: str, precision: str | None, ranks: int, folder: Path) -> dict[str, Any]:
    """Return one entry of the results."""
    encoder = CrossEncoder(folder, engine=engine, device="cpu" if engine == "torch" else None, precision=precision)
    start = time.perf_counter()
    samples = watch(encoder, ranks)
    tenth = len(samples) // 10
    plateau = statistics.median(samples[tenth : 2 * tenth + 1])
    highest = max(samples[2 * tenth :])
    return {
        "engine": engine,
        "precision": precision or "fp32",
        "ranks": ranks,
        "provenance": provenance(),
        "seconds": round(time.perf_counter() - start),
        "plateau MB": round(plateau, 1),
        "highest MB afterwards": round(highest, 1),
        "growth": round(highest / plateau - 1, 4),
        "MB": [round(sample, 1) for sample in samples],
    }


def note(entry: dict[str, Any]) -> None:
    """Write the entry, and replace an earlier one of the same engine and precision."""
    entries = json.loads(RESULT.read_text()) if RESULT.is_file() else []
    same = [entry["engine"], entry["precision"]]
    entries = [other for other in entries if [other["engine"], other["precision"]] != same]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([*entries, entry]) + "\n")


def main() -> None:
    """Measure one engine, and write the result if the run is long enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", nargs="?", default="torch")
    parser.add_argument("--precision")
    parser.add_argument("--ranks", type=int, default=10_000)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.checkpoint or checkpoints.save(Path(temporary) / "model", layers=LAYERS)
        if options.engine != "torch":
            precision, lists = options.precision or "fp32", checkpoints.one_list(Path(temporary))
            if missing := checkpoints.export(folder, options.engine, precision, lists):
                sys.exit(missing)
        entry = measure(options.engine, options.precision, options.ranks, folder)
    if options.ranks >= 10_000:
        note(entry)
    print(json.dumps({name: value for name, value in entry.items() if name != "MB"}))
    sys.exit(entry["growth"] > 0.1)


if __name__ == "__main__":
    main()
