"""Files -> records. Errors name the file and the line.

Lists (`.jsonl`, `.jsonl.gz`, `.parquet`): `query`, `docs`, `labels`, and optionally `qid` and `docids`; or the columns
of MS MARCO v1.1, `query` and `passages` with `passage_text` and `is_selected`.
BEIR folders: `corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`, each plain or `.gz`.
"""

import gzip
import json
import math
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from plackett._extras import require
from plackett.errors import DataError
from plackett.records import Collection, LabeledList, Origin, Qrel, ScoredDoc

Row = tuple[str, Mapping[str, Any]]  # ("file:line", its values)


def read_lists(path: Path) -> Iterator[LabeledList]:
    """Labelled lists from a file of lists, one at a time."""
    for _, _, item in _lists(path):
        yield item


@dataclass(frozen=True)
class ListFile:
    """The lists of a file, read again each time they are gone through."""

    path: Path

    def __iter__(self) -> Iterator[LabeledList]:
        return read_lists(self.path)


def read_collection(path: Path, *, split: str = "test") -> Collection:
    """A BEIR folder (without a run), or a file of lists, whose run is the order of the documents in the file."""
    return _read_beir(path, split) if path.is_dir() else _collection(path.name, _lists(path))


def read_documents(stream: TextIO, name: str) -> list[str]:
    """Documents, one a line: plain text, or JSON lines that are strings or objects with `text` and maybe `title`.

    A line that is no JSON is plain text, unless the name ends in `.jsonl`.
    """
    documents = []
    try:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                documents.append(_document(f"{name}:{number}", line.strip(), json_only=name.endswith(".jsonl")))
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text: {error.reason}") from error
    return documents


def _document(where: str, line: str, *, json_only: bool) -> str:
    if line[0] not in '{"' and not json_only:
        return line
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        if json_only:
            raise DataError(f"{where}: not a line of JSON: {error}") from error
        return line
    return _text(where, value) if isinstance(value, dict) else _checked_text(value, f"{where}: the document")


def lists_as_collection(name: str, lists: Iterable[LabeledList]) -> Collection:
    """Lists to be measured on: a run in the order of the documents, and judgements that are the labels."""
    return _collection(name, ((f"{name}:{number}", {}, item) for number, item in enumerate(lists, start=1)))


def _collection(name: str, lists: Iterable[tuple[str, Mapping[str, Any], LabeledList]]) -> Collection:
    queries: dict[str, str] = {}
    corpus: dict[str, str] = {}
    qrels: list[Qrel] = []
    run: list[ScoredDoc] = []
    for number, (where, row, item) in enumerate(lists, start=1):
        query_id = str(row.get("qid", number))
        if query_id in queries:
            raise DataError(f"{where}: the qid {query_id!r} stands twice")
        queries[query_id] = item.query
        doc_ids = [
            str(doc_id) for doc_id in row.get("docids") or (f"{query_id}-{i}" for i in range(len(item.documents)))
        ]
        if len(set(doc_ids)) != len(item.documents):
            raise DataError(f"{where}: {len(item.documents)} docs but {len(set(doc_ids))} distinct docids")
        for rank, (doc_id, document, label) in enumerate(
            zip(doc_ids, item.documents, item.labels, strict=True), start=1
        ):
            corpus[doc_id] = document
            qrels.append(Qrel(query_id, doc_id, _relevance(where, label)))
            run.append(ScoredDoc(query_id, doc_id, -float(rank)))
    if not queries:
        raise DataError(f"{name} holds no lists")
    return Collection(name, queries, corpus, qrels, run, Origin(first_stage="the order in the file"))


def _read_beir(folder: Path, split: str) -> Collection:
    corpus = read_texts(_either(folder / "corpus.jsonl"))
    queries = read_texts(_either(folder / "queries.jsonl"))
    judged_in = _either(folder / "qrels" / f"{split}.tsv")
    qrels = list(read_qrels(judged_in))
    if not qrels:
        raise DataError(f"{folder}: the qrels of the split {split!r} hold no judgement")
    unknown = {qrel.query_id for qrel in qrels} - queries.keys()
    if unknown:
        raise DataError(
            f"{folder}: the qrels judge {len(unknown)} queries that queries.jsonl lacks, first {min(unknown)!r}"
        )
    judged = {qrel.query_id for qrel in qrels}
    kept = {query_id: text for query_id, text in queries.items() if query_id in judged}
    return Collection(folder.name, kept, corpus, qrels, (), Origin(files={"qrels": judged_in.name}))


def read_texts(path: Path, keep: Container[str] | None = None) -> dict[str, str]:
    """Texts by id, of those in `keep` if it is given: `_id`, `text` and maybe `title`, or lines of id, tab and text."""
    if ".tsv" in path.suffixes:
        return _tab_separated_texts(path, keep)
    texts: dict[str, str] = {}
    for where, row in read_rows(path):
        if "_id" not in row:
            raise DataError(f"{where}: no _id")
        if str(row["_id"]) in texts:
            raise DataError(f"{where}: the _id {str(row['_id'])!r} stands twice")
        if keep is None or str(row["_id"]) in keep:
            texts[str(row["_id"])] = _text(where, row)
    return texts


def _tab_separated_texts(path: Path, keep: Container[str] | None) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        text_id, tab, text = line.rstrip("\r\n").partition("\t")
        if not tab:
            raise DataError(f"{path}:{number}: not a line of id, tab and text")
        if text_id in texts:
            raise DataError(f"{path}:{number}: the id {text_id!r} stands twice")
        if keep is None or text_id in keep:
            texts[text_id] = text.replace("\t", " ")
    return texts


def _text(where: str, row: Mapping[str, Any]) -> str:
    text = _checked_text(row.get("text"), f"{where}: text")
    title = _checked_text(row.get("title") or "", f"{where}: title")
    return f"{title} {text}".strip()


def read_qrels(path: Path) -> Iterator[Qrel]:
    """Judgements of TREC (`query 0 document grade`) or BEIR (`query document grade`, with a header), plain or `.gz`."""
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or (number == 1 and fields[0] == "query-id"):
            continue
        try:
            query_id, *_, doc_id, grade = fields
            relevance = float(grade if len(fields) in (3, 4) else "")
        except ValueError:
            hint = "; this looks like a run, not like qrels" if len(fields) == 6 else ""
            raise DataError(
                f"{path}:{number}: not a line of query id, document id and relevance: {line.strip()!r}{hint}"
            ) from None
        yield Qrel(query_id, doc_id, _relevance(f"{path}:{number}", relevance))


def _relevance(where: str, label: float) -> int:
    if not float(label).is_integer():  # nor are NaN and infinity
        raise DataError(f"{where}: the label {label} is no whole number, so it cannot serve as a relevance grade")
    return int(label)


def _lists(path: Path) -> Iterator[tuple[str, Mapping[str, Any], LabeledList]]:
    """The lists of a file, each with where it stands and its row."""
    for where, row in read_rows(path):
        item = _ms_marco_list(where, row) if "passages" in row and "docs" not in row else _list(where, row)
        if item is not None:
            yield where, row, item


def _ms_marco_list(where: str, row: Mapping[str, Any]) -> LabeledList | None:
    """Passages with the selected first, else in their order; None for a row that has none selected."""
    passages = row["passages"]
    texts, selected = (
        passages.get(key) if isinstance(passages, dict) else None for key in ("passage_text", "is_selected")
    )
    if not isinstance(texts, list) or not isinstance(selected, list) or len(texts) != len(selected):
        raise DataError(f"{where}: passages needs passage_text and is_selected, two lists of one length")
    for index, label in enumerate(selected):
        if label not in (0, 1):
            raise DataError(f"{where}: passages.is_selected[{index}] is {label!r}, not 0 or 1")
    if not any(selected):
        return None
    order = sorted(range(len(texts)), key=lambda index: -selected[index])
    return LabeledList(
        query=_nonempty_text(row.get("query"), f"{where}: query"),
        documents=tuple(_checked_text(texts[i], f"{where}: passages.passage_text[{i}]") for i in order),
        labels=tuple(float(selected[i]) for i in order),
    )


def _list(where: str, row: Mapping[str, Any]) -> LabeledList:
    query, documents, labels = (row.get(key) for key in ("query", "docs", "labels"))
    if not isinstance(documents, list) or not isinstance(labels, list):
        raise DataError(f"{where}: a list needs query (text), docs (list of texts) and labels (list of numbers)")
    if len(documents) != len(labels):
        raise DataError(f"{where}: {len(documents)} docs but {len(labels)} labels")
    for index, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, int | float) or not math.isfinite(label):
            raise DataError(f"{where}: labels[{index}] is {label!r}, not a number")
    return LabeledList(
        query=_nonempty_text(query, f"{where}: query"),
        documents=tuple(_nonempty_text(text, f"{where}: docs[{index}]") for index, text in enumerate(documents)),
        labels=tuple(map(float, labels)),
    )


def _nonempty_text(value: object, what: str) -> str:
    text = _checked_text(value, what)
    if not text.strip():
        raise DataError(f"{what} is empty")
    return text


def _checked_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{what} is {type(value).__name__}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair, which no tokenizer takes
        raise DataError(f"{what} holds {value[error.start]!r}, half of a character, which is no text") from error
    return value


def read_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON lines or Parquet file, each with where it stands."""
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: not a line of JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: not a JSON object")
        yield f"{path}:{number}", row


def _parquet_rows(path: Path) -> Iterator[Row]:
    parquet = require("pyarrow.parquet", extra="train")
    pyarrow = require("pyarrow", extra="train")
    try:
        number = 0
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}:{number}", row
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, plain or `.gz`. DataError, naming the line, for what is not UTF-8 or cannot be read."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: not UTF-8 text ({error.reason} at byte {error.start} of the line)"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} cannot be read after line {number}: {reason}") from error


def _either(path: Path) -> Path:
    """`path`, or the same with .gz."""
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            return candidate
    raise DataError(f"there is no {path} (nor .gz); a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/test.tsv")
