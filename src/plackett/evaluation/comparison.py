"""Compare a first stage with its reranking, measuring both in the same call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Annotated

from plackett._arguments import COUNT, checked
from plackett.cross_encoder import CrossEncoder
from plackett.data import checked_run
from plackett.errors import DataError
from plackett.evaluation.measures import (
    MEASURES,
    check_measures,
    evaluate_per_query,
    means,
    without_candidates,
    without_judgements,
)
from plackett.evaluation.significance import Significance, holm, significance
from plackett.facts import Evaluation, MeasureFacts
from plackett.ranking import cut, judged_only
from plackett.records import FILE_ORDER, NOWHERE, Collection, Origin, Qrel, ScoredDoc
from plackett.retrieval.reranking import rerank

PairByQuery = Mapping[str, tuple[float, float]]  # query id -> (first stage, reranked)


@dataclass(frozen=True)
class Measured:
    """One measure before and after reranking: means over queries, and the significance of their difference.

    `perfect_order` is the measure of the best order of the same candidates: the upper bound of any reranker.
    `per_query` maps a query id to its values; it is empty for a mean over collections.
    """

    first_stage: float
    reranked: float
    perfect_order: float
    significance: Significance
    per_query: PairByQuery

    @property
    def difference(self) -> float:
        """Reranked minus first stage."""
        return self.reranked - self.first_stage

    @property
    def cannot_improve(self) -> bool:
        """Whether the first stage already has the best order of its candidates."""
        return self.first_stage >= self.perfect_order > 0

    def facts(self) -> MeasureFacts:
        """Return the figures that a model card shows."""
        found = self.significance
        return MeasureFacts(self.first_stage, self.reranked, self.difference, ci95=found.ci95, p_value=found.p_value)


@dataclass(frozen=True)
class Comparison:
    """The first `depth` candidates of a collection, and their reranking by `system`, over `queries` judged queries.

    `measures` maps the name of a measure to its values; the first is the primary one. `recall` is the share of relevant
    documents that are among the candidates, which bounds any reranker. `without_candidates` counts judged queries that
    score 0, `unjudged` those of the run that are ignored. A mean over collections names them in `mean_of`.
    """

    collection: str
    queries: int
    depth: int
    system: str
    measures: Mapping[str, Measured]
    recall: float
    without_candidates: int
    unjudged: int
    origin: Origin = NOWHERE
    mean_of: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Return the table that `plackett evaluate` prints, for a notebook."""
        from plackett.evaluation.report import html

        return html(self)

    def notes(self) -> list[str]:
        """Return caveats about the figures."""
        notes = [without_candidates(self.without_candidates), without_judgements(self.unjudged)]
        if self.origin.first_stage == FILE_ORDER and all(item.cannot_improve for item in self.measures.values()):
            notes.append(
                "The file's order already puts positives first, so no reranker can improve it: "
                "list the documents in the order of your search engine, or shuffle them"
            )
        if all(item.perfect_order == 0 for item in self.measures.values()):
            notes.append("No candidate is judged relevant, so every order scores 0: check the labels and the ids")
        return [f"{note}." for note in notes if note]

    def facts(self) -> Evaluation:
        """Return the evaluation that a model card shows, with the parameters to reproduce it."""
        parameters = {
            "semantics": "trec_eval",
            "measures": list(self.measures),
            "depth": self.depth,
            "always_rerank_positives": False,
            **self.origin.parts(),
            **({"collections": list(self.mean_of)} if self.mean_of else {}),
        }
        return Evaluation(
            collection=self.collection,
            queries=self.queries,
            depth=self.depth,
            measures={name: values.facts() for name, values in self.measures.items()},
            primary=next(iter(self.measures)),
            parameters=parameters,
            source=self.origin.source,
            revision=self.origin.revision,
        )


@dataclass(frozen=True)
class Results:
    """Everything that a report can show.

    `runs` holds each system's run by collection and system. `per_query` includes every query's values in the reports
    that support them.
    """

    comparisons: Sequence[Comparison]
    collections: Sequence[Collection]
    runs: Mapping[tuple[str, str], Sequence[ScoredDoc]]
    per_query: bool = False


@checked()
def compare(
    encoder: CrossEncoder,
    collection: Collection,
    *,
    depth: Annotated[int, COUNT],
    measures: Sequence[str] = MEASURES,
    show_progress: bool = False,
) -> Comparison:
    """Rerank the first `depth` candidates of each query, and measure the first stage and the reranking."""
    check_measures(measures)
    judged, unjudged = judged_only(_with_candidates(collection))

    run = rerank(encoder, judged, depth=depth, show_progress=show_progress)
    comparison = compare_run(judged, run, depth=depth, measures=measures, system=encoder.model.name)
    return replace(comparison, unjudged=unjudged)


@checked()
def compare_run(
    collection: Collection,
    run: Iterable[ScoredDoc],
    *,
    depth: Annotated[int, COUNT],
    measures: Sequence[str] = MEASURES,
    system: str = "",
) -> Comparison:
    """Measure the first stage and another run, both truncated at `depth`.

    A run whose candidates all occur in the first stage counts as a reranking, and keeps only the first stage's top
    `depth` documents. Any other run keeps its own top `depth`.
    """
    judged, unjudged = judged_only(_with_candidates(collection))
    first_stage = cut(judged.run, depth)
    reranked = _at_depth(checked_run(run), judged.run, first_stage, depth)

    recall = f"R@{depth}"
    before = evaluate_per_query(first_stage, judged.qrels, [*measures, recall])
    after = evaluate_per_query(reranked, judged.qrels, measures)
    perfect = means(evaluate_per_query(_best_order(first_stage, judged.qrels), judged.qrels, measures))

    query_ids = set(before[recall])
    return Comparison(
        collection=judged.name,
        queries=len(query_ids),
        depth=depth,
        system=system,
        measures={name: _measured(before[name], after[name], perfect[name]) for name in measures},
        recall=fmean(before[recall].values()),
        without_candidates=len(query_ids - {scored.query_id for scored in first_stage}),
        unjudged=unjudged,
        origin=judged.origin,
    )


def mean_of(comparisons: Sequence[Comparison], name: str = "mean") -> Comparison:
    """Return the mean of one system over several collections, which have equal weights."""
    one = comparisons[0]
    return Comparison(
        collection=name,
        queries=sum(item.queries for item in comparisons),
        depth=one.depth,
        system=one.system,
        measures={measure: _mean([item.measures[measure] for item in comparisons]) for measure in one.measures},
        recall=fmean(item.recall for item in comparisons),
        without_candidates=sum(item.without_candidates for item in comparisons),
        unjudged=sum(item.unjudged for item in comparisons),
        mean_of=tuple(item.collection for item in comparisons),
    )


def with_mean(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one system at one depth, followed by their mean if there are several."""
    return [*comparisons, *([mean_of(comparisons)] if len(comparisons) > 1 else [])]


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p-values of several systems on one collection, for each measure separately."""
    found = [dict(item.measures) for item in comparisons]
    for measure in comparisons[0].measures:
        corrected = holm([measures[measure].significance.p_value for measures in found])
        for measures, p_holm in zip(found, corrected, strict=True):
            values = measures[measure]
            measures[measure] = replace(values, significance=replace(values.significance, p_holm=p_holm))
    return [replace(item, measures=measures) for item, measures in zip(comparisons, found, strict=True)]


def _measured(before: Mapping[str, float], after: Mapping[str, float], perfect_order: float) -> Measured:
    per_query = {query_id: (value, after[query_id]) for query_id, value in before.items()}
    return Measured(
        first_stage=fmean(before.values()),
        reranked=fmean(after.values()),
        perfect_order=perfect_order,
        significance=significance(_differences(per_query)),
        per_query=per_query,
    )


def _mean(measured: Sequence[Measured]) -> Measured:
    return Measured(
        first_stage=fmean(item.first_stage for item in measured),
        reranked=fmean(item.reranked for item in measured),
        perfect_order=fmean(item.perfect_order for item in measured),
        significance=significance(*(_differences(item.per_query) for item in measured)),
        per_query={},
    )


def _differences(per_query: PairByQuery) -> list[float]:
    return [after - before for before, after in per_query.values()]


def _with_candidates(collection: Collection) -> Collection:
    if not collection.run:
        raise DataError(f"{collection.name} has no candidates to rerank")
    return collection


def _best_order(candidates: Iterable[ScoredDoc], qrels: Iterable[Qrel]) -> list[ScoredDoc]:
    """Score the candidates by their grades, which gives the best possible order."""
    grades = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in qrels}
    return [ScoredDoc(*scored[:2], float(grades.get(scored[:2], 0))) for scored in candidates]


def _at_depth(
    run: Sequence[ScoredDoc], whole: Sequence[ScoredDoc], first_stage: Sequence[ScoredDoc], depth: int
) -> list[ScoredDoc]:
    """Truncate a run like its first stage if it reranks that, else by its own order."""
    if {scored[:2] for scored in run} <= {scored[:2] for scored in whole}:
        kept = {scored[:2] for scored in first_stage}
        return [scored for scored in run if scored[:2] in kept]
    return cut(run, depth)
