"""Collections: the data in a file or folder that systems are measured on, and reports of judged ids without texts."""

import logging
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from plackett._arguments import checked
from plackett._wording import counted
from plackett.data.beir import read_beir
from plackett.data.fields import checked_grade
from plackett.data.lists import ListEntry, read_list_entries
from plackett.data.rows import NO_COLUMNS, Columns
from plackett.errors import DataError
from plackett.records import FILE_ORDER, Collection, LabeledList, Origin, Qrel, ScoredDoc

SHOWN = 5  # ids listed in a report

logger = logging.getLogger(__name__)


@checked()
def read_collection(path: Path, *, split: str = "test", columns: Columns = NO_COLUMNS) -> Collection:
    """Read a BEIR folder (without a run), or a file of lists, whose run is the order of the documents in the file."""
    if path.is_dir():
        return read_beir(path, split, columns=columns)
    return _of_entries(path.name, list(read_list_entries(path, columns=columns)))


@checked()
def lists_as_collection(name: str, lists: Iterable[LabeledList]) -> Collection:
    """Make a collection from lists: the run is the order of the documents, and the judgements are the labels."""
    entries = [ListEntry(f"{name}:{number}", item) for number, item in enumerate(lists, start=1)]
    for entry in entries:
        if not isinstance(entry.item, LabeledList):
            raise DataError(f"{entry.where} is {type(entry.item).__name__}, not a LabeledList")
    return _of_entries(name, entries)


@checked()
def unmatched(collection: Collection) -> str:
    """Report how many judged documents are missing from the corpus, with the first ids of both; empty for none.

    A collection without texts is measured by ids alone: the run replaces the corpus, and the report is empty unless
    the run contains no judged document at all.
    """
    judged = dict.fromkeys(qrel.doc_id for qrel in collection.qrels)
    if collection.corpus:
        where, known = "corpus", collection.corpus.keys()
    else:
        where, known = "run", dict.fromkeys(scored.doc_id for scored in collection.run).keys()
    missing = [doc_id for doc_id in judged if doc_id not in known]
    if not missing or not known or (where == "run" and len(missing) < len(judged)):
        return ""
    return (
        f"{collection.name}: the {where} lacks {len(missing):,} of {counted(len(judged), 'judged document')}: "
        f"{_first(missing)}; its ids look like {_first(known)}"
    )


@checked()
def check_matched(collection: Collection) -> Collection:
    """Return the collection; warn if judged documents are missing from the corpus, DataError if all are missing."""
    if report := unmatched(collection):
        if collection.corpus and not any(qrel.doc_id in collection.corpus for qrel in collection.qrels):
            raise DataError(report)
        logger.warning("%s", report)
    return collection


def _first(ids: Iterable[str]) -> str:
    first = list(islice(ids, SHOWN + 1))
    return ", ".join(first[:SHOWN]) + (", ..." if len(first) > SHOWN else "")


def _of_entries(name: str, entries: list[ListEntry]) -> Collection:
    if not entries:
        raise DataError(f"{name} contains no lists")
    queries: dict[str, str] = {}
    corpus: dict[str, str] = {}
    qrels: list[Qrel] = []
    run: list[ScoredDoc] = []
    for (query_id, doc_ids), entry in zip(_global_ids(entries), entries, strict=True):
        if query_id in queries:
            raise DataError(f"{entry.where}: the qid {query_id!r} is listed twice")
        queries[query_id] = entry.item.query
        documents = zip(doc_ids, entry.item.documents, entry.item.labels, strict=True)
        for rank, (doc_id, document, label) in enumerate(documents, start=1):
            corpus[doc_id] = document
            qrels.append(Qrel(query_id, doc_id, checked_grade(label, f"{entry.where}: the label")))
            run.append(ScoredDoc(query_id, doc_id, -float(rank)))
    return Collection(name, queries, corpus, qrels, run, Origin(first_stage=FILE_ORDER))


def _global_ids(entries: list[ListEntry]) -> list[tuple[str, list[str]]]:
    """Return the ids of each list's query and documents.

    Ids in a file are local to their list: if one id names two texts, the number of the list is added to each.
    """
    found = [_local_ids(number, entry) for number, entry in enumerate(entries, start=1)]
    texts: dict[str, str] = {}
    for (_, doc_ids), entry in zip(found, entries, strict=True):
        for doc_id, text in zip(doc_ids, entry.item.documents, strict=True):
            if texts.setdefault(doc_id, text) != text:
                return _numbered(found)
    return found


def _local_ids(number: int, entry: ListEntry) -> tuple[str, list[str]]:
    query_id = str(number) if entry.query_id is None else entry.query_id
    if entry.doc_ids is None:
        return query_id, [f"{query_id}-{index}" for index in range(len(entry.item.documents))]
    return query_id, list(entry.doc_ids)


def _numbered(found: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    return [
        (query_id, [f"{number}-{doc_id}" for doc_id in doc_ids])
        for number, (query_id, doc_ids) in enumerate(found, start=1)
    ]
