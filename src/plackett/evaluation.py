"""A run goes in, a reranked run comes out, the same call measures both. Every measure is ir-measures'."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np

from plackett.cross_encoder import CrossEncoder
from plackett.errors import DataError, SettingError
from plackett.records import Collection, Qrel, ScoredDoc

MEASURES = ("nDCG@10", "RR@10", "AP")


@dataclass(frozen=True)
class Comparison:
    """A first stage and its reranking on one collection: mean of each measure over `queries` queries."""

    collection: str
    queries: int
    depth: int
    first_stage: Mapping[str, float]
    reranked: Mapping[str, float]

    def difference(self, measure: str) -> float:
        """Reranked less first stage."""
        return self.reranked[measure] - self.first_stage[measure]


def evaluate(run: Iterable[ScoredDoc], qrels: Iterable[Qrel], measures: Sequence[str] = MEASURES) -> dict[str, float]:
    """Mean of each measure over the judged queries; a judged query without candidates counts as zero.

    Ties in a run are broken as trec_eval does, equal scores by document id, descending, for every measure: the programs
    behind ir-measures do not agree on it. Raises SettingError for names that ir-measures does not know.
    """
    parsed = {name: _measure(name) for name in measures}
    values = ir_measures.calc_aggregate(parsed.values(), qrels, _untied(run))
    return {name: float(values[measure]) for name, measure in parsed.items()}


def rerank(
    encoder: CrossEncoder, collection: Collection, *, depth: int, show_progress: bool = False
) -> list[ScoredDoc]:
    """The first `depth` candidates of each query, scored by raw logits: an activation could make ties of them."""
    candidates = _candidates(collection, depth)
    keys = [(query_id, doc_id) for query_id, doc_ids in candidates.items() for doc_id in doc_ids]
    texts = [(collection.queries[query_id], collection.corpus[doc_id]) for query_id, doc_id in keys]
    # Real corpora hold empty documents; an encoder has nothing to read there, so they come last.
    filled = [index for index, (_, document) in enumerate(texts) if document.strip()]
    logits = encoder.score([texts[index] for index in filled], show_progress=show_progress)[:, 0]
    scores = np.full(len(keys), logits.min(initial=0) - 1, np.float32)
    scores[filled] = logits
    return [ScoredDoc(*key, float(score)) for key, score in zip(keys, scores, strict=True)]


def compare(
    encoder: CrossEncoder,
    collection: Collection,
    *,
    depth: int,
    measures: Sequence[str] = MEASURES,
    show_progress: bool = False,
) -> Comparison:
    """Measure the first stage's run and its reranking, both cut at `depth`."""
    if not collection.run:
        raise DataError(f"{collection.name} has no candidates to rerank")
    kept = {(query_id, doc_id) for query_id, doc_ids in _candidates(collection, depth).items() for doc_id in doc_ids}
    first_stage = [scored for scored in collection.run if (scored.query_id, scored.doc_id) in kept]
    reranked = rerank(encoder, collection, depth=depth, show_progress=show_progress)
    return Comparison(
        collection=collection.name,
        queries=len({qrel.query_id for qrel in collection.qrels}),
        depth=depth,
        first_stage=evaluate(first_stage, collection.qrels, measures),
        reranked=evaluate(reranked, collection.qrels, measures),
    )


def table(comparison: Comparison) -> str:
    """A plain-text table, one line a measure."""
    lines = [
        f"{comparison.collection}: {comparison.queries} queries, first {comparison.depth} candidates reranked",
        f"{'':10}{'first stage':>12}{'reranked':>12}{'difference':>12}",
    ]
    for measure, value in comparison.reranked.items():
        first = comparison.first_stage[measure]
        lines.append(f"{measure:10}{first:12.4f}{value:12.4f}{comparison.difference(measure):+12.4f}")
    return "\n".join(lines)


def _measure(name: str) -> ir_measures.Measure:
    try:
        return ir_measures.parse_measure(name)
    except (ValueError, NameError, SyntaxError) as error:
        raise SettingError(
            f"{name!r} is no measure that ir-measures knows, such as nDCG@10, RR@10, AP or R@100"
        ) from error


def _untied(run: Iterable[ScoredDoc]) -> list[ScoredDoc]:
    """The run in trec_eval's order, with scores that leave no choice."""
    ordered = sorted(run, key=lambda scored: (scored.score, scored.doc_id), reverse=True)
    return [ScoredDoc(query_id, doc_id, -float(place)) for place, (query_id, doc_id, _) in enumerate(ordered)]


def _candidates(collection: Collection, depth: int) -> dict[str, list[str]]:
    """The first `depth` document ids of each query, by the run's scores; ties in the run's order."""
    runs: dict[str, list[ScoredDoc]] = defaultdict(list)
    for scored in collection.run:
        runs[scored.query_id].append(scored)
    return {
        query_id: [scored.doc_id for scored in sorted(scored_docs, key=lambda scored: -scored.score)[:depth]]
        for query_id, scored_docs in runs.items()
    }
