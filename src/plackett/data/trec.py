"""TREC runs: files with one `query Q0 document rank score tag` per line."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from plackett.data.rows import read_lines
from plackett.errors import DataError
from plackett.ranking import best_first, checked
from plackett.records import ScoredDoc


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
                yield query_id, checked(query_id, candidates)
                done.add(query_id)
            if scored.query_id in done:
                raise DataError(f"{where}: the query {scored.query_id!r} stands in two places; sort the run by query")
            query_id, candidates = scored.query_id, []
        candidates.append(scored)
    if query_id is None:
        raise DataError(f"{path} holds no candidates")
    yield query_id, checked(query_id, candidates)


def run_lines(candidates: Sequence[ScoredDoc], tag: str) -> list[str]:
    """One query's candidates as lines of a run, best first, ranks from 1; nine digits tell any two float32 apart."""
    return [
        f"{scored.query_id} Q0 {scored.doc_id} {rank} {scored.score:.9g} {tag}"
        for rank, scored in enumerate(best_first(candidates), start=1)
    ]


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
