"""Rerank runs: score each query's top candidates with a CrossEncoder, in memory or from file to file.

`rerank_file` writes chunk by chunk and can be killed at any time: the same call continues after the last complete
chunk, and the final file is byte-identical to that of an uninterrupted call.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import COUNT, checked
from plackett._files import growing_file
from plackett._progress import progress_bar
from plackett._resumable import file_fact, partial_file
from plackett.cross_encoder import ALONE, CrossEncoder, Share
from plackett.data.documents import read_corpus, read_queries
from plackett.data.rows import NO_COLUMNS, Columns
from plackett.data.trec import run_lines, stream_run
from plackett.errors import CheckpointError, DataError, SettingError
from plackett.ranking import best_first, by_query, check_known, cut
from plackett.records import Collection, ScoredDoc
from plackett.tokenization.batches import WindowedPairs

CHUNK = 32  # queries per scoring pass and per entry of the journal
TAG = "plackett"


@dataclass(frozen=True)
class Candidates:
    """Each query's top candidates, tokenised once so that a model in training can score them many times.

    `filled` holds the indices of pairs whose document is not empty. Empty documents, which occur in real corpora, are
    not scored and rank last.
    """

    keys: Sequence[tuple[str, str]]
    filled: NDArray[np.int64]
    encoded: WindowedPairs

    @classmethod
    def of(cls, encoder: CrossEncoder, collection: Collection, depth: int) -> "Candidates":
        """Tokenise the first `depth` candidates of each query. Raises DataError for ids without a text."""
        keys = [(scored.query_id, scored.doc_id) for scored in cut(collection.run, depth)]
        check_known((key[0] for key in keys), collection.queries, "queries of the run", collection.name)
        check_known((key[1] for key in keys), collection.corpus, "documents of the run", collection.name)
        texts = [(collection.queries[query_id], collection.corpus[doc_id]) for query_id, doc_id in keys]
        filled = [index for index, (_, document) in enumerate(texts) if document.strip()]
        queries = [keys[index][0] for index in filled]
        encoded = encoder.encode([texts[index] for index in filled], lists=queries)
        return cls(keys, np.array(filled, np.int64), encoded)

    def rerank(self, encoder: CrossEncoder, *, share: Share = ALONE, show_progress: bool = False) -> list[ScoredDoc]:
        """Return the run by raw logits, because an activation could turn different logits into ties."""
        return self.run(encoder.score_encoded(self.encoded, share=share, show_progress=show_progress)[:, 0])

    def run(self, logits: NDArray[np.float32]) -> list[ScoredDoc]:
        """Return the run, given the logits of all `encoded`, (filled,)."""
        scores = np.full(len(self.keys), logits.min(initial=0) - 1, np.float32)
        scores[self.filled] = logits
        return [ScoredDoc(*key, float(score)) for key, score in zip(self.keys, scores, strict=True)]


@checked()
def rerank(
    encoder: CrossEncoder, collection: Collection, *, depth: Annotated[int, COUNT], show_progress: bool = False
) -> list[ScoredDoc]:
    """Score the first `depth` candidates of each query by raw logits. Raises DataError for ids without a text."""
    return Candidates.of(encoder, collection, depth).rerank(encoder, show_progress=show_progress)


@dataclass(frozen=True)
class Reranked:
    """The numbers of queries and pairs that `rerank_file` reranked, and of queries done by an earlier call."""

    queries: int
    pairs: int
    done_before: int


@checked()
def rerank_file(
    encoder: CrossEncoder,
    run: Path,
    output: Path,
    *,
    queries: Path,
    corpus: Path,
    depth: Annotated[int, COUNT] | None = None,
    columns: Columns = NO_COLUMNS,
    show_progress: bool = False,
) -> Reranked:
    """Rerank the TREC run `run` into `output`, a TREC run; each pair is scored once.

    `queries` and `corpus` are files of texts (JSON lines, `.tsv` or Parquet); only the texts that the run names are
    kept in memory. `columns` maps `query` and `qid`, and `text`, `title` and `docid`, to the names in these files.
    `depth` is the number of candidates to rerank per query; None reranks all. Raises DataError for unreadable files and
    ids without a text, and SettingError if a partial output was started with other files or another model.
    """
    if output.suffix == ".gz":
        raise SettingError(f"runs are plain text; choose an output that ends in .trec instead of {output.name}")
    for path in (run, queries, corpus):
        if path.is_fifo():
            raise DataError(f"{path} is a pipe, so an interrupted run could not continue; save its content to a file")
    output = growing_file(output, inputs=[run, queries, corpus, *folders_of(encoder)])
    collection, pairs = _texts(run, queries, corpus, depth, columns)
    facts = {name: file_fact(path) for name, path in (("run", run), ("queries", queries), ("corpus", corpus))}
    facts |= {"model": encoder.fingerprint(), "depth": str(depth), "queries a chunk": str(CHUNK)}
    facts |= {"columns": json.dumps(columns, sort_keys=True)} if columns else {}
    with partial_file(output, facts) as partial:
        counts: Mapping[str, int] = {"queries": 0, "pairs": 0} | dict(partial.counts)
        before = counts["queries"]
        with progress_bar(total=pairs, initial=counts["pairs"], unit="pair", delay=2, show=show_progress) as progress:
            rest = islice(_first(run, depth), before, None)
            while chunk := list(islice(rest, CHUNK)):
                lines, scored = _reranked_lines(encoder, collection, chunk)
                counts = {"queries": counts["queries"] + len(chunk), "pairs": counts["pairs"] + scored}
                partial.append(lines, counts)
                progress.update(scored)
        partial.finish()
    return Reranked(counts["queries"], counts["pairs"], before)


def folders_of(encoder: CrossEncoder) -> list[Path]:
    """Return the folder of the model as a list, which is empty for a server's."""
    try:
        return [encoder.checkpoint.folder]
    except CheckpointError:
        return []


def _texts(run: Path, queries: Path, corpus: Path, depth: int | None, columns: Columns) -> tuple[Collection, int]:
    """Read the texts that the run names, and count its pairs."""
    query_ids, doc_ids, pairs = dict[str, None](), dict[str, None](), 0
    for query_id, candidates in _first(run, depth):
        query_ids[query_id] = None
        doc_ids |= dict.fromkeys(scored.doc_id for scored in candidates)
        pairs += len(candidates)
    texts = [read_queries(queries, query_ids, columns=columns), read_corpus(corpus, doc_ids, columns=columns)]
    check_known(query_ids, texts[0], f"queries of {run.name}", queries.name)
    check_known(doc_ids, texts[1], f"documents of {run.name}", corpus.name)
    empty = [query_id for query_id in query_ids if not texts[0][query_id].strip()]
    if empty:
        raise DataError(f"{queries}: the query {empty[0]!r} is empty")
    return Collection(run.name, texts[0], texts[1], (), ()), pairs


def _first(run: Path, depth: int | None) -> Iterator[tuple[str, list[ScoredDoc]]]:
    for query_id, candidates in stream_run(run):
        yield query_id, best_first(candidates)[:depth]


def _reranked_lines(
    encoder: CrossEncoder, collection: Collection, chunk: Sequence[tuple[str, list[ScoredDoc]]]
) -> tuple[list[str], int]:
    run = [scored for _, candidates in chunk for scored in candidates]
    part = Collection(collection.name, collection.queries, collection.corpus, (), run)
    reranked = by_query(rerank(encoder, part, depth=len(run)))
    return [line for candidates in reranked.values() for line in run_lines(candidates, TAG)], len(run)
