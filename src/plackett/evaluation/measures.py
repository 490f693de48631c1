"""Measure a run against judgements. ir-measures computes every measure, with trec_eval's order of ties."""

import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import ir_measures

from plackett._arguments import checked
from plackett.data import checked_qrels, checked_run, read_qrels, read_run
from plackett.errors import DataError, SettingError
from plackett.ranking import best_first, by_query
from plackett.records import Qrel, ScoredDoc

MEASURES = ("nDCG@10", "RR@10", "AP")

Run = Iterable[ScoredDoc] | str | os.PathLike[str]
Judgements = Iterable[Qrel] | str | os.PathLike[str]
PerQuery = Mapping[str, Mapping[str, float]]  # measure -> query id -> value

logger = logging.getLogger(__name__)


@checked()
def evaluate(run: Run, qrels: Judgements, measures: Sequence[str] = MEASURES) -> dict[str, float]:
    """Return the mean of each measure over the judged queries.

    The run and the judgements are records (Plackett's or ir-measures'), or paths of TREC files. For every measure, ties
    in a run are broken as in trec_eval, by descending document id, although ir-measures' providers differ. A
    judged query without candidates scores 0, and a query without judgements is ignored; the logger
    `plackett.evaluation.measures` warns about both.

    Raises SettingError that names every measure unknown to ir-measures, and DataError for a run that repeats a document
    or has a score that is not finite, or if there are no judgements.
    """
    known, candidates = _judgements(qrels), _candidates(run)
    judged = {qrel.query_id for qrel in known}

    for warning in (
        without_candidates(len(judged - candidates.keys())),
        without_judgements(len(candidates.keys() - judged)),
    ):
        if warning:
            logger.warning("%s", warning)
    return means(_measure(candidates, known, measures))


@checked()
def evaluate_per_query(run: Run, qrels: Judgements, measures: Sequence[str] = MEASURES) -> PerQuery:
    """Return the values of each judged query, in the order of the judgements, computed as in `evaluate`."""
    return _measure(_candidates(run), _judgements(qrels), measures)


def means(values: PerQuery) -> dict[str, float]:
    """Return the mean of each measure over its queries."""
    return {name: fmean(of_query.values()) for name, of_query in values.items()}


def without_candidates(count: int) -> str:
    """Describe the judged queries without candidates; empty for none."""
    if count == 1:
        return "1 judged query has no candidates and scores 0"
    return f"{count:,} judged queries have no candidates and score 0" if count else ""


def without_judgements(count: int) -> str:
    """Describe the queries of a run without judgements; empty for none."""
    if count == 1:
        return "1 query of the run has no judgements and is ignored"
    return f"{count:,} queries of the run have no judgements and are ignored" if count else ""


def check_measures(names: Sequence[str]) -> dict[str, ir_measures.Measure]:
    """Return the measures of these names. Raises SettingError that names every one unknown to ir-measures."""
    measures, problems = {}, []
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn about its use of ast
                measures[name] = ir_measures.parse_measure(name)
            supported: Any = ir_measures.DefaultPipeline.supports
            if not supported(measures[name]):
                problems.append(f"{name!r} (its provider is not installed)")
        except (ValueError, NameError, SyntaxError, TypeError, KeyError, AssertionError):
            problems.append(repr(name))

    if problems or not names:
        raise SettingError(
            f"unknown measures: {', '.join(problems) or 'none given'}; ir-measures knows, for example, nDCG@10, "
            "RR@10, AP, R@100, P@5 and Judged@10"
        )
    return measures


def _measure(candidates: Mapping[str, Sequence[ScoredDoc]], qrels: Sequence[Qrel], names: Sequence[str]) -> PerQuery:
    parsed = check_measures(names)
    # In trec_eval's order, with distinct scores, so that no provider breaks ties in its own way.
    run = {
        query_id: {scored.doc_id: -float(place) for place, scored in enumerate(best_first(of_query))}
        for query_id, of_query in candidates.items()
    }
    found: dict[tuple[ir_measures.Measure, str], float] = {
        (metric.measure, metric.query_id): float(metric.value)
        for metric in ir_measures.iter_calc(set(parsed.values()), qrels, run)
    }

    query_ids = list(dict.fromkeys(qrel.query_id for qrel in qrels))
    return {name: {key: found[measure, key] for key in query_ids} for name, measure in parsed.items()}


def _judgements(qrels: Judgements) -> list[Qrel]:
    known = list(read_qrels(Path(qrels))) if isinstance(qrels, str | os.PathLike) else checked_qrels(qrels)
    if not known:
        raise DataError("there are no judgements to measure against")
    return known


def _candidates(run: Run) -> dict[str, list[ScoredDoc]]:
    return by_query(read_run(Path(run)) if isinstance(run, str | os.PathLike) else checked_run(run))
