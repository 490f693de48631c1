"""Compare the speed of reranking with other libraries on the same pairs, checkpoint and cores.

    make bench          or, with the environments that exist:
    python -m benchmarks.speed.run [--rounds 5] [--queries 2] [--layers 6 --layers 12] [--only NAME ...]
        [--onnx PYTHON] [--openvino PYTHON] [--rerankers PYTHON] [--work FOLDER]

Each way of reranking (library, engine and precision) is a separate process, which scores one query with its documents
at a time. In each round, every process scores all queries in turn. `--onnx` and `--openvino` name interpreters with
sentence-transformers and these exports. `--rerankers` names one with FlashRank and fastembed, which run
sentence-transformers' ONNX graph. A way without an environment or an export is left out, with a note. The ONNX export
is that of sentence-transformers 5.2: its exporter needs transformers 4, and sentence-transformers 6 needs transformers
5.

The workloads come from PLACKETT_DATA if it is set, and from Python's documentation otherwise. The ceiling is measured
in the same rounds. "share" is the share of the ceiling: the work of the model without padding, with the last layer for
the first token only, divided by the seconds and the ceiling. "share, whole" counts the last layer for all tokens.
Results: benchmarks/speed/results/6-layers.json, .md and .png, and the same for 12 layers.
"""

import argparse
import dataclasses
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from benchmarks import _checkpoints as checkpoints
from benchmarks._common import write_result
from benchmarks.speed import report
from benchmarks.speed.ceiling import ceiling
from plackett._hardware import usable_threads
from plackett.checkpoints.folder import read_checkpoint
from plackett.tokenization.tokenizer import PairTokenizer
from plackett.workflows.demo.pydocs import read_objects

ROOT = Path(__file__).parents[2]
RESULT = Path(__file__).parent / "results" / "6-layers.json"
PEERS = ("-m", "benchmarks.speed.peers")
DEFAULT = "sentence_transformers:torch:fp32"
OURS = [
    *(f"plackett:torch:{precision}" for precision in ("fp32", "bf16")),
    *(f"plackett:onnx:{precision}" for precision in ("fp32", "int8")),
    *(f"plackett:openvino:{precision}" for precision in ("fp32", "bf16", "int8")),
]
THEIRS = [
    DEFAULT,
    "sentence_transformers:torch:bf16",
    "sentence_transformers:onnx:fp32",
    "sentence_transformers:onnx:int8",
    "sentence_transformers:openvino:fp32",
    "sentence_transformers:openvino:int8",
    "flashrank:onnx:fp32",
    "fastembed:onnx:fp32",
]

Request = dict[str, Any]


class Way:
    """One way of reranking: a process, and its measurements."""

    def __init__(self, name: str, python: str, folder: Path) -> None:
        self.name, self.seconds, self.scores, self.peak = name, list[list[float]](), list[list[float]](), 0.0
        self.version = ""
        self._log = (folder / f"{name.replace(':', '-')}.log").open("w")
        self._process = subprocess.Popen(
            [python, *PEERS, name, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment(),
        )

    def ask(self, request: Request) -> dict[str, Any]:
        """Score one query. Raises RuntimeError with the last line of the log if the process has ended."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            lines = Path(self._log.name).read_text().strip().splitlines()
            raise RuntimeError(lines[-1] if lines else "ended without a message")
        answer: dict[str, Any] = json.loads(line)
        self.peak, self.version = answer["peak MB"], answer["version"]
        return answer

    def round(self, requests: Sequence[Request]) -> None:
        """Score all queries once."""
        answers = [self.ask(request) for request in requests]
        self.seconds.append([answer["seconds"] for answer in answers])
        self.scores = [answer["scores"] for answer in answers]

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
        self._log.close()


@dataclasses.dataclass(frozen=True)
class Started:
    """The ways that run, the seconds to their first scores, and why others do not run."""

    ways: list[Way]
    cold: dict[str, float]
    notes: dict[str, str]


def environment() -> dict[str, str]:
    """Return the environment of every process: no network, all threads of this process, and these benchmarks."""
    threads = str(usable_threads())
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    return os.environ | offline | {"OMP_NUM_THREADS": threads, "PYTHONPATH": path}


def workload(kind: str, queries: int) -> list[Request]:
    """Return queries with 100 `short` or 20 `long` documents each."""
    data = Path(os.environ.get("PLACKETT_DATA", "/nowhere")) / "workload" / f"{kind}.jsonl.gz"
    documents = 100 if kind == "short" else 20
    if data.is_file():
        with gzip.open(data, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for _, line in zip(range(queries), lines, strict=False)]
        return [{"query": row["query"], "documents": row["docs"][:documents]} for row in rows]
    objects = read_objects()
    texts = [item.document for item in objects]
    if kind == "long":
        texts = [" ".join(texts[start : start + 6]) for start in range(0, len(texts), 6)]
    starts = range(0, queries * documents, documents)
    return [{"query": objects[start].query, "documents": texts[start % len(texts) :][:documents]} for start in starts]


def work(folder: Path, requests: Sequence[Request]) -> tuple[dict[str, float], dict[str, int]]:
    """Return GFLOP of all requests, as needed and with a whole last layer, and counts of pairs and tokens."""
    config = json.loads((folder / "config.json").read_text())
    hidden, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    pairs = [(request["query"], document) for request in requests for document in request["documents"]]
    lengths = PairTokenizer.from_checkpoint(read_checkpoint(folder)).encode(pairs).lengths.astype(float)
    products = 2 * hidden * (4 * hidden + 2 * inner)  # of a token in a layer
    layer = lengths * (products + 4 * hidden * lengths)
    last = products + 2 * hidden * config["num_attention_heads"] * 2 * lengths  # of the first token
    flop = {"needed": ((layers - 1) * layer + last).sum(), "whole": (layers * layer).sum()}
    return {name: value / 1e9 for name, value in flop.items()}, {"pairs": len(pairs), "tokens": int(lengths.sum())}


def start(names: Sequence[str], pythons: Mapping[str, str], folder: Path, requests: Sequence[Request]) -> Started:
    """Start each way, and measure the time to its first score."""
    ways, cold, notes = list[Way](), dict[str, float](), dict[str, str]()
    first = {"query": requests[0]["query"], "documents": requests[0]["documents"][:1]}
    for name in names:
        python = pythons.get(name, "")
        place = folder / ("ours" if name.startswith("plackett") else "theirs")
        if not python:
            notes[name] = "its environment does not exist: run make peers"
            continue
        if missing := prepare(name, python, place):
            notes[name] = missing
            continue
        began = time.perf_counter()
        way = Way(name, python, place)
        try:
            way.ask(first)
        except RuntimeError as error:
            notes[name] = str(error)
            way.close()
            continue
        cold[name] = time.perf_counter() - began
        ways.append(way)
    return Started(ways, cold, notes)


def prepare(name: str, python: str, folder: Path) -> str:
    """Make the export that a way needs, and return the error message, or an empty string."""
    library, engine, _ = name.split(":")
    if engine == "torch" or library in ("flashrank", "fastembed"):
        return ""
    command = [python, *PEERS, name, str(folder), "prepare"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def calibration(folder: Path) -> None:
    """Write lists and texts for calibrating int8: Python's documentation, without the workload."""
    objects = read_objects()[:400]
    texts = [item.document for item in objects]
    lists = [
        {"query": item.query, "docs": texts[start : start + 10], "labels": [1] + 9 * [0]}
        for start, item in enumerate(objects[:100])
    ]
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "calibration" / "train.jsonl", [{"text": text} for text in texts])
    _write_lines(folder / "calibration.jsonl", lists)


def _write_lines(path: Path, rows: Sequence[Request]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def row_of(way: Way, started: Started, reference: Sequence[Sequence[float]], facts: Mapping[str, Any]) -> Request:
    """Return one row of the results."""
    flat = [value for one in way.seconds for value in one]
    total = statistics.median(sum(one) for one in way.seconds)
    precision = way.name.rpartition(":")[2]
    rate = facts["ceiling"].get(precision)
    differences = [np.abs(np.subtract(*both)).max() for both in zip(way.scores, reference, strict=True)]
    return {
        "name": way.name,
        "version": way.version,
        "pairs/s": round(facts["pairs"] / total, 1),
        "ms for 100 documents": round(100_000 * total / facts["pairs"], 1),
        "p50 ms": round(1000 * float(np.quantile(flat, 0.5)), 1),
        "p95 ms": round(1000 * float(np.quantile(flat, 0.95)), 1),
        "peak MB": round(way.peak),
        "cold start s": round(started.cold[way.name], 2),
        "max difference": float(f"{max(differences):.2g}"),
        "tau": round(float(np.mean([kendalltau(a, b)[0] for a, b in zip(way.scores, reference, strict=True)])), 4),
        "top 10": round(float(np.mean([_overlap(*both) for both in zip(way.scores, reference, strict=True)])), 3),
        "share": round(facts["GFLOP"]["needed"] / total / rate, 3) if rate else None,
        "share, whole": round(facts["GFLOP"]["whole"] / total / rate, 3) if rate else None,
    }


def _overlap(scores: Sequence[float], reference: Sequence[float]) -> float:
    best = [set(np.argsort(-np.array(values), kind="stable")[:10].tolist()) for values in (scores, reference)]
    return len(best[0] & best[1]) / len(best[1])


def measure(folder: Path, layers: int, kind: str, options: argparse.Namespace) -> Request:
    """Measure one checkpoint on one workload."""
    for place in ("ours", "theirs"):
        checkpoints.save(folder / place, layers=layers)
        calibration(folder / place)
    requests = workload(kind, options.queries if kind == "short" else 1)
    gflop, counts = work(folder / "ours", requests)

    started = start(chosen(options.only), pythons(options), folder, requests)
    try:
        rates = race(started.ways, requests, options.rounds, f"{layers} layers, {kind}")
    finally:
        for way in started.ways:
            way.close()

    facts = {**counts, "GFLOP": {name: round(value, 1) for name, value in gflop.items()}, "ceiling": rates}
    return {
        "layers": layers,
        "workload": kind,
        "queries": len(requests),
        **facts,
        "ways": compared(started, facts),
        "notes": started.notes,
    }


def chosen(only: Sequence[str] | None) -> list[str]:
    """Return the libraries to measure: sentence-transformers' default and those in `only`, or all."""
    return [name for name in [*THEIRS, *OURS] if name == DEFAULT or not only or name in only]


def race(ways: Sequence[Way], requests: Sequence[Request], rounds: int, title: str) -> dict[str, float]:
    """Run all ways in turn, after a warm-up round, and return the median ceilings of the rounds."""
    for way in ways:
        way.round(requests)
        way.seconds.clear()

    ceilings = []
    for number in range(rounds):
        ceilings.append(ceiling(384, 1536))
        for way in ways:
            way.round(requests)
        print(f"{title}: round {number + 1} of {rounds}", file=sys.stderr)
    return {name: round(statistics.median(one[name] for one in ceilings), 1) for name in ceilings[0]}


def compared(started: Started, facts: Mapping[str, Any]) -> list[Request]:
    """Return a row for each way, with its ratio to sentence-transformers' default."""
    reference = next(way.scores for way in started.ways if way.name == DEFAULT)
    rows = [row_of(way, started, reference, facts) for way in started.ways]
    default = next(row["pairs/s"] for row in rows if row["name"] == DEFAULT)
    return [row | {"ratio": round(row["pairs/s"] / default, 2)} for row in rows]


def pythons(options: argparse.Namespace) -> dict[str, str]:
    """Return the interpreter of each way: this one, or that of another environment."""
    of_engine = {"onnx": options.onnx, "openvino": options.openvino}
    of_library = {"flashrank": options.rerankers, "fastembed": options.rerankers, "plackett": sys.executable}
    here = {DEFAULT, "sentence_transformers:torch:bf16"}
    found = {}
    for name in THEIRS:
        library, engine, _ = name.split(":")
        found[name] = sys.executable if name in here else of_library.get(library, of_engine.get(engine))
    found |= dict.fromkeys(OURS, sys.executable)
    return {name: str(python) for name, python in found.items() if python and Path(python).exists()}


def main() -> None:
    """Measure all checkpoints and workloads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=2)
    parser.add_argument("--layers", type=int, action="append")
    parser.add_argument("--workload", action="append", choices=["short", "long"])
    parser.add_argument("--only", action="append")
    parser.add_argument("--onnx")
    parser.add_argument("--openvino")
    parser.add_argument("--rerankers")
    parser.add_argument("--work", type=Path, default=Path("/tmp/plackett-speed"))
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(usable_threads())
    results = []
    for layers in options.layers or [6, 12]:
        for kind in options.workload or ["short", "long"]:
            results.append(measure(options.work / f"{layers}-layers", layers, kind, options))
            print(report.table(results[-1]), flush=True)
    document = write_result(options.output, {"rounds": options.rounds, "results": results})
    options.output.with_suffix(".md").write_text(report.page(document))
    report.plot(results, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
