"""TREC runs: files of `query Q0 document rank score tag`, the order that trec_eval reads out of them, their errors."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from plackett.data.rows import read_lines
from plackett.errors import DataError
from plackett.records import Collection, ScoredDoc

SHOWN = 5


def read_run(path: Path) -> list[ScoredDoc]:
    """The lines of a run, plain or `.gz`, in their order. DataError for what is no run, naming the line."""
    return [scored for _, scored in _lines(path)]


def stream_run(path: Path) -> Iterator[tuple[str, list[ScoredDoc]]]:
    """Query by query, for runs larger than memory: the lines of a query must stand together, as tools write them."""
    done: set[str] = set()
    query_id, candidates = None, list[ScoredDoc]()
    for where, scored in _lines(path):
        if scored.query_id != query_id:
            if query_id is not None:
                yield query_id, _checked(query_id, candidates)
                done.add(query_id)
            if scored.query_id in done:
                raise DataError(f"{where}: the query {scored.query_id!r} stands in two places; sort the run by query")
            query_id, candidates = scored.query_id, []
        candidates.append(scored)
    if query_id is None:
        raise DataError(f"{path} holds no candidates")
    yield query_id, _checked(query_id, candidates)


def by_query(run: Iterable[ScoredDoc]) -> dict[str, list[ScoredDoc]]:
    """The run's candidates of each query. DataError for a score that is not finite and a document that stands twice."""
    queries: dict[str, list[ScoredDoc]] = {}
    for scored in run:
        queries.setdefault(scored.query_id, []).append(scored)
    for query_id, candidates in queries.items():
        _checked(query_id, candidates)
    return queries


def best_first(candidates: Sequence[ScoredDoc]) -> list[ScoredDoc]:
    """One query's candidates as trec_eval ranks them: by score, equal scores by document id, both descending."""
    return sorted(candidates, key=lambda scored: (scored.score, scored.doc_id), reverse=True)


def cut(run: Iterable[ScoredDoc], depth: int) -> list[ScoredDoc]:
    """The `depth` best candidates of each query, best first."""
    return [scored for candidates in by_query(run).values() for scored in best_first(candidates)[:depth]]


def run_lines(candidates: Sequence[ScoredDoc], tag: str) -> list[str]:
    """One query's candidates as lines of a run, best first, ranks from 1; nine digits tell any two float32 apart."""
    return [
        f"{scored.query_id} Q0 {scored.doc_id} {rank} {scored.score:.9g} {tag}"
        for rank, scored in enumerate(best_first(candidates), start=1)
    ]


def check_known(doc_ids: Iterable[str], known: Mapping[str, object], what: str) -> None:
    """DataError for ids that are not among the known ones: how many, and the first five."""
    missing = [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id not in known]
    if missing:
        first = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
        raise DataError(f"{len(missing)} {what}: {first}")


def judged_only(collection: Collection) -> tuple[Collection, int]:
    """The collection without the queries of its run that nobody judged, and how many those are."""
    judged = {qrel.query_id for qrel in collection.qrels}
    unjudged = {scored.query_id for scored in collection.run} - judged
    if not unjudged:
        return collection, 0
    run = [scored for scored in collection.run if scored.query_id in judged]
    return replace(collection, run=run), len(unjudged)


def _lines(path: Path) -> Iterator[tuple[str, ScoredDoc]]:
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            query_id, _, doc_id, _, text, _ = fields
            score = float(text)
        except ValueError:
            hint = "; this looks like qrels, not like a run" if len(fields) in (3, 4) else ""
            raise DataError(
                f"{path}:{number}: not a line of query, Q0, document, rank, score and tag: {line.strip()!r}{hint}"
            ) from None
        if not math.isfinite(score):
            raise DataError(f"{path}:{number}: the score {text} is not finite")
        yield f"{path}:{number}", ScoredDoc(query_id, doc_id, score)


def _checked(query_id: str, candidates: list[ScoredDoc]) -> list[ScoredDoc]:
    if not all(math.isfinite(scored.score) for scored in candidates):
        broken = next(scored for scored in candidates if not math.isfinite(scored.score))
        raise DataError(
            f"the run gives {broken.doc_id!r} for the query {query_id!r} the score {broken.score}, which is not finite"
        )
    if len({scored.doc_id for scored in candidates}) < len(candidates):
        seen: set[str] = set()
        double = next(s.doc_id for s in candidates if s.doc_id in seen or seen.add(s.doc_id))  # type: ignore[func-returns-value]
        raise DataError(f"the run holds {double!r} twice for the query {query_id!r}; a document has one place in a run")
    return candidates
