"""A run goes in, a reranked run comes out, the same call measures both. Every measure is ir-measures'."""

import logging
import os
from collections.abc import Collection as Items
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import ir_measures
import numpy as np
from numpy.typing import NDArray

from plackett.cross_encoder import ALONE, CrossEncoder, Share
from plackett.data import read_qrels, read_run
from plackett.errors import DataError, ScoreError, SettingError
from plackett.evaluation.significance import Significance, holm, significance
from plackett.ranking import best_first, by_query, cut, judged_only
from plackett.records import HELD_OUT, NOWHERE, Collection, Origin, Qrel, ScoredDoc
from plackett.retrieval.reranking import Candidates, rerank

MEASURES = ("nDCG@10", "RR@10", "AP")

Run = Iterable[ScoredDoc] | str | os.PathLike[str]
Judgements = Iterable[Qrel] | str | os.PathLike[str]
PerQuery = Mapping[str, Mapping[str, float]]  # measure -> query id -> value

logger = logging.getLogger(__name__)


def evaluate(run: Run, qrels: Judgements, measures: Sequence[str] = MEASURES) -> dict[str, float]:
    """Mean of each measure over the judged queries.

    The run and the judgements are records, ir-measures' or Plackett's, or paths of TREC files. Ties in a run are broken
    as trec_eval does, equal scores by document id, descending, for every measure: the programs behind ir-measures do
    not agree on it. A judged query without candidates counts as zero, a query without judgements does not count; a
    warning of the logger `plackett.evaluation.comparison` says how many there are.

    Raises SettingError for names that ir-measures does not know, all of them at once, and DataError for a run that has
    a document twice or a score that is not finite, and where there are no judgements.
    """
    known, candidates = _judgements(qrels), _candidates(run)
    judged = {qrel.query_id for qrel in known}
    for count, what in (
        (len(judged - candidates.keys()), "judged queries have no candidates: they count as zero"),
        (len(candidates.keys() - judged), "queries of the run are not judged: they do not count"),
    ):
        if count:
            logger.warning("%d %s", count, what)
    return means(_measure(candidates, known, measures))


def evaluate_per_query(run: Run, qrels: Judgements, measures: Sequence[str] = MEASURES) -> PerQuery:
    """As `evaluate`, the values of each judged query, in the order of the judgements."""
    return _measure(_candidates(run), _judgements(qrels), measures)


def means(values: PerQuery) -> dict[str, float]:
    """The mean of each measure over its queries."""
    return {name: fmean(of_query.values()) for name, of_query in values.items()}


@dataclass(frozen=True)
class Comparison:
    """A first stage and what became of it on one collection: mean of each measure over `queries` judged queries.

    `reranked` is what `system` makes of the first `depth` candidates. `significance` is that of the differences;
    `perfect` what the best order of the same candidates would give, and `recall` the share of the relevant documents
    that stand among them: no reranker gets higher. `per_query` has (first stage, reranked) by measure and query id.
    `without_candidates` queries count as zero; `unjudged` queries of the first stage do not count. `origin` is the
    collection's.
    """

    collection: str
    queries: int
    depth: int
    first_stage: Mapping[str, float]
    reranked: Mapping[str, float]
    system: str
    significance: Mapping[str, Significance]
    perfect: Mapping[str, float]
    recall: float
    per_query: Mapping[str, Mapping[str, tuple[float, float]]]
    without_candidates: int
    unjudged: int
    origin: Origin = NOWHERE

    def difference(self, measure: str) -> float:
        """Reranked less first stage."""
        return self.reranked[measure] - self.first_stage[measure]


class Evaluator:
    """Measures the same collections again and again while a model learns; they are tokenised once, and kept."""

    def __init__(self, collections: Sequence[Collection], *, depth: int, measures: Sequence[str] = MEASURES) -> None:
        self._collections = [judged_only(collection)[0] for collection in collections]
        self._depth = depth
        self._measures = measures
        self._candidates: dict[str, Candidates] = {}

    def __call__(self, encoder: CrossEncoder, share: Share = ALONE) -> dict[str, float]:
        """The means by `measured_names`, the same in each of the processes that share the work.

        ScoreError where the model answers NaN or infinity, or gives all candidates of a collection one score.
        """
        found = {}
        for collection in self._collections:
            if collection.name not in self._candidates:
                self._candidates[collection.name] = Candidates.of(encoder, collection, self._depth)
            run = self._candidates[collection.name].rerank(encoder, share=share)
            if len({scored.score for scored in run}) == 1 < len(run):
                raise ScoreError(f"the scores of {collection.name} are all the same")
            for measure, value in means(evaluate_per_query(run, collection.qrels, self._measures)).items():
                found[f"{collection.name}_{measure}"] = value
        averaged = _averaged([collection.name for collection in self._collections])
        for measure in self._measures if averaged else ():
            found[f"mean_{measure}"] = fmean(found[f"{name}_{measure}"] for name in averaged)
        return found


def measured_names(collections: Sequence[str], measures: Sequence[str]) -> list[str]:
    """What an `Evaluator` finds: `COLLECTION_MEASURE`, and with several collections `mean_MEASURE`.

    The mean is over the collections, each with the same weight; lists that were held out of the training do not count.
    """
    means_too = ["mean"] if _averaged(collections) else []
    return [f"{name}_{measure}" for name in (*collections, *means_too) for measure in measures]


def _averaged(collections: Sequence[str]) -> list[str]:
    names = [name for name in collections if name != HELD_OUT]
    return names if len(names) > 1 else []


def compare(
    encoder: CrossEncoder,
    collection: Collection,
    *,
    depth: int,
    measures: Sequence[str] = MEASURES,
    show_progress: bool = False,
) -> Comparison:
    """Measure the first stage's run and its reranking, both cut at `depth`."""
    check_measures(measures)
    judged, unjudged = judged_only(_with_candidates(collection))
    run = rerank(encoder, judged, depth=depth, show_progress=show_progress)
    comparison = compare_run(judged, run, depth=depth, measures=measures, system=encoder.model.name)
    return replace(comparison, unjudged=unjudged)


def compare_run(
    collection: Collection,
    run: Iterable[ScoredDoc],
    *,
    depth: int,
    measures: Sequence[str] = MEASURES,
    system: str = "",
) -> Comparison:
    """Measure the first stage's run and another, both cut at `depth`.

    A run with no other candidates than the first stage's is a reranking, and keeps of the first stage's first `depth`;
    any other keeps its own.
    """
    judged, unjudged = judged_only(_with_candidates(collection))
    first_stage = cut(judged.run, depth)
    qrels = _judgements(judged.qrels)
    relevance = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in qrels}
    best = [ScoredDoc(*scored[:2], float(relevance.get(scored[:2], 0))) for scored in first_stage]
    recall = f"R@{depth}"
    before = evaluate_per_query(first_stage, qrels, [*measures, recall])
    after = evaluate_per_query(_at_depth(list(run), judged.run, first_stage, depth), qrels, measures)
    per_query = {name: {key: (value, after[name][key]) for key, value in before[name].items()} for name in measures}
    return Comparison(
        collection=judged.name,
        queries=len({qrel.query_id for qrel in qrels}),
        depth=depth,
        first_stage=means({name: before[name] for name in measures}),
        reranked=means(after),
        system=system,
        significance={name: significance(_differences(values)) for name, values in per_query.items()},
        perfect=means(evaluate_per_query(best, qrels, measures)),
        recall=fmean(before[recall].values()),
        per_query=per_query,
        without_candidates=len({qrel.query_id for qrel in qrels} - {scored.query_id for scored in first_stage}),
        unjudged=unjudged,
        origin=judged.origin,
    )


def mean_of(comparisons: Sequence[Comparison], name: str = "mean") -> Comparison:
    """The mean over collections, each with the same weight, as one comparison."""
    one = comparisons[0]

    def mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {measure: fmean(of_collection[measure] for of_collection in values) for measure in one.reranked}

    return Comparison(
        collection=name,
        queries=sum(item.queries for item in comparisons),
        depth=one.depth,
        first_stage=mean([item.first_stage for item in comparisons]),
        reranked=mean([item.reranked for item in comparisons]),
        system=one.system,
        significance={
            measure: significance(*(_differences(item.per_query[measure]) for item in comparisons))
            for measure in one.reranked
        },
        perfect=mean([item.perfect for item in comparisons]),
        recall=fmean(item.recall for item in comparisons),
        per_query={},
        without_candidates=sum(item.without_candidates for item in comparisons),
        unjudged=sum(item.unjudged for item in comparisons),
    )


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Several systems on one collection, their p-values corrected for each measure."""
    corrected = {
        measure: holm([item.significance[measure].p_value for item in comparisons])
        for measure in comparisons[0].reranked
    }
    return [
        replace(
            item,
            significance={
                measure: replace(found, p_holm=corrected[measure][number])
                for measure, found in item.significance.items()
            },
        )
        for number, item in enumerate(comparisons)
    ]


def check_measures(names: Sequence[str]) -> dict[str, ir_measures.Measure]:
    """ir-measures' measures of these names; SettingError that names all those which it does not know."""
    measures, problems = {}, []
    for name in names:
        try:
            measures[name] = ir_measures.parse_measure(name)
            supported: Any = ir_measures.DefaultPipeline.supports
            if not supported(measures[name]):
                problems.append(f"{name!r} (no program for it is installed)")
        except (ValueError, NameError, SyntaxError, TypeError, KeyError, AssertionError):
            problems.append(repr(name))
    if problems or not names:
        raise SettingError(
            f"not measures that ir-measures knows: {', '.join(problems) or 'none are given'}; "
            "such are nDCG@10, RR@10, AP, R@100, P@5 and Judged@10"
        )
    return measures


def _measure(candidates: Mapping[str, Items[ScoredDoc]], qrels: Sequence[Qrel], names: Sequence[str]) -> PerQuery:
    parsed = check_measures(names)
    # trec_eval's order, with scores that leave no choice.
    run = {
        query_id: {scored.doc_id: -float(place) for place, scored in enumerate(best_first(list(of_query)))}
        for query_id, of_query in candidates.items()
    }
    found: dict[tuple[ir_measures.Measure, str], float] = {
        (metric.measure, metric.query_id): float(metric.value)
        for metric in ir_measures.iter_calc(set(parsed.values()), qrels, run)
    }
    query_ids = list(dict.fromkeys(qrel.query_id for qrel in qrels))
    return {name: {key: found[measure, key] for key in query_ids} for name, measure in parsed.items()}


def _judgements(qrels: Judgements) -> list[Qrel]:
    known = list(read_qrels(Path(qrels)) if isinstance(qrels, str | os.PathLike) else qrels)
    if not known:
        raise DataError("there are no judgements to measure by")
    return known


def _candidates(run: Run) -> dict[str, list[ScoredDoc]]:
    return by_query(read_run(Path(run)) if isinstance(run, str | os.PathLike) else run)


def _with_candidates(collection: Collection) -> Collection:
    if not collection.run:
        raise DataError(f"{collection.name} has no candidates to rerank")
    return collection


def _at_depth(
    run: Sequence[ScoredDoc], whole: Sequence[ScoredDoc], first_stage: Sequence[ScoredDoc], depth: int
) -> list[ScoredDoc]:
    if {scored[:2] for scored in run} <= {scored[:2] for scored in whole}:
        kept = {scored[:2] for scored in first_stage}
        return [scored for scored in run if scored[:2] in kept]
    return cut(run, depth)


def _differences(values: Mapping[str, tuple[float, float]]) -> NDArray[np.float64]:
    return np.array([after - before for before, after in values.values()])
