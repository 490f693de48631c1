"""The numbers of sentence-transformers' evaluators CrossEncoderRerankingEvaluator and CrossEncoderNanoBEIREvaluator.

They differ from trec_eval's: documents are told apart by their text, grades above 0 are all 1, `map` goes over the full
list, and ties count in three ways. docs/evaluate.md says where this flatters. Scores are those of `predict`, with the
activation of the checkpoint, which can make ties of logits.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plackett.cross_encoder import CrossEncoder
from plackett.errors import DataError
from plackett.ranking import best_first, by_query, check_known, judged_only
from plackett.records import Collection

Metrics = Mapping[str, float]  # "map", "mrr@10", "ndcg@10", and each with "base_"
Array = NDArray[np.float64]

CUTOFF = 10  # of reciprocal rank and nDCG


@dataclass(frozen=True)
class Sample:
    """One query: the documents to score with their relevance, and the relevance in the order of the first stage."""

    query: str
    documents: tuple[str, ...]
    relevant: tuple[bool, ...]
    first_stage: tuple[bool, ...]


def samples(collection: Collection, *, depth: int = 100, always_rerank_positives: bool = True) -> list[Sample]:
    """The queries that have candidates.

    With `always_rerank_positives` all relevant documents are scored, retrieved or not, before the others; else the
    candidates as they are. In the first stage's order those that were not retrieved stand at the end, either way,
    unless none was retrieved: then the list is without a relevant one.
    """
    judged, _ = judged_only(collection)
    positives: dict[str, list[str]] = {}
    for qrel in judged.qrels:
        if qrel.relevance > 0:
            positives.setdefault(qrel.query_id, []).append(qrel.doc_id)
    runs = {query_id: best_first(candidates)[:depth] for query_id, candidates in by_query(judged.run).items()}
    needed = [scored.doc_id for candidates in runs.values() for scored in candidates]
    needed += [doc_id for query_id in runs for doc_id in positives.get(query_id, ())]
    check_known(needed, judged.corpus, f"documents have no text in {judged.name}")
    found = []
    for query_id, candidates in runs.items():
        relevant = [judged.corpus[doc_id] for doc_id in dict.fromkeys(positives.get(query_id, ()))]
        documents = [judged.corpus[scored.doc_id] for scored in candidates]
        retrieved = [document in relevant for document in documents]
        missed = len(relevant) - sum(retrieved) if any(retrieved) else 0
        if always_rerank_positives:
            documents = relevant + [document for document in documents if document not in relevant]
            marks = [True] * len(relevant) + [False] * (len(documents) - len(relevant))
        else:
            marks = retrieved
        found.append(Sample(judged.queries[query_id], tuple(documents), tuple(marks), (*retrieved, *[True] * missed)))
    if not found:
        raise DataError(f"{collection.name} has no candidates to rerank")
    return found


def reference_metrics(
    scores: Sequence[NDArray[np.float32]], queries: Sequence[Sample], *, cutoff: int = CUTOFF
) -> Metrics:
    """Means over the queries of the scores of their documents, and of the first stage's order (`base_`)."""
    reranked = [_metrics(sample.relevant, of_query, cutoff) for sample, of_query in zip(queries, scores, strict=True)]
    base = [_metrics(sample.first_stage, np.arange(len(sample.first_stage), 0, -1), cutoff) for sample in queries]
    names = ("map", f"mrr@{cutoff}", f"ndcg@{cutoff}")
    values = {name: float(mean) for name, mean in zip(names, np.mean(reranked, axis=0), strict=True)}
    return values | {f"base_{name}": float(mean) for name, mean in zip(names, np.mean(base, axis=0), strict=True)}


def evaluate_reference(
    encoder: CrossEncoder,
    collection: Collection,
    *,
    depth: int = 100,
    cutoff: int = CUTOFF,
    always_rerank_positives: bool = True,
    show_progress: bool = False,
) -> Metrics:
    """The metrics of one collection, all pairs scored in one pass."""
    queries = samples(collection, depth=depth, always_rerank_positives=always_rerank_positives)
    scored = {number: sample for number, sample in enumerate(queries) if any(sample.relevant)}
    pairs = [(sample.query, document) for sample in scored.values() for document in sample.documents]
    # Empty documents, where an encoder has nothing to read, come last.
    filled = [index for index, (_, document) in enumerate(pairs) if document.strip()]
    found = encoder.predict([pairs[index] for index in filled], show_progress=show_progress)
    flat = np.full(len(pairs), found.min(initial=0) - 1, np.float32)
    flat[filled] = found
    ends = np.cumsum([len(sample.documents) for sample in scored.values()], dtype=np.int64)
    scores = [np.zeros(len(sample.documents), np.float32) for sample in queries]
    for number, of_query in zip(scored, np.split(flat, ends[:-1]), strict=True):
        scores[number] = of_query
    return reference_metrics(scores, queries, cutoff=cutoff)


def with_names(metrics: Mapping[str, Metrics], depth: int) -> dict[str, float]:
    """The metrics of collections under the reference's keys; with several, their mean as `NanoBEIR_R100_mean_…`."""
    named = {f"{name}_R{depth}_{key}": value for name, of_one in metrics.items() for key, value in of_one.items()}
    if len(metrics) > 1:
        keys = next(iter(metrics.values()))
        named |= {
            f"NanoBEIR_R{depth}_mean_{key}": float(np.mean([of_one[key] for of_one in metrics.values()]))
            for key in keys
        }
    return named


def reference_table(named: Mapping[str, float]) -> str:
    """A line for each metric, with its difference from the first stage, as the reference's model cards have it."""
    lines = []
    for key, value in named.items():
        name, _, metric = key.rpartition("_")
        if not name.endswith("_base"):
            lines.append(f"{key:40} {value:.4f} ({value - named[f'{name}_base_{metric}']:+.4f})")
    return "\n".join(lines)


def write_reference_csv(folder: Path, metrics: Mapping[str, Metrics], *, depth: int, cutoff: int = CUTOFF) -> None:
    """Append a line to the files that the reference's evaluators write, with their names and columns."""
    columns = ("map", f"mrr@{cutoff}", f"ndcg@{cutoff}")
    files = {
        f"CrossEncoderRerankingEvaluator_{name}_R{depth}_results_@{cutoff}.csv": [of_one[column] for column in columns]
        for name, of_one in metrics.items()
    }
    if len(metrics) > 1:
        means = [float(np.mean([of_one[column] for of_one in metrics.values()])) for column in columns]
        files["NanoBEIR_evaluation_mean_results.csv"] = means
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in files.items():
            is_new = not (folder / name).exists()
            with (folder / name).open("a", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                if is_new:
                    writer.writerow(["epoch", "steps", "MAP", f"MRR@{cutoff}", f"NDCG@{cutoff}"])
                writer.writerow([-1, -1, *values])
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error


def _metrics(relevant: Sequence[bool], scores: NDArray[np.generic], cutoff: int) -> tuple[float, float, float]:
    """Average precision, reciprocal rank and nDCG of one query; all 0 without a relevant document."""
    if not any(relevant):
        return 0.0, 0.0, 0.0
    marks = np.asarray(relevant, np.float64)
    # numpy's own order of equal numbers, reversed, which is what the reference ranks by.
    first = np.flatnonzero(marks[np.argsort(scores)[::-1]])[0]
    reciprocal_rank = 1 / (first + 1) if first < cutoff else 0.0
    return _average_precision(marks, scores), float(reciprocal_rank), _ndcg(marks, scores, cutoff)


def _average_precision(marks: Array, scores: NDArray[np.generic]) -> float:
    """Documents of equal score are retrieved together."""
    _, group = np.unique(-scores.astype(np.float64), return_inverse=True)
    hits, sizes = np.bincount(group, marks), np.bincount(group)
    precision = np.cumsum(hits) / np.cumsum(sizes)
    return float((hits / marks.sum() * precision).sum())


def _ndcg(marks: Array, scores: NDArray[np.generic], cutoff: int) -> float:
    """Documents of equal score share the mean of their gains (McSherry & Najork 2008)."""
    discounts = 1 / np.log2(np.arange(2, len(marks) + 2))
    discounts[cutoff:] = 0
    _, group = np.unique(-scores.astype(np.float64), return_inverse=True)
    sizes = np.bincount(group)
    of_group = np.diff(np.concatenate([[0], np.cumsum(discounts)])[np.concatenate([[0], np.cumsum(sizes)])])
    gains = np.bincount(group, marks) / sizes
    return float((gains * of_group).sum() / (np.sort(marks)[::-1] * discounts).sum())
