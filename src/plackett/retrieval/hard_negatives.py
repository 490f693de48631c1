"""Hard negatives: a first stage finds candidates, a CrossEncoder may score them, and the result is training lists.

`mine` writes chunk by chunk and can be killed at any time: the same call continues after the last complete chunk, and
the final file is byte-identical to that of an uninterrupted call.
"""

import hashlib
import itertools
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import check_fields, checked
from plackett._files import growing_file
from plackett._progress import progress_bar
from plackett._resumable import partial_file
from plackett._wording import counted
from plackett.cross_encoder import CrossEncoder
from plackett.data import check_matched, read_collection
from plackett.data.rows import NO_COLUMNS, Columns
from plackett.errors import DataError, SettingError
from plackett.ranking import stable_order
from plackett.records import Collection
from plackett.retrieval.first_stage import BY_BM25, FirstStage, FirstStageSettings
from plackett.retrieval.reranking import folders_of

CHUNK = 64  # queries per teacher pass and per entry of the journal
DRAWS = ("hardest", "random")
SHOWN = 5  # ids listed in a report


@dataclass(frozen=True, kw_only=True)
class MiningSettings:
    """How negatives are chosen. Raises SettingError for a value out of range.

    depth: documents retrieved per query. min_rank, max_rank: the range of ranks, from 1, whose documents are
    candidates; positives occupy ranks too, and max_rank None means depth. negatives: maximum number to keep per query.
    draw: keep the hardest, or a random sample by `seed`. margin, relative_margin: see `false_negatives`.
    teacher_labels: label with the teacher's scores instead of relevance grades.
    """

    depth: int = 100
    negatives: int = 15
    min_rank: int = 1
    max_rank: int | None = None
    margin: float | None = None
    relative_margin: float | None = None
    teacher_labels: bool = False
    draw: str = "hardest"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.negatives < 1:
            raise SettingError(f"negatives is {self.negatives}; a list needs at least 1")
        if not 1 <= self.min_rank <= self.last_rank <= self.depth:
            raise SettingError(
                f"min_rank {self.min_rank}, max_rank {self.last_rank} and depth {self.depth} must be at least 1 and "
                "in ascending order"
            )
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise SettingError(f"margin is {self.margin}; it must be a distance between two logits, 0 or more")
        if self.relative_margin is not None and not 0 <= self.relative_margin < 1:
            raise SettingError(
                f"relative_margin is {self.relative_margin}; it must be a share of the positive's probability, such "
                "as 0.05"
            )
        if self.draw not in DRAWS:
            raise SettingError.unknown("draw", self.draw, DRAWS)

    @property
    def last_rank(self) -> int:
        """The last rank whose document is a candidate."""
        return self.depth if self.max_rank is None else self.max_rank

    @property
    def needs_teacher(self) -> list[str]:
        """Names of the given settings that need a teacher."""
        given = {
            "margin": self.margin is not None,
            "relative_margin": self.relative_margin is not None,
            "teacher_labels": self.teacher_labels,
        }
        return [name for name, is_given in given.items() if is_given]


Reason = Literal["without_positive", "without_negative"]


@dataclass(frozen=True)
class MinedList:
    """One query's list as a line of JSON, with its numbers of negatives and dropped candidates."""

    line: str
    negatives: int
    false_negatives: int
    duplicates: int


@dataclass(frozen=True)
class Skipped:
    """A query that gives no list: the reason, and the number of candidates dropped so far."""

    reason: Reason
    false_negatives: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class MiningReport:
    """Counts over a mining run, or its first `queries` queries."""

    queries: int = 0
    lists: int = 0
    short_lists: int = 0  # with fewer negatives than requested
    without_positive: int = 0  # queries skipped: no relevant document in the corpus
    without_negative: int = 0  # queries skipped: no candidate was left
    false_negatives: int = 0  # candidates dropped by the teacher
    duplicates: int = 0  # candidates dropped: the text of a positive, or of an earlier candidate

    def including(self, results: Sequence[MinedList | Skipped], negatives: int) -> "MiningReport":
        """Add one result per query, with `negatives` requested for each, and return the new report."""
        counts = Counter(asdict(self))
        for result in results:
            counts.update(queries=1, false_negatives=result.false_negatives, duplicates=result.duplicates)
            if isinstance(result, Skipped):
                counts[result.reason] += 1
            else:
                counts.update(lists=1, short_lists=int(result.negatives < negatives))
        return MiningReport(**counts)


@dataclass(frozen=True)
class Mined:
    """A finished mining run.

    `went_on_after` counts the queries done by an earlier, interrupted call. `empty` lists relevant documents without
    text; `check_matched` reports those missing from the corpus.
    """

    report: MiningReport
    went_on_after: int
    empty: Sequence[str]

    def __str__(self) -> str:
        report, skipped = self.report, self.report.without_positive + self.report.without_negative
        lines = [
            f"lists: {report.lists:,} of {counted(report.queries, 'query')}, "
            f"{report.short_lists} with fewer negatives than requested",
            f"skipped queries: {skipped}, {report.without_positive} without a positive in the corpus, "
            f"{report.without_negative} without a negative",
            f"dropped candidates: {counted(report.false_negatives, 'presumed false negative')}, "
            f"{counted(report.duplicates, 'duplicate')}",
        ]
        if self.went_on_after:
            lines.append(f"continued after {counted(self.went_on_after, 'query')} of an earlier run")
        if self.empty:
            lines.append(f"relevant documents without text: {len(self.empty)}, first {', '.join(self.empty[:SHOWN])}")
        return "\n".join(lines)


def false_negatives(
    scores: NDArray[np.floating[Any]], positive_scores: NDArray[np.floating[Any]], settings: MiningSettings
) -> NDArray[np.bool_]:
    """Mark candidates that the teacher considers relevant: (candidates,) and (positives,) logits -> (candidates,).

    Positive-aware mining as in NV-Retriever (Moreira et al. 2024, arXiv:2407.15831, section 3), relative to the
    positive with the lowest score. `margin` is TopK-MarginPos: mark logits above the positive's minus the margin.
    `relative_margin` is TopK-PercPos, with the number as in sentence-transformers: 0.05 keeps candidates up to 95 % of
    the positive. It compares probabilities (sigmoid), because logits may be negative, and suits teachers trained with
    binary cross-entropy. Listwise losses leave a logit's zero point undefined: use `margin` for such teachers.
    """
    logits, lowest = scores.astype(np.float64), float(positive_scores.min())
    dropped = np.zeros(len(logits), np.bool_)
    if settings.margin is not None:
        dropped |= logits > lowest - settings.margin
    if settings.relative_margin is not None:
        dropped |= _probability(logits) > _probability(np.float64(lowest)) * (1 - settings.relative_margin)
    return dropped


def hard_negatives(
    hardness: NDArray[np.floating[Any]], dropped: NDArray[np.bool_], settings: MiningSettings, *, query_id: str
) -> list[int]:
    """Return the indices of the negatives to keep, hardest first, given hardness and dropped ones, (candidates,).

    A random draw depends only on the seed and the query's id.
    """
    order = [int(index) for index in stable_order(hardness) if not dropped[index]]
    if settings.draw == "hardest" or len(order) <= settings.negatives:
        return order[: settings.negatives]
    places = random.Random(f"{settings.seed}:{query_id}").sample(range(len(order)), settings.negatives)
    return [order[place] for place in sorted(places)]


@checked()
def mine(
    data: Path,
    output: Path,
    settings: MiningSettings,
    *,
    split: str = "train",
    columns: Columns = NO_COLUMNS,
    first_stage: FirstStageSettings = BY_BM25,
    teacher: CrossEncoder | None = None,
    show_progress: bool = False,
) -> Mined:
    """Mine lists with hard negatives from a BEIR folder or a file of lists, and write them to `output` as JSON lines.

    A list holds a query's positives (relevance above 0), best grade first, then its negatives, hardest first. Negatives
    are documents of the first stage that are not judged positive, in its order or the teacher's. With a teacher,
    `teacher_scores` holds its raw logits. Raises SettingError for settings that contradict each other or differ from
    those of the partial output.
    """
    _check(settings, teacher, output)
    output = growing_file(output, inputs=[data, *(folders_of(teacher) if teacher else ())])
    collection = check_matched(read_collection(data, split=split, columns=columns))
    positives = _positives(collection)
    relevant = {doc_id for of_query in positives.values() for doc_id in of_query}
    empty = sorted(doc_id for doc_id in relevant & collection.corpus.keys() if not _has_text(collection, doc_id))
    query_ids = list(collection.queries)
    stage = first_stage.build(collection.corpus, show_progress=show_progress)
    miner = _Miner(collection, positives, stage, settings, teacher)

    with partial_file(output, _facts(collection, settings, stage, teacher)) as partial:
        report = MiningReport(**partial.counts)
        done = report.queries
        with progress_bar(total=len(query_ids), initial=done, unit="query", delay=2, show=show_progress) as progress:
            for start in range(done, len(query_ids), CHUNK):
                results = miner.results(query_ids[start : start + CHUNK])
                report = report.including(results, settings.negatives)
                partial.append([result.line for result in results if isinstance(result, MinedList)], asdict(report))
                progress.update(len(results))

        mined = Mined(report, done, empty)
        if not report.lists:
            raise DataError(f"{data} yields no lists to train on: {'; '.join(str(mined).splitlines()[1:])}")
        partial.finish()
    return mined


@dataclass(frozen=True)
class _Pool:
    """A query's positives with their grades, and its candidates in the first stage's order."""

    query_id: str
    positives: Mapping[str, int]
    candidates: Sequence[str]
    duplicates: int


@dataclass(frozen=True)
class _Miner:
    collection: Collection
    positives: Mapping[str, Mapping[str, int]]
    first_stage: FirstStage
    settings: MiningSettings
    teacher: CrossEncoder | None

    def results(self, query_ids: Sequence[str]) -> list[MinedList | Skipped]:
        """Return one result per query of a chunk, in their order."""
        pools = self._pools(query_ids)
        scores = self._scores([pool for pool in pools if isinstance(pool, _Pool)])
        return [pool if isinstance(pool, Skipped) else self._list(pool, next(scores)) for pool in pools]

    def _pools(self, query_ids: Sequence[str]) -> list[_Pool | Skipped]:
        queries = {query_id: self.collection.queries[query_id] for query_id in query_ids}
        found: dict[str, list[str]] = defaultdict(list)
        for scored in self.first_stage.run(queries, depth=self.settings.last_rank):
            found[scored.query_id].append(scored.doc_id)
        return [self._pool(query_id, found[query_id][self.settings.min_rank - 1 :]) for query_id in query_ids]

    def _pool(self, query_id: str, retrieved: Sequence[str]) -> _Pool | Skipped:
        judged = self.positives.get(query_id, {})
        positives = {doc_id: grade for doc_id, grade in judged.items() if _has_text(self.collection, doc_id)}
        if not positives:
            return Skipped("without_positive")

        negatives = [doc_id for doc_id in retrieved if doc_id not in judged]
        candidates = self._distinct(negatives, positives)
        duplicates = len(negatives) - len(candidates)
        if not candidates:
            return Skipped("without_negative", duplicates=duplicates)
        return _Pool(query_id, positives, candidates, duplicates)

    def _distinct(self, candidates: Sequence[str], positives: Mapping[str, int]) -> list[str]:
        """Drop candidates that repeat the text of a positive or of an earlier candidate."""
        seen = {self.collection.corpus[doc_id] for doc_id in positives}
        kept = []
        for doc_id in candidates:
            if self.collection.corpus[doc_id] not in seen:
                seen.add(self.collection.corpus[doc_id])
                kept.append(doc_id)
        return kept

    def _scores(self, pools: Sequence[_Pool]) -> Iterator[NDArray[np.float32] | None]:
        """Yield the teacher's logits of each pool, positives first; None without a teacher."""
        if self.teacher is None:
            return itertools.repeat(None)
        queries, corpus = self.collection.queries, self.collection.corpus
        keys = [(pool.query_id, doc_id) for pool in pools for doc_id in (*pool.positives, *pool.candidates)]
        logits = self.teacher.score([(queries[query_id], corpus[doc_id]) for query_id, doc_id in keys])[:, 0]
        ends = np.cumsum([len(pool.positives) + len(pool.candidates) for pool in pools], dtype=np.int64)
        return iter(np.split(logits, ends[:-1]))

    def _list(self, pool: _Pool, scores: NDArray[np.float32] | None) -> MinedList | Skipped:
        settings, first = self.settings, len(pool.positives)
        hardness = -np.arange(len(pool.candidates), dtype=np.float32) if scores is None else scores[first:]
        dropped = np.zeros(len(hardness), np.bool_)
        if scores is not None:
            dropped = false_negatives(hardness, scores[:first], settings)
        kept = hard_negatives(hardness, dropped, settings, query_id=pool.query_id)
        if not kept:
            return Skipped("without_negative", int(dropped.sum()), pool.duplicates)
        line = self._line(pool, kept, None if scores is None else np.concatenate([scores[:first], hardness[kept]]))
        return MinedList(line, len(kept), int(dropped.sum()), pool.duplicates)

    def _line(self, pool: _Pool, kept: Sequence[int], scores: NDArray[np.float32] | None) -> str:
        """Return the list as JSON; `scores` belong to its documents."""
        doc_ids = [*pool.positives, *(pool.candidates[index] for index in kept)]
        row: dict[str, object] = {
            "qid": pool.query_id,
            "query": self.collection.queries[pool.query_id],
            "docs": [self.collection.corpus[doc_id] for doc_id in doc_ids],
            "labels": [*pool.positives.values(), *[0] * len(kept)],
            "docids": doc_ids,
        }
        if scores is not None:
            row["teacher_scores"] = [float(str(score)) for score in scores]  # shortest decimals that round-trip
            row["labels"] = row["teacher_scores"] if self.settings.teacher_labels else row["labels"]
        return json.dumps(row, ensure_ascii=False)


def _check(settings: MiningSettings, teacher: CrossEncoder | None, output: Path) -> None:
    if teacher is None and settings.needs_teacher:
        raise SettingError(f"{' and '.join(settings.needs_teacher)} cannot be used without a teacher; pass --teacher")
    if teacher is not None and not teacher.model.ranks:
        raise SettingError(f"the teacher {teacher.model.name} has {teacher.model.labels} labels; a teacher needs 1")
    if output.suffix in {".gz", ".parquet"}:
        raise SettingError(f"mined lists are JSON lines, so the output must end in .jsonl; {output.name} does not")


def _positives(collection: Collection) -> dict[str, dict[str, int]]:
    """Return the relevant documents of each query with their grades, best grade first."""
    positives: dict[str, dict[str, int]] = defaultdict(dict)
    for qrel in sorted(collection.qrels, key=lambda qrel: -qrel.relevance):
        if qrel.relevance > 0:
            positives[qrel.query_id].setdefault(qrel.doc_id, qrel.relevance)
    return positives


def _has_text(collection: Collection, doc_id: str) -> bool:
    return bool(collection.corpus.get(doc_id, "").strip())


def _facts(
    collection: Collection, settings: MiningSettings, first_stage: FirstStage, teacher: CrossEncoder | None
) -> dict[str, str]:
    """Return everything that determines the bytes of the output."""
    facts = {**asdict(settings), "max_rank": settings.last_rank, "queries a chunk": CHUNK}
    facts["first stage"] = first_stage.description
    facts |= {"data": _data_fact(collection), "teacher": None if teacher is None else teacher.fingerprint()}
    return {name: str(fact) for name, fact in facts.items()}


def _data_fact(collection: Collection) -> str:
    digest = hashlib.sha256()
    for part in (collection.queries, collection.corpus):
        for key, text in part.items():
            digest.update(f"{key}\0{text}\0".encode())
    digest.update(repr([tuple(qrel) for qrel in collection.qrels]).encode())
    return f"{collection.name} {digest.hexdigest()[:12]}"


def _probability(logits: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))
