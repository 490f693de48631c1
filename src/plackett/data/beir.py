"""BEIR folders: `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`, each plain or `.gz`."""

import json
from pathlib import Path
from typing import TextIO

from plackett._arguments import checked
from plackett._files import whole_file
from plackett.data.documents import read_corpus, read_queries
from plackett.data.fields import checked_grade, checked_id
from plackett.data.rows import NO_COLUMNS, Columns
from plackett.data.trec import read_qrels
from plackett.errors import DataError
from plackett.records import Collection, Origin


def read_beir(folder: Path, split: str, *, columns: Columns = NO_COLUMNS) -> Collection:
    """Read a BEIR folder: only the queries that the split's judgements name, and no run."""
    corpus = read_corpus(_either(folder / "corpus.jsonl"), columns=columns)
    queries = read_queries(_either(folder / "queries.jsonl"), columns=columns)
    judged_in = _either(folder / "qrels" / f"{split}.tsv")
    qrels = list(read_qrels(judged_in))
    if not qrels:
        raise DataError(f"{folder}: the qrels of the split {split!r} contain no judgements")
    unknown = {qrel.query_id for qrel in qrels} - queries.keys()
    if unknown:
        raise DataError(f"{folder}: queries.jsonl lacks {len(unknown):,} of the judged queries, first {min(unknown)!r}")
    judged = {qrel.query_id for qrel in qrels}
    kept = {query_id: text for query_id, text in queries.items() if query_id in judged}
    return Collection(folder.name, kept, corpus, qrels, (), Origin(files={"qrels": judged_in.name}))


@checked()
def write_beir(folder: Path, collection: Collection, *, split: str = "test") -> None:
    """Write a BEIR folder: corpus, queries and judgements."""
    for name, texts in (("corpus", collection.corpus), ("queries", collection.queries)):
        with whole_file(folder / f"{name}.jsonl") as stream:
            for text_id, text in texts.items():
                _write(stream, {"_id": checked_id(text_id, f"an id of the {name}"), "text": text})
    with whole_file(folder / "qrels" / f"{split}.tsv") as stream:
        stream.write("query-id\tcorpus-id\tscore\n")
        for qrel in collection.qrels:
            grade = checked_grade(qrel.relevance, f"the grade of {qrel.doc_id} for {qrel.query_id}")
            query_id = _cell(qrel.query_id)
            if query_id.startswith("#"):
                raise DataError(f"the query id {query_id!r} begins with #, which begins a comment in qrels")
            stream.write(f"{query_id}\t{_cell(qrel.doc_id)}\t{grade}\n")


def _cell(text: object) -> str:
    cell = checked_id(text, "an id of the judgements")
    if not {"\t", "\n", "\r"}.isdisjoint(cell):
        raise DataError(f"the id {cell!r} contains a tab or a line end, which qrels cannot contain")
    return cell


def _write(stream: TextIO, row: dict[str, object]) -> None:
    stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _either(path: Path) -> Path:
    """Return `path`, or the path with `.gz` appended."""
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"there is no {path} (nor .gz); a BEIR folder contains corpus.jsonl, queries.jsonl and qrels/test.tsv"
    )
