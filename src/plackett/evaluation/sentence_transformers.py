"""The figures of sentence-transformers' CrossEncoderRerankingEvaluator and CrossEncoderNanoBEIREvaluator.

They differ from trec_eval's: documents are identified by their text, all grades above 0 count as 1, `map` has no
cut-off, and ties are handled in three ways. docs/evaluate.md explains where this flatters a model. Scores are those of
`predict`, whose activation can turn different logits into ties.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett._files import whole_file
from plackett.cross_encoder import CrossEncoder
from plackett.errors import DataError
from plackett.facts import Evaluation, MeasureFacts
from plackett.ranking import best_first, by_query, check_known, judged_only
from plackett.records import NOWHERE, Collection, Origin, Qrel

Metrics = Mapping[str, MeasureFacts]  # "map", "mrr@10" and "ndcg@10"
Array = NDArray[np.float64]

CUTOFF = 10  # for reciprocal rank and nDCG


@dataclass(frozen=True)
class Sample:
    """One query: the documents to score with their relevance, and the relevance in the order of the first stage."""

    query: str
    documents: tuple[str, ...]
    relevant: tuple[bool, ...]
    first_stage: tuple[bool, ...]


@dataclass(frozen=True)
class ReferenceComparison:
    """The metrics of one collection, or the mean over several, which it names in `mean_of`."""

    collection: str
    queries: int
    depth: int
    measures: Metrics
    cutoff: int = CUTOFF
    always_rerank_positives: bool = True
    origin: Origin = NOWHERE
    mean_of: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The evaluators' name for this measurement: `NanoMSMARCO_R100`, `NanoBEIR_R100_mean`."""
        return f"NanoBEIR_R{self.depth}_mean" if self.mean_of else f"{self.collection}_R{self.depth}"

    def facts(self) -> Evaluation:
        """Return the evaluation that a model card shows, with the parameters to reproduce it."""
        of_mean = {"dataset_names": list(self.mean_of), "rerank_k": self.depth} if self.mean_of else {}
        parameters: dict[str, Any] = {
            "semantics": "reference",
            **of_mean,
            "at_k": self.cutoff,
            "always_rerank_positives": self.always_rerank_positives,
            **self.origin.parts(),
        }
        return Evaluation(
            collection=self.name,
            queries=self.queries,
            depth=self.depth,
            measures=self.measures,
            primary=f"ndcg@{self.cutoff}",
            parameters=parameters,
            source=self.origin.source,
            revision=self.origin.revision,
            task="cross-encoder-nano-beir" if self.mean_of else "cross-encoder-reranking",
        )


def samples(collection: Collection, *, depth: int = 100, always_rerank_positives: bool = True) -> list[Sample]:
    """Return the queries that have candidates.

    With `always_rerank_positives`, all relevant documents are scored, retrieved or not, before the others; otherwise
    only the candidates are. In the first stage's order, relevant documents that were not retrieved come last, unless
    none was retrieved: then that order has no relevant document at all.
    """
    judged, _ = judged_only(collection)
    runs = {
        query_id: [scored.doc_id for scored in best_first(candidates)[:depth]]
        for query_id, candidates in by_query(judged.run).items()
    }
    if not runs:
        raise DataError(f"{collection.name} has no candidates to rerank")

    positives = _positives(judged.qrels)
    needed = [doc_id for query_id, doc_ids in runs.items() for doc_id in (*doc_ids, *positives.get(query_id, ()))]
    check_known(needed, judged.corpus, "documents", judged.name)

    def texts(doc_ids: Iterable[str]) -> list[str]:
        return [judged.corpus[doc_id] for doc_id in doc_ids]

    return [
        _sample(judged.queries[key], texts(positives.get(key, ())), texts(doc_ids), always_rerank_positives)
        for key, doc_ids in runs.items()
    ]


def reference_metrics(
    scores: Sequence[NDArray[np.float32]], queries: Sequence[Sample], *, cutoff: int = CUTOFF
) -> Metrics:
    """Return means over the queries, of the order of these scores and of the first stage's order."""
    reranked = [_metrics(sample.relevant, of_query, cutoff) for sample, of_query in zip(queries, scores, strict=True)]
    base = [_metrics(sample.first_stage, np.arange(len(sample.first_stage), 0, -1), cutoff) for sample in queries]
    names = ("map", f"mrr@{cutoff}", f"ndcg@{cutoff}")
    means = zip(names, np.mean(base, axis=0), np.mean(reranked, axis=0), strict=True)
    return {name: _compared(float(before), float(after)) for name, before, after in means}


def evaluate_reference(
    encoder: CrossEncoder,
    collection: Collection,
    *,
    depth: int = 100,
    cutoff: int = CUTOFF,
    always_rerank_positives: bool = True,
    show_progress: bool = False,
) -> ReferenceComparison:
    """Measure one collection; all its pairs are scored in one pass."""
    queries = samples(collection, depth=depth, always_rerank_positives=always_rerank_positives)
    scores = _scores(encoder, queries, show_progress)
    return ReferenceComparison(
        collection=collection.name,
        queries=len(queries),
        depth=depth,
        measures=reference_metrics(scores, queries, cutoff=cutoff),
        cutoff=cutoff,
        always_rerank_positives=always_rerank_positives,
        origin=collection.origin,
    )


def with_reference_mean(comparisons: Sequence[ReferenceComparison]) -> list[ReferenceComparison]:
    """Return the comparisons, followed by their mean if there are several."""
    if len(comparisons) == 1:
        return list(comparisons)

    one = comparisons[0]
    mean = ReferenceComparison(
        collection="mean",
        queries=sum(item.queries for item in comparisons),
        depth=one.depth,
        measures={
            name: _compared(
                fmean(item.measures[name].first_stage for item in comparisons),
                fmean(item.measures[name].reranked for item in comparisons),
            )
            for name in one.measures
        },
        cutoff=one.cutoff,
        always_rerank_positives=one.always_rerank_positives,
        mean_of=tuple(item.collection for item in comparisons),
    )
    return [*comparisons, mean]


def reference_figures(comparisons: Sequence[ReferenceComparison]) -> dict[str, float]:
    """Return the metrics under the evaluators' keys, such as `NanoMSMARCO_R100_base_ndcg@10`."""
    named: dict[str, float] = {}
    for item in comparisons:
        named |= {f"{item.name}_{metric}": values.reranked for metric, values in item.measures.items()}
        named |= {f"{item.name}_base_{metric}": values.first_stage for metric, values in item.measures.items()}
    return named


def reference_table(comparisons: Sequence[ReferenceComparison]) -> str:
    """Return a line for each metric, with the difference from the first stage, as in the reference's model cards."""
    return "\n".join(
        f"{f'{item.name}_{metric}':40} {values.reranked:.4f} ({values.difference:+.4f})"
        for item in comparisons
        for metric, values in item.measures.items()
    )


def write_reference_csv(folder: Path, comparisons: Sequence[ReferenceComparison]) -> None:
    """Add a row to the CSV files that the evaluators write, with their names and columns."""
    for item in comparisons:
        path = folder / _file_name(item)
        heading = ",".join(["epoch", "steps", "MAP", f"MRR@{item.cutoff}", f"NDCG@{item.cutoff}"]) + "\r\n"
        rows = _content(path) or heading
        with whole_file(path) as stream:
            stream.write(rows)
            csv.writer(stream).writerow([-1, -1, *(values.reranked for values in item.measures.values())])


def _content(path: Path) -> str:
    """Return the content of a text file with its line endings unchanged; empty without the file."""
    if not path.exists():
        return ""
    try:
        return path.read_bytes().decode() if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read, so no row can be added to it: {error}") from error


def _file_name(item: ReferenceComparison) -> str:
    if item.mean_of:
        return "NanoBEIR_evaluation_mean_results.csv"
    return f"CrossEncoderRerankingEvaluator_{item.name}_results_@{item.cutoff}.csv"


def _positives(qrels: Iterable[Qrel]) -> dict[str, list[str]]:
    """Return the relevant documents of each query, each once, in the order of the judgements."""
    found: dict[str, dict[str, None]] = {}
    for qrel in qrels:
        if qrel.relevance > 0:
            found.setdefault(qrel.query_id, {})[qrel.doc_id] = None
    return {query_id: list(doc_ids) for query_id, doc_ids in found.items()}


def _sample(query: str, relevant: Sequence[str], candidates: Sequence[str], always_rerank_positives: bool) -> Sample:
    retrieved = [document in relevant for document in candidates]
    missed = len(relevant) - sum(retrieved) if any(retrieved) else 0
    first_stage = (*retrieved, *[True] * missed)

    if not always_rerank_positives:
        return Sample(query, tuple(candidates), tuple(retrieved), first_stage)
    others = [document for document in candidates if document not in relevant]
    marks = (*[True] * len(relevant), *[False] * len(others))
    return Sample(query, (*relevant, *others), marks, first_stage)


def _scores(encoder: CrossEncoder, queries: Sequence[Sample], show_progress: bool) -> list[NDArray[np.float32]]:
    """Score the documents of each query; scores stay 0 for a query without relevant documents, which does not count."""
    scored = [number for number, sample in enumerate(queries) if any(sample.relevant)]
    pairs = [(queries[number].query, document) for number in scored for document in queries[number].documents]

    # Empty documents are not scored and rank last.
    filled = [index for index, (_, document) in enumerate(pairs) if document.strip()]
    found = encoder.predict([pairs[index] for index in filled], show_progress=show_progress)
    flat = np.full(len(pairs), found.min(initial=0) - 1, np.float32)
    flat[filled] = found

    scores = [np.zeros(len(sample.documents), np.float32) for sample in queries]
    start = 0
    for number in scored:
        end = start + len(scores[number])
        scores[number], start = flat[start:end], end
    return scores


def _compared(before: float, after: float) -> MeasureFacts:
    return MeasureFacts(before, after, after - before)


def _metrics(relevant: Sequence[bool], scores: NDArray[np.generic], cutoff: int) -> tuple[float, float, float]:
    """Return average precision, reciprocal rank and nDCG of one query; all 0 without a relevant document."""
    if not any(relevant):
        return 0.0, 0.0, 0.0
    marks = np.asarray(relevant, np.float64)
    # NumPy's order of equal numbers, reversed, as in the reference.
    first = np.flatnonzero(marks[np.argsort(scores)[::-1]])[0]
    reciprocal_rank = 1 / (first + 1) if first < cutoff else 0.0
    return _average_precision(marks, scores), float(reciprocal_rank), _ndcg(marks, scores, cutoff)


def _average_precision(marks: Array, scores: NDArray[np.generic]) -> float:
    """Return average precision; documents with equal scores are retrieved together."""
    _, group = np.unique(-scores.astype(np.float64), return_inverse=True)
    hits, sizes = np.bincount(group, marks), np.bincount(group)
    precision = np.cumsum(hits) / np.cumsum(sizes)
    return float((hits / marks.sum() * precision).sum())


def _ndcg(marks: Array, scores: NDArray[np.generic], cutoff: int) -> float:
    """Return nDCG; documents with equal scores share their mean gain (McSherry & Najork 2008)."""
    discounts = 1 / np.log2(np.arange(2, len(marks) + 2))
    discounts[cutoff:] = 0
    _, group = np.unique(-scores.astype(np.float64), return_inverse=True)
    sizes = np.bincount(group)
    of_group = np.diff(np.concatenate([[0], np.cumsum(discounts)])[np.concatenate([[0], np.cumsum(sizes)])])
    gains = np.bincount(group, marks) / sizes
    return float((gains * of_group).sum() / (np.sort(marks)[::-1] * discounts).sum())
