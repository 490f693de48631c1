"""Records -> files, in the formats that `readers` reads. Each file is written beside and renamed."""

import contextlib
import json
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from plackett.errors import DataError, PlackettError
from plackett.records import Collection, LabeledList


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[TextIO]:
    """A new text file that takes `target`'s place, in one step, when the block ends well; else nothing changes."""
    target = target.resolve()
    if target.is_dir():
        raise DataError(f"{target} is a folder; name a file to write to")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stream = beside.open("x", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with stream:
            yield stream
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` whose files take their places there when the block ends well; else nothing changes.

    A link in the place of a file is replaced, and what it leads to is left alone. Each file comes by a rename: a
    process killed between two of them leaves every file whole, the first new and the last old, and `folder/.NAME`.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:
            yield Path(beside)
            paths = sorted(Path(beside).iterdir())
            for path in paths:
                if (folder / path.name).is_dir():
                    raise DataError(f"{folder / path.name} is a folder in the place of a file; move it away")
            for path in paths:
                path.replace(folder / path.name)
    except OSError as error:
        if isinstance(error, PlackettError):
            raise
        raise DataError(f"{folder} cannot be written to: {error.strerror or error}") from error


def write_lists(path: Path, lists: Iterable[LabeledList]) -> None:
    """JSON lines of `query`, `docs` and `labels`."""
    with whole_file(path) as stream:
        for item in lists:
            _write(stream, {"query": item.query, "docs": item.documents, "labels": item.labels})


def write_beir(folder: Path, collection: Collection, *, split: str = "test") -> None:
    """A BEIR folder: corpus, queries and judgements."""
    with whole_file(folder / "corpus.jsonl") as stream:
        for doc_id, text in collection.corpus.items():
            _write(stream, {"_id": doc_id, "text": text})
    with whole_file(folder / "queries.jsonl") as stream:
        for query_id, text in collection.queries.items():
            _write(stream, {"_id": query_id, "text": text})
    with whole_file(folder / "qrels" / f"{split}.tsv") as stream:
        stream.write("query-id\tcorpus-id\tscore\n")
        for qrel in collection.qrels:
            stream.write(f"{qrel.query_id}\t{qrel.doc_id}\t{qrel.relevance}\n")


def _write(stream: TextIO, row: dict[str, object]) -> None:
    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
