"""Exact search over the embeddings of a bi-encoder."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plackett.bi_encoder import BiEncoder
from plackett.ranking import stable_order
from plackett.records import ScoredDoc

CHUNK = 64  # queries whose scores are in memory at once


class Dense:
    """Ranks documents by the similarity of their embeddings to the query's. Never returns empty documents.

    The corpus is embedded when the first query arrives, and kept in memory: 4 bytes per document and dimension.
    """

    def __init__(self, encoder: BiEncoder, corpus: Mapping[str, str], *, show_progress: bool = False) -> None:
        self._encoder, self._show_progress = encoder, show_progress
        self._documents = {doc_id: text for doc_id, text in corpus.items() if text.strip()}

    @property
    def description(self) -> str:
        """The model and its similarity, in words."""
        return f"bi-encoder ({self._encoder.description}, {self._encoder.similarity})"

    def run(self, queries: Mapping[str, str], *, depth: int) -> list[ScoredDoc]:
        """Return each query's `depth` best documents, best first; ties keep the order of the corpus."""
        query_ids, doc_ids = list(queries), list(self._documents)
        if not query_ids or not doc_ids:
            return []
        run = []
        for start in range(0, len(query_ids), CHUNK):
            chunk = query_ids[start : start + CHUNK]
            embeddings = self._encoder.embed([queries[query_id] for query_id in chunk], role="query")
            for query_id, scores in zip(chunk, embeddings @ self._embeddings.T, strict=True):
                run += [ScoredDoc(query_id, doc_ids[index], float(scores[index])) for index in _best(scores, depth)]
        return run

    @cached_property
    def _embeddings(self) -> NDArray[np.float32]:
        texts = list(self._documents.values())
        return self._encoder.embed(texts, role="document", show_progress=self._show_progress)


def _best(scores: NDArray[np.float32], depth: int) -> NDArray[np.intp]:
    """Return the first `depth` of `stable_order(scores)`, without sorting the rest."""
    if depth >= len(scores):
        return stable_order(scores)
    lowest = np.partition(scores, -depth)[-depth]
    candidates = np.flatnonzero(scores >= lowest)
    return candidates[stable_order(scores[candidates])][:depth]
