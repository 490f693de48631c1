"""Ranked lists: their order, how to group and cut a run, and the checks that every run must pass.

Needs numpy only, so it works on the bare install.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plackett.errors import DataError
from plackett.records import Collection, ScoredDoc

SHOWN = 5  # ids listed in an error


def stable_order(scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
    """Return the indices of `scores`, best first; equal scores keep their input order and NaN comes last.

    The order is that of `sorted(..., reverse=True)`. trec_eval differs: it breaks ties by document id (see
    `best_first`).
    """
    return np.argsort(-np.asarray(scores), kind="stable")


def by_query(run: Iterable[ScoredDoc]) -> dict[str, list[ScoredDoc]]:
    """Group a run by query, in input order. Raises DataError as `checked` does."""
    queries: dict[str, list[ScoredDoc]] = {}
    for scored in run:
        queries.setdefault(scored.query_id, []).append(scored)

    for query_id, candidates in queries.items():
        checked(query_id, candidates)
    return queries


def best_first(candidates: Sequence[ScoredDoc]) -> list[ScoredDoc]:
    """Sort one query's candidates as trec_eval does: by score, then by document id, both descending."""
    return sorted(candidates, key=lambda scored: (scored.score, scored.doc_id), reverse=True)


def cut(run: Iterable[ScoredDoc], depth: int) -> list[ScoredDoc]:
    """Keep each query's `depth` best candidates, best first."""
    return [scored for candidates in by_query(run).values() for scored in best_first(candidates)[:depth]]


def checked(query_id: str, candidates: list[ScoredDoc]) -> list[ScoredDoc]:
    """Return one query's candidates unchanged.

    Raises DataError for a score that is not finite and for a document listed twice.
    """
    seen = set[str]()
    for scored in candidates:
        if not math.isfinite(scored.score):
            where = f"{scored.doc_id!r} for the query {query_id!r}"
            raise DataError(f"the run gives {where} the score {scored.score}, which is not finite")
        if scored.doc_id in seen:
            raise DataError(
                f"the run lists {scored.doc_id!r} twice for the query {query_id!r}; list each document once per query"
            )
        seen.add(scored.doc_id)
    return candidates


def check_known(ids: Iterable[str], known: Mapping[str, object], what: str, where: str) -> None:
    """Raise DataError if `known`, the texts of `where`, lacks an id; it counts them and lists the first five."""
    missing = [item for item in dict.fromkeys(ids) if item not in known]
    if missing:
        first = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise DataError(f"{where} has no text for {len(missing):,} of the {what}: {first}")


def judged_only(collection: Collection) -> tuple[Collection, int]:
    """Drop queries without judgements from the collection's run; return the collection and the number dropped."""
    judged = {qrel.query_id for qrel in collection.qrels}
    unjudged = {scored.query_id for scored in collection.run} - judged
    if not unjudged:
        return collection, 0
    run = [scored for scored in collection.run if scored.query_id in judged]
    return replace(collection, run=run), len(unjudged)
