"""Collections: what a file or a folder holds to measure on, and judged ids that the texts lack."""

import logging
from collections.abc import Iterable
from pathlib import Path

from plackett.data.beir import read_beir
from plackett.data.fields import checked_grade
from plackett.data.lists import ListEntry, read_list_entries
from plackett.data.rows import NO_COLUMNS, Columns
from plackett.errors import DataError
from plackett.records import Collection, LabeledList, Origin, Qrel, ScoredDoc

SHOWN = 5  # ids listed in a report

logger = logging.getLogger(__name__)


def read_collection(path: Path, *, split: str = "test", columns: Columns = NO_COLUMNS) -> Collection:
    """Read a BEIR folder (without a run), or a file of lists, whose run is the order of the documents in the file."""
    if path.is_dir():
        return read_beir(path, split)
    return _of_entries(path.name, list(read_list_entries(path, columns=columns)))


def lists_as_collection(name: str, lists: Iterable[LabeledList]) -> Collection:
    """Make a collection of lists: a run in the order of the documents, and judgements that are the labels."""
    return _of_entries(name, [ListEntry(f"{name}:{number}", item) for number, item in enumerate(lists, start=1)])


def unmatched(collection: Collection) -> str:
    """Say how many judged documents the corpus lacks, with the first few ids of both; empty for none.

    A collection without texts is measured by its ids alone: there, the run takes the place of the corpus, and only a
    run without any judged document is reported.
    """
    judged = list(dict.fromkeys(qrel.doc_id for qrel in collection.qrels))
    of_corpus = bool(collection.corpus)
    known = collection.corpus if of_corpus else dict.fromkeys(scored.doc_id for scored in collection.run)
    missing = [doc_id for doc_id in judged if doc_id not in known]
    if not missing or not known or (not of_corpus and len(missing) < len(judged)):
        return ""
    return (
        f"{collection.name}: {len(missing)} of {len(judged)} judged documents are not in the "
        f"{'corpus' if of_corpus else 'run'}: {_first(missing)}; its ids look like {_first(known)}"
    )


def check_matched(collection: Collection) -> Collection:
    """Warn of judged documents that the corpus lacks; DataError if it lacks all of them."""
    if report := unmatched(collection):
        if not any(qrel.doc_id in collection.corpus for qrel in collection.qrels) and collection.corpus:
            raise DataError(report)
        logger.warning("%s", report)
    return collection


def _first(ids: Iterable[str]) -> str:
    ids = list(ids)
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")


def _of_entries(name: str, entries: list[ListEntry]) -> Collection:
    if not entries:
        raise DataError(f"{name} holds no lists")
    queries: dict[str, str] = {}
    corpus: dict[str, str] = {}
    qrels: list[Qrel] = []
    run: list[ScoredDoc] = []
    for (query_id, doc_ids), entry in zip(_global_ids(entries), entries, strict=True):
        if query_id in queries:
            raise DataError(f"{entry.where}: the qid {query_id!r} stands twice")
        queries[query_id] = entry.item.query
        documents = zip(doc_ids, entry.item.documents, entry.item.labels, strict=True)
        for rank, (doc_id, document, label) in enumerate(documents, start=1):
            corpus[doc_id] = document
            qrels.append(Qrel(query_id, doc_id, checked_grade(label, f"{entry.where}: the label")))
            run.append(ScoredDoc(query_id, doc_id, -float(rank)))
    return Collection(name, queries, corpus, qrels, run, Origin(first_stage="the order in the file"))


def _global_ids(entries: list[ListEntry]) -> list[tuple[str, list[str]]]:
    """Return the ids of each list's query and documents.

    Ids in a file are local to their list: where one of them names two texts, all get the number of their list, too.
    """
    found = [
        (query_id, list(entry.doc_ids or (f"{query_id}-{index}" for index in range(len(entry.item.documents)))))
        for number, entry in enumerate(entries, start=1)
        for query_id in [str(number) if entry.query_id is None else entry.query_id]
    ]
    texts: dict[str, str] = {}
    pairs = (
        (doc_id, text)
        for (_, doc_ids), entry in zip(found, entries, strict=True)
        for doc_id, text in zip(doc_ids, entry.item.documents, strict=True)
    )
    if all(texts.setdefault(doc_id, text) == text for doc_id, text in pairs):
        return found
    return [
        (query_id, [f"{number}-{doc_id}" for doc_id in doc_ids])
        for number, (query_id, doc_ids) in enumerate(found, start=1)
    ]
