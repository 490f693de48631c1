"""Compare int8 with fp32 on your checkpoint and lists: quality of the ranking, and speed.

    python -m benchmarks.int8.run CHECKPOINT LISTS ... [--depth 100] [--rounds 5]

The checkpoint is exported to each engine in fp32 and int8. Each int8 export is compared with the same engine's fp32 on
the same candidates: nDCG@10, Kendall's tau, top-10 overlap, differences of logits. Speed is the ratio of processor
times of one thread over the first pairs of the first lists, the median of interleaved rounds in one process. LISTS are
files of judged lists or BEIR folders. Results: benchmarks/int8/results/int8.json and int8.md.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _checkpoints as checkpoints
from benchmarks._common import write_result
from plackett import CrossEncoder
from plackett.checkpoints.folder import find_folder
from plackett.evaluation import evaluate
from plackett.evaluation.agreement import agreement
from plackett.records import Collection
from plackett.retrieval.reranking import Candidates
from plackett.retrieval.sources import read_one
from plackett.tokenization.batches import WindowedPairs
from plackett.workflows.export import MEASURE, export

RESULTS = Path(__file__).parent / "results"
ENGINES, PRECISIONS = ("onnx", "openvino"), ("fp32", "int8")
TIMED = 200  # pairs

Way = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """Comparison of int8 with fp32 in one engine on one collection."""

    engine: str
    lists: str
    queries: int
    megabytes: tuple[float, float]
    ndcg: tuple[float, float]
    tau: float
    overlap: float | None
    mean: float
    largest: float
    speed: float


def export_all(checkpoint: str, work: Path) -> dict[Way, tuple[CrossEncoder, int]]:
    """Export and load each engine and precision with one thread; also return the bytes of its file.

    The export accepts any loss, because this benchmark measures it.
    """
    lists, found = str(checkpoints.one_list(work)), {}
    for engine, precision in product(ENGINES, PRECISIONS):
        output, coded = work / f"{engine}-{precision}", precision == "int8"
        calibration = lists if coded else None
        made = export(
            checkpoint, engine=engine, precision=precision, output=output, calibration=calibration, accept_loss=coded
        )
        found[engine, precision] = CrossEncoder(output, engine=engine, threads=1), made.facts.bytes
    return found


def seconds(encoders: Mapping[Way, CrossEncoder], pairs: WindowedPairs, rounds: int) -> dict[Way, float]:
    """Return this process's seconds for the pairs: medians of interleaved rounds, after a warm-up round."""
    times: dict[Way, list[float]] = {way: [] for way in encoders}
    for _, (way, encoder) in product(range(rounds + 1), encoders.items()):
        start = time.process_time()
        encoder.score_encoded(pairs)
        times[way].append(time.process_time() - start)
    return {way: statistics.median(of_way[1:]) for way, of_way in times.items()}


def first_pairs(encoder: CrossEncoder, collection: Collection, depth: int) -> WindowedPairs:
    """Return the first pairs of the collection."""
    run = sorted(collection.run, key=lambda scored: scored.query_id)[:TIMED]
    return Candidates.of(encoder, Collection("", collection.queries, collection.corpus, (), run), depth).encoded


def compare(encoders: Mapping[Way, CrossEncoder], collection: Collection, depth: int) -> dict[str, dict[str, Any]]:
    """Return, for each engine, the effect of int8 on its ranking of the collection."""
    candidates = Candidates.of(next(iter(encoders.values())), collection, depth)
    queries = [candidates.keys[index][0] for index in candidates.filled]

    def ndcg(logits: NDArray[np.float32]) -> float:
        return evaluate(candidates.run(logits[:, 0]), collection.qrels, [MEASURE])[MEASURE]

    found = {}
    for engine in ENGINES:
        exact, coded = (encoders[engine, precision].score_encoded(candidates.encoded) for precision in PRECISIONS)
        agreed = agreement(exact, coded, queries)
        found[engine] = {
            "queries": agreed.queries,
            "ndcg": (ndcg(exact), ndcg(coded)),
            "tau": agreed.tau,
            "overlap": agreed.overlap,
            "mean": agreed.mean,
            "largest": agreed.largest,
        }
    return found


def measure(checkpoint: str, names: Sequence[str], depth: int, rounds: int) -> list[Row]:
    """Measure all engines on all lists."""
    collections = [read_one(name, depth) for name in names]
    with tempfile.TemporaryDirectory() as work:
        ways = export_all(checkpoint, Path(work))
        encoders = {way: encoder for way, (encoder, _) in ways.items()}
        pairs = first_pairs(encoders["onnx", "fp32"], collections[0], depth)
        times = seconds(encoders, pairs, rounds)
        return [
            Row(
                engine=engine,
                lists="/".join(Path(name).parts[-2:]),  # files of collections often have the same name
                megabytes=(ways[engine, "fp32"][1] / 1e6, ways[engine, "int8"][1] / 1e6),
                speed=times[engine, "fp32"] / times[engine, "int8"],
                **figures,
            )
            for name, collection in zip(names, collections, strict=True)
            for engine, figures in compare(encoders, collection, depth).items()
        ]


def document(checkpoint: str, rows: Sequence[Row], rounds: int) -> dict[str, object]:
    """Return the result file."""
    return {
        "checkpoint": description(checkpoint),
        "rounds": rounds,
        "rows": [asdict(row) for row in rows],
    }


def description(checkpoint: str) -> str:
    """Return the name and the size of a checkpoint."""
    config = json.loads((find_folder(checkpoint, revision=None, local_files_only=True) / "config.json").read_text())
    return f"{Path(checkpoint).name}: {config['num_hidden_layers']} layers of {config['hidden_size']}"


def table(found: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return the results as Markdown."""
    known = found["provenance"]
    lines = [
        "# int8 compared with fp32",
        "",
        f"{found['checkpoint']}. {known['processor']} ({', '.join(known['instructions'])}), one thread; "
        + ", ".join(f"{name} {known['versions'][name]}" for name in ("onnxruntime", "openvino", "nncf"))
        + ". Speed is the ratio of int8 to fp32 in the same engine.",
        "",
        "| lists | engine | size, MB | speed | nDCG@10 | tau | top-10 overlap | logits: mean, largest difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        overlap = "-" if row.overlap is None else f"{row.overlap:.3f}"
        lines.append(
            f"| {row.lists}, {row.queries} queries | {row.engine} | {row.megabytes[0]:.1f} to {row.megabytes[1]:.1f} "
            f"| {row.speed:.2f} | {row.ndcg[0]:.4f} to {row.ndcg[1]:.4f} | {row.tau:.3f} | {overlap} "
            f"| {row.mean:.3f}, {row.largest:.2f} |"
        )
    return "\n".join([*lines, "", "Made by `python -m benchmarks.int8.run`.", ""])


def main() -> None:
    """Measure, write the results and print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("lists", nargs="+")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = measure(options.checkpoint, options.lists, options.depth, options.rounds)
    found = write_result(RESULTS / "int8.json", document(options.checkpoint, rows, options.rounds))
    (RESULTS / "int8.md").write_text(table(found, rows), encoding="utf-8")
    print(table(found, rows))


if __name__ == "__main__":
    main()
