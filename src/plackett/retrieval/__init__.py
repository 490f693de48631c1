"""First stages and their uses: BM25, dense retrieval, hard negatives, reranking of runs."""

from typing import TYPE_CHECKING

from plackett._extras import lazily

if TYPE_CHECKING:
    from plackett.retrieval.bm25 import BM25, Splitting, with_bm25
    from plackett.retrieval.first_stage import FIRST_STAGES, FirstStage, FirstStageSettings, with_first_stage
    from plackett.retrieval.hard_negatives import MiningSettings, mine
    from plackett.retrieval.reranking import rerank_file

__all__ = [
    "BM25",
    "FIRST_STAGES",
    "FirstStage",
    "FirstStageSettings",
    "MiningSettings",
    "Splitting",
    "mine",
    "rerank_file",
    "with_bm25",
    "with_first_stage",
]

__getattr__ = lazily(
    __name__,
    {
        "BM25": "bm25",
        "FIRST_STAGES": "first_stage",
        "FirstStage": "first_stage",
        "FirstStageSettings": "first_stage",
        "MiningSettings": "hard_negatives",
        "Splitting": "bm25",
        "mine": "hard_negatives",
        "rerank_file": "reranking",
        "with_bm25": "bm25",
        "with_first_stage": "first_stage",
    },
    extra="evaluate",
)
