"""First stages and hard negatives: BM25 over a corpus, a CrossEncoder as teacher, lists to train on.

`mine` writes by chunks of queries and can be killed at any time: the same call goes on after the last whole chunk, and
the file is the same, to the byte, as without the kill.
"""

import hashlib
import json
import logging
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from plackett._resumable import partial_file
from plackett.cross_encoder import CrossEncoder
from plackett.data import read_collection
from plackett.errors import DataError, SettingError
from plackett.ranking import stable_order
from plackett.records import Collection, ScoredDoc

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG

CHUNK = 64  # queries of one teacher pass, and between two entries of the journal
DRAWS = ("hardest", "random")
SHOWN_MISSING = 5


class BM25:
    """An index of a corpus, Lucene's variant of BM25 (k1 1.5, b 0.75), English stop words left out."""

    def __init__(self, corpus: Mapping[str, str]) -> None:
        self._doc_ids = list(corpus)
        tokens = bm25s.tokenize(list(corpus.values()), show_progress=False)
        if not any(tokens.ids):
            raise DataError("BM25 needs at least one document with a word that is no stop word")
        self._index = bm25s.BM25()
        self._index.index(tokens, show_progress=False)

    def run(self, queries: Mapping[str, str], *, depth: int) -> list[ScoredDoc]:
        """The `depth` best documents of each query, best first; documents without a term of the query are left out."""
        tokens = bm25s.tokenize(list(queries.values()), show_progress=False)
        found, scores = self._index.retrieve(tokens, k=min(depth, len(self._doc_ids)), show_progress=False)
        return [
            ScoredDoc(query_id, self._doc_ids[document], float(score))
            for query_id, row, row_scores in zip(queries, found, scores, strict=True)
            for document, score in zip(row, row_scores, strict=True)
            if score > 0
        ]


def bm25_run(queries: Mapping[str, str], corpus: Mapping[str, str], *, depth: int) -> list[ScoredDoc]:
    """The `depth` best documents of each query by BM25 (Lucene's variant, k1 1.5, b 0.75), best first.

    Documents without a term of the query are left out, so a query may have fewer candidates, or none.
    """
    if not corpus or not queries:
        raise DataError("BM25 needs at least one document and one query")
    return BM25(corpus).run(queries, depth=depth)


def with_bm25(collection: Collection, *, depth: int) -> Collection:
    """The collection with BM25's run in place of its own."""
    run = bm25_run(collection.queries, collection.corpus, depth=depth)
    return replace(collection, run=run, origin=replace(collection.origin, first_stage=_bm25_in_words()))


def _bm25_in_words() -> str:
    how = bm25s.BM25()
    return f"BM25 (bm25s {version('bm25s')}, {how.method}, k1 {how.k1}, b {how.b}, English stop words, no stemming)"


@dataclass(frozen=True, kw_only=True)
class MiningSettings:
    """How negatives are found. Raises SettingError for what does not fit.

    depth: documents that BM25 retrieves; min_rank, max_rank: the ranks among them, from 1, that give candidates, where
    positives count too (max_rank None: depth). negatives: kept for each query, at most; draw: the hardest ones, or
    random ones by `seed`. margin, relative_margin: see `false_negatives`. teacher_labels: the teacher's scores are the
    labels, in place of relevance grades.
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
        if self.negatives < 1:
            raise SettingError(f"negatives is {self.negatives}; a list needs at least 1")
        if not 1 <= self.min_rank <= self.last_rank <= self.depth:
            raise SettingError(
                f"min_rank {self.min_rank}, max_rank {self.last_rank} and depth {self.depth} must be at least 1 and "
                "stand in this order"
            )
        if self.margin is not None and not 0 <= self.margin < math.inf:
            raise SettingError(f"margin is {self.margin}; it is a distance between two logits, 0 or more")
        if self.relative_margin is not None and not 0 <= self.relative_margin < 1:
            raise SettingError(
                f"relative_margin is {self.relative_margin}; it is a share of the positive's probability, such as 0.05"
            )
        if self.draw not in DRAWS:
            raise SettingError.unknown("draw", self.draw, DRAWS)

    @property
    def last_rank(self) -> int:
        """The rank where candidates end."""
        return self.depth if self.max_rank is None else self.max_rank

    @property
    def needs_teacher(self) -> list[str]:
        """Names of the settings that nothing but a teacher can serve."""
        given = {
            "margin": self.margin is not None,
            "relative_margin": self.relative_margin is not None,
            "teacher_labels": self.teacher_labels,
        }
        return [name for name, is_given in given.items() if is_given]


@dataclass(frozen=True)
class MiningReport:
    """What came of a mining, or of its first `queries` queries."""

    queries: int = 0
    lists: int = 0
    short_lists: int = 0  # with fewer negatives than asked for
    without_positive: int = 0  # queries skipped: no relevant document in the corpus
    without_negative: int = 0  # queries skipped: no candidate was left
    false_negatives: int = 0  # candidates dropped by the teacher
    duplicates: int = 0  # candidates dropped: the text of a positive, or of an earlier candidate

    def plus(self, **counts: int) -> "MiningReport":
        """The report with the counts added."""
        return replace(self, **{name: getattr(self, name) + count for name, count in counts.items()})


@dataclass(frozen=True)
class Mined:
    """A mining that ended. `went_on_after`: queries that an earlier, killed call had done; `missing`: see below.

    `missing` holds the relevant documents, as the qrels name them, that the corpus lacks, or whose text is empty.
    """

    report: MiningReport
    went_on_after: int
    missing: Sequence[str]

    def __str__(self) -> str:
        report, skipped = self.report, self.report.without_positive + self.report.without_negative
        lines = [
            f"lists: {report.lists} of {report.queries} queries, "
            f"{report.short_lists} with fewer negatives than asked for",
            f"skipped queries: {skipped}, {report.without_positive} without a positive in the corpus, "
            f"{report.without_negative} without a negative",
            f"dropped candidates: {report.false_negatives} presumed false negatives, {report.duplicates} duplicates",
        ]
        if self.went_on_after:
            lines.append(f"went on after {self.went_on_after} queries of an earlier call")
        if self.missing:
            shown = ", ".join(self.missing[:SHOWN_MISSING])
            lines.append(f"relevant documents missing from the corpus, or empty: {len(self.missing)}, first {shown}")
        return "\n".join(lines)


def false_negatives(
    scores: NDArray[np.floating[Any]], positive_scores: NDArray[np.floating[Any]], settings: MiningSettings
) -> NDArray[np.bool_]:
    """Candidates that the teacher takes for relevant: (candidates,) and (positives,) logits -> (candidates,).

    Positive-aware mining, NV-Retriever (Moreira et al. 2024, arXiv:2407.15831, section 3). `margin` is TopK-MarginPos:
    a logit above the positive's less the margin. `relative_margin` is TopK-PercPos, with sentence-transformers' meaning
    of the number: 0.05 keeps up to 95 % of the positive. A share of a logit, which may be negative, says nothing, so
    the share is of the probability (sigmoid); it suits teachers trained with binary cross-entropy. Listwise losses
    leave a logit's zero open: use `margin` there. Of several positives, the one with the lowest score counts.
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
    """Indices of the negatives to keep, hardest first: (candidates,) hardness and what to leave out.

    A random draw depends on the seed and the query's id, and on no other query.
    """
    order = [int(index) for index in stable_order(hardness) if not dropped[index]]
    if settings.draw == "hardest" or len(order) <= settings.negatives:
        return order[: settings.negatives]
    places = random.Random(f"{settings.seed}:{query_id}").sample(range(len(order)), settings.negatives)
    return [order[place] for place in sorted(places)]


def mine(
    data: Path,
    output: Path,
    settings: MiningSettings,
    *,
    split: str = "train",
    teacher: CrossEncoder | None = None,
    show_progress: bool = False,
) -> Mined:
    """Mine lists with hard negatives from a BEIR folder into `output` (JSON lines that `read_lists` reads).

    A list has a query's positives (relevance above 0), best grade first, then its negatives, hardest first: BM25's
    documents that are not judged positive, in BM25's order, or in the teacher's. With a teacher, `teacher_scores` holds
    its raw logits. Raises SettingError for settings that do not fit, here or with a partial output that is there.
    """
    _check(settings, teacher, output)
    collection = read_collection(data, split=split)
    positives = _positives(collection)
    missing = sorted({d for of_query in positives.values() for d in of_query if not _has_text(collection, d)})
    query_ids = list(collection.queries)
    with partial_file(output, _facts(collection, settings, teacher)) as partial:
        report = MiningReport(**partial.counts)
        done = report.queries
        miner = _Miner(collection, positives, BM25(collection.corpus), settings, teacher)
        with tqdm(total=len(query_ids), initial=done, unit="query", delay=2, disable=not show_progress) as progress:
            for start in range(done, len(query_ids), CHUNK):
                chunk = query_ids[start : start + CHUNK]
                lines, report = miner.lists(chunk, report)
                partial.append(lines, asdict(report))
                progress.update(len(chunk))
        mined = Mined(report, done, missing)
        if not report.lists:
            raise DataError(f"{data} gives no list to train on: {'; '.join(str(mined).splitlines()[1:])}")
        partial.finish()
    return mined


@dataclass(frozen=True)
class _Pool:
    """A query's positives with their grades, and its candidates in BM25's order."""

    query_id: str
    positives: Mapping[str, int]
    candidates: Sequence[str]


@dataclass(frozen=True)
class _Miner:
    collection: Collection
    positives: Mapping[str, Mapping[str, int]]
    index: BM25
    settings: MiningSettings
    teacher: CrossEncoder | None

    def lists(self, query_ids: Sequence[str], report: MiningReport) -> tuple[list[str], MiningReport]:
        """The lists of a chunk of queries as JSON, and the report that counts them too."""
        pools, report = self._pools(query_ids, report.plus(queries=len(query_ids)))
        lines = []
        for pool, scores in zip(pools, self._scores(pools), strict=True):
            line, report = self._list(pool, scores, report)
            lines += [line] if line else []
        return lines, report

    def _pools(self, query_ids: Sequence[str], report: MiningReport) -> tuple[list[_Pool], MiningReport]:
        queries = {query_id: self.collection.queries[query_id] for query_id in query_ids}
        found: dict[str, list[str]] = defaultdict(list)
        for scored in self.index.run(queries, depth=self.settings.last_rank):
            found[scored.query_id].append(scored.doc_id)
        pools = []
        for query_id in query_ids:
            judged = self.positives.get(query_id, {})
            positives = {d: grade for d, grade in judged.items() if _has_text(self.collection, d)}
            window = [d for d in found[query_id][self.settings.min_rank - 1 :] if d not in judged]
            candidates = self._distinct(window, positives)
            report = report.plus(duplicates=len(window) - len(candidates) if positives else 0)
            if positives and candidates:
                pools.append(_Pool(query_id, positives, candidates))
            else:
                report = report.plus(**{"without_negative" if positives else "without_positive": 1})
        return pools, report

    def _distinct(self, candidates: Sequence[str], positives: Mapping[str, int]) -> list[str]:
        """The candidates without those whose text stands in a positive, or in an earlier candidate."""
        seen = {self.collection.corpus[doc_id] for doc_id in positives}
        kept = []
        for doc_id in candidates:
            if self.collection.corpus[doc_id] not in seen:
                seen.add(self.collection.corpus[doc_id])
                kept.append(doc_id)
        return kept

    def _scores(self, pools: Sequence[_Pool]) -> list[NDArray[np.float32] | None]:
        """The teacher's logits of each pool, positives first; None without a teacher."""
        if self.teacher is None:
            return [None] * len(pools)
        queries, corpus = self.collection.queries, self.collection.corpus
        keys = [(pool.query_id, doc_id) for pool in pools for doc_id in (*pool.positives, *pool.candidates)]
        logits = self.teacher.score([(queries[query_id], corpus[doc_id]) for query_id, doc_id in keys])[:, 0]
        ends = np.cumsum([len(pool.positives) + len(pool.candidates) for pool in pools], dtype=np.int64)
        return list(np.split(logits, ends[:-1]))

    def _list(
        self, pool: _Pool, scores: NDArray[np.float32] | None, report: MiningReport
    ) -> tuple[str | None, MiningReport]:
        settings, first = self.settings, len(pool.positives)
        hardness = -np.arange(len(pool.candidates), dtype=np.float32) if scores is None else scores[first:]
        dropped = np.zeros(len(hardness), np.bool_)
        if scores is not None:
            dropped = false_negatives(hardness, scores[:first], settings)
        kept = hard_negatives(hardness, dropped, settings, query_id=pool.query_id)
        report = report.plus(false_negatives=int(dropped.sum()))
        if not kept:
            return None, report.plus(without_negative=1)
        doc_ids = [*pool.positives, *(pool.candidates[index] for index in kept)]
        row: dict[str, object] = {
            "qid": pool.query_id,
            "query": self.collection.queries[pool.query_id],
            "docs": [self.collection.corpus[doc_id] for doc_id in doc_ids],
            "labels": [*pool.positives.values(), *[0] * len(kept)],
            "docids": doc_ids,
        }
        if scores is not None:  # the shortest decimals that give the float32 back
            row["teacher_scores"] = [float(str(score)) for score in (*scores[:first], *scores[first:][kept])]
            row["labels"] = row["teacher_scores"] if settings.teacher_labels else row["labels"]
        report = report.plus(lists=1, short_lists=int(len(kept) < settings.negatives))
        return json.dumps(row, ensure_ascii=False), report


def _check(settings: MiningSettings, teacher: CrossEncoder | None, output: Path) -> None:
    if teacher is None and settings.needs_teacher:
        raise SettingError(f"{' and '.join(settings.needs_teacher)} cannot go without a teacher")
    if teacher is not None and not teacher.model.ranks:
        raise SettingError(f"the teacher {teacher.model.name} has {teacher.model.labels} labels, not one")
    if output.is_dir():
        raise DataError(f"{output} is a folder; name a file to write to")
    if output.suffix in {".gz", ".parquet"}:
        raise SettingError(f"lists are mined into plain JSON lines; name {output.name} something that ends in .jsonl")


def _positives(collection: Collection) -> dict[str, dict[str, int]]:
    """The relevant documents of each query with their grades, best grade first."""
    positives: dict[str, dict[str, int]] = defaultdict(dict)
    for qrel in sorted(collection.qrels, key=lambda qrel: -qrel.relevance):
        if qrel.relevance > 0:
            positives[qrel.query_id].setdefault(qrel.doc_id, qrel.relevance)
    return positives


def _has_text(collection: Collection, doc_id: str) -> bool:
    return bool(collection.corpus.get(doc_id, "").strip())


def _facts(collection: Collection, settings: MiningSettings, teacher: CrossEncoder | None) -> dict[str, str]:
    """What decides about every byte of the output."""
    facts = {**asdict(settings), "max_rank": settings.last_rank, "queries a chunk": CHUNK}
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
