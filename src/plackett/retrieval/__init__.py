"""First stages and what is built on them: BM25, hard negatives, reranking of runs."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.retrieval.hard_negatives import BM25, MiningSettings, mine, with_bm25
    from plackett.retrieval.reranking import rerank_file

__all__ = ["BM25", "MiningSettings", "mine", "rerank_file", "with_bm25"]

__getattr__ = lazily(
    __name__,
    {
        "BM25": "hard_negatives",
        "MiningSettings": "hard_negatives",
        "mine": "hard_negatives",
        "rerank_file": "reranking",
        "with_bm25": "hard_negatives",
    },
)
