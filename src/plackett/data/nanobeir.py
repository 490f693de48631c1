"""NanoBEIR: thirteen small collections of 50 queries with BM25's top 100, in both layouts found on the Hub.

The newer layout is one repository with `corpus`, `queries`, `qrels` and `bm25`, each split by collection. The older one
is a repository per collection, with `corpus`, `queries` and `relevance`. Local copies of both work too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from plackett.checkpoints.hub import commit_of, download_dataset
from plackett.data.documents import read_texts
from plackett.data.fields import checked_grade, checked_id, parsed
from plackett.data.rows import read_rows
from plackett.errors import DataError, HubError, SettingError
from plackett.records import Collection, Origin, Qrel, ScoredDoc

REPOSITORY = "sentence-transformers/NanoBEIR-en"
NAMES = (
    "ClimateFEVER", "DBPedia", "FEVER", "FiQA2018", "HotpotQA", "MSMARCO", "NFCorpus", "NQ", "QuoraRetrieval",
    "SCIDOCS", "ArguAna", "SciFact", "Touche2020",
)  # fmt: skip


def is_nanobeir(folder: Path) -> bool:
    """Whether a folder is a local copy of one of the two layouts."""
    return (folder / "corpus").is_dir() and ((folder / "bm25").is_dir() or (folder / "relevance").is_dir())


def read_nanobeir(source: str | Path = REPOSITORY, names: Sequence[str] = ()) -> list[Collection]:
    """Read the collections of these names, by default all, from a local copy or a Hub repository.

    A copy in the older layout contains one collection. Raises SettingError for an unknown name, and HubError if the
    download fails.
    """
    full = [_name(name) for name in names]
    folder, origin = Path(source), Origin(first_stage="BM25, as NanoBEIR has it")
    if not folder.is_dir():
        folder = _from_hub(str(source), full)
        origin = replace(origin, source=f"hf://datasets/{source}", revision=commit_of(folder))
    if (folder / "relevance").is_dir():
        return [replace(_read_one_of_thirteen(folder), origin=origin)]
    present = [name for name in NAMES if _files(folder, "corpus", f"Nano{name}")]
    collections = [replace(_read_part(folder, f"Nano{name}"), origin=origin) for name in full or present]
    if not collections:
        raise DataError(f"{folder} contains no collection of NanoBEIR")
    return collections


def _name(name: str) -> str:
    """Return the canonical name: `msmarco`, `MSMARCO` and `NanoMSMARCO` mean the same."""
    by_key = {known.lower(): known for known in NAMES}
    key = name.lower().removeprefix("nano")
    if key not in by_key:
        raise SettingError.unknown("collection of NanoBEIR", name, NAMES)
    return by_key[key]


def _from_hub(repository: str, names: Sequence[str]) -> Path:
    folder = download_dataset(repository, [f"*/Nano{name}*" for name in names or NAMES] + ["*/train*"])
    if not is_nanobeir(folder):
        raise HubError(f"{repository} has neither of NanoBEIR's layouts, or the Hub's cache contains only part of it")
    return folder


def _read_part(folder: Path, name: str) -> Collection:
    qrels = [
        Qrel(_text(where, row, "query-id"), doc_id, checked_grade(parsed(row.get("score", 1)), f"{where}: score"))
        for where, row in _rows(folder, "qrels", name)
        for doc_id in _ids(where, row, "corpus-id")
    ]
    rows = [
        (_text(where, row, "query-id"), _ids(where, row, "corpus-ids")) for where, row in _rows(folder, "bm25", name)
    ]
    return _collection(folder, name, name, qrels, rows)


def _read_one_of_thirteen(folder: Path) -> Collection:
    rows = [
        (_text(where, row, "query-id"), _ids(where, row, "positive-corpus-ids"), _ids(where, row, "bm25-ranked-ids"))
        for where, row in _rows(folder, "relevance", "train")
    ]
    qrels = [Qrel(query_id, doc_id, 1) for query_id, positives, _ in rows for doc_id in positives]
    name = next((f"Nano{name}" for name in NAMES if f"nano{name}".lower() in str(folder).lower()), folder.name)
    return _collection(folder, name, "train", qrels, [(query_id, ranked) for query_id, _, ranked in rows])


def _collection(
    folder: Path, name: str, part: str, qrels: Sequence[Qrel], ranked: Sequence[tuple[str, Sequence[str]]]
) -> Collection:
    texts = []
    for subset in ("queries", "corpus"):
        texts.append({key: text for path in _found(folder, subset, part) for key, text in read_texts(path).items()})
    queries, corpus = texts
    judged = {qrel.query_id for qrel in qrels}
    run = [
        ScoredDoc(query_id, doc_id, -float(rank))
        for query_id, doc_ids in ranked
        for rank, doc_id in enumerate(doc_ids, start=1)
    ]
    return Collection(name, {key: text for key, text in queries.items() if key in judged}, corpus, qrels, run)


def _rows(folder: Path, subset: str, part: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in _found(folder, subset, part):
        yield from read_rows(path)


def _found(folder: Path, subset: str, part: str) -> list[Path]:
    files = _files(folder, subset, part)
    if not files:
        raise DataError(f"{folder / subset} contains no {part}*.parquet (nor .jsonl)")
    return files


def _files(folder: Path, subset: str, part: str) -> list[Path]:
    return [
        path
        for path in sorted((folder / subset).glob(f"{part}*"))
        if path.name.removeprefix(part)[:1] in {"-", "."} and path.suffix in {".parquet", ".jsonl", ".gz"}
    ]


def _ids(where: str, row: Mapping[str, Any], column: str) -> list[str]:
    value = row.get(column)
    if value is None:
        raise DataError(f"{where}: no {column}")
    values = value if isinstance(value, list) else [value]
    return [checked_id(item, f"{where}: {column}") for item in values]


def _text(where: str, row: Mapping[str, Any], column: str) -> str:
    return _ids(where, row, column)[0]
