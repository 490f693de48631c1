"""Ranking data on disk: lists, texts, BEIR folders, TREC runs and judgements, NanoBEIR."""

from plackett.data.rows import read_collection, read_documents, read_lists, read_qrels, read_texts
from plackett.data.trec import read_run

__all__ = ["read_collection", "read_documents", "read_lists", "read_qrels", "read_run", "read_texts"]
