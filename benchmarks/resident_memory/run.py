"""Does memory stop growing? Many ranks of random shapes, and the resident memory of the process along the way.

    python -m benchmarks.resident_memory.run [torch|onnx|openvino] [--precision P] [--ranks 10000] [--checkpoint FOLDER]

Every rank has a random number of documents of random lengths, up to the token limit, so that engines meet thousands of
shapes: kernels that are compiled for each and kept, and arenas that only grow, show. The plateau is the median between
10 % and 20 % of the ranks; exit code 1 where the memory is ever more than 10 % above it afterwards. The checkpoint is
all-MiniLM-L6-v2 under a new head, its first two layers: kernels hang on widths and lengths, not on depth. Results stand
in benchmarks/resident_memory/results/resident_memory.json, an entry for each engine and precision.
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
    """Megabytes of this process in memory now, as Linux tells."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def requests(ranks: int, seed: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Queries with documents: sizes drawn by their logarithm, as most requests are small and some are not."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(1, 7))) for _ in range(5000)]

    def text(longest: int) -> str:
        return " ".join(draw.choices(words, k=round(longest ** draw.random())))

    for _ in range(ranks):
        yield text(20), [text(LONGEST) for _ in range(round(MOST_DOCUMENTS ** draw.random()))]


def watch(encoder: CrossEncoder, ranks: int) -> list[float]:
    """Memory at the start and after every hundredth of the ranks."""
    every = max(1, ranks // 100)
    samples = [resident()]
    for number, (query, documents) in enumerate(requests(ranks), start=1):
        encoder.rank(query, documents)
        if number % every == 0:
            samples.append(resident())
    return samples


def measure(engine: str, precision: str | None, ranks: int, folder: Path) -> dict[str, Any]:
    """One entry of the results."""
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
    """Put the entry in the place of the earlier one of its engine and precision."""
    entries = json.loads(RESULT.read_text()) if RESULT.is_file() else []
    same = [entry["engine"], entry["precision"]]
    entries = [other for other in entries if [other["engine"], other["precision"]] != same]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([*entries, entry]) + "\n")


def main() -> None:
    """Measure one engine; note it where the ranks are as many as the claim says."""
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
