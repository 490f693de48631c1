"""Ranking data on disk: lists, texts, BEIR folders, TREC runs and judgements, NanoBEIR."""

from plackett.data.beir import write_beir
from plackett.data.collections import check_matched, lists_as_collection, read_collection, unmatched
from plackett.data.documents import read_documents, read_records, read_texts
from plackett.data.fields import checked_qrels, checked_run
from plackett.data.lists import ListFile, read_lists, write_lists
from plackett.data.rows import Columns, check_columns, parse_columns
from plackett.data.trec import read_qrels, read_run

__all__ = [
    "Columns",
    "ListFile",
    "check_columns",
    "check_matched",
    "checked_qrels",
    "checked_run",
    "lists_as_collection",
    "parse_columns",
    "read_collection",
    "read_documents",
    "read_lists",
    "read_qrels",
    "read_records",
    "read_run",
    "read_texts",
    "unmatched",
    "write_beir",
    "write_lists",
]
