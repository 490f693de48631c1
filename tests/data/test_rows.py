"""The table of formats, and foreign bytes: each reader gives records, or one error of Plackett's."""

import bz2
import gzip
import io
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plackett import DataError, PlackettError, SettingError
from plackett.data import read_collection, read_documents, read_lists, read_qrels, read_run, read_texts
from plackett.data.rows import FORMATS, read_rows
from plackett.data.trec import run_lines, stream_run
from plackett.records import LabeledList, Qrel, ScoredDoc


def test_a_format_is_a_line_of_a_table(tmp_path, monkeypatch):
    def pipes(source):
        for number, line in enumerate(source.stream, start=1):
            text_id, text = line.decode().rstrip().split("|")
            yield f"{source.name}:{number}", {"_id": text_id, "text": text}

    monkeypatch.setitem(FORMATS, ".psv", pipes)
    (tmp_path / "x.psv.gz").write_bytes(gzip.compress(b"1|one\n2|two\n"))
    assert read_texts(tmp_path / "x.psv.gz") == {"1": "one", "2": "two"}
    assert read_documents(tmp_path / "x.psv.gz") == ["one", "two"]


def test_lines_end_at_line_feeds_only(tmp_path):
    text = "a\u2028b\x0bc\x85d"
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [row for _, row in read_rows(tmp_path / "x.jsonl")] == [{"text": text}]


def twice(suffix):
    """A file whose row has the key `text` twice: Python's readers of JSON and Parquet keep the last."""
    row = '{"_id": "1", "text": "a", "text": "b"}'
    if suffix == ".parquet":
        columns = [pa.array([value]) for value in ("1", "a", "b")]
        pq.write_table(pa.table(columns, names=["_id", "text", "text"]), stream := io.BytesIO())
        return stream.getvalue()
    separator = "\t" if suffix == ".tsv" else ","
    table = "\n".join([separator.join(["_id", "text", "text"]), separator.join("1ab")])
    return {".json": f"[{row}]", ".csv": table, ".tsv": table}.get(suffix, row).encode()


@pytest.mark.parametrize("suffix", [*FORMATS, ".txt"])
def test_a_name_that_a_row_has_twice_is_an_error_in_every_format(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_bytes(twice(suffix))
    for read in (read_texts, read_documents):
        with pytest.raises(DataError, match=rf"x\{suffix}.*text"):
            read(tmp_path / f"x{suffix}")


PACKED = {
    "bzip2": bz2.compress(b"q 0 a 1\n"),
    "xz": lzma.compress(b"q 0 a 1\n"),
    "zstd": b"(\xb5/\xfd\x04\x58A\0\0q 0 a 1\n",
    "zip": b"PK\x03\x04\x14\0",
    "PDF": b"%PDF-1.4\n",
    "UTF-16": "q 0 a 1\n".encode("utf-16"),
    "UTF-16 without a byte order mark": "q 0 a 1\n".encode("utf-16-le"),
    "UTF-16 of the other order, without a mark": "q 0 a 1\n".encode("utf-16-be"),
    "UTF-16 of the other order": b"\xfe\xff" + "q 0 a 1\n".encode("utf-16-be"),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_not_text_is_called_what_it_is(tmp_path, name):
    (tmp_path / "x").write_bytes(PACKED[name])
    for read in (read_documents, read_run, lambda path: list(read_qrels(path))):
        with pytest.raises(DataError, match=f"x cannot be read: it is .*{name.split()[0]}"):
            read(tmp_path / "x")
    assert read_documents(io.BytesIO(b"BZh is a text, and PK too\n")) == ["BZh is a text, and PK too"]


@pytest.mark.parametrize("read", [read_texts, lambda path: list(read_lists(path))], ids=["texts", "lists"])
def test_a_table_with_the_suffix_of_a_text_names_the_suffixes(tmp_path, read):
    (tmp_path / "x.txt").write_text("q1\tsort a list\n")
    with pytest.raises(DataError, match=r"x\.txt:1: not a line of JSON: .*suffix: .*\.tsv"):
        read(tmp_path / "x.txt")


def test_an_unknown_column_is_an_error_in_python_too(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"query": "q", "document": "d", "label": 1, "grade": 0}')
    with pytest.raises(SettingError, match="did you mean 'label'"):
        list(read_lists(tmp_path / "x.jsonl", columns={"lable": "grade"}))


def parquet():
    rows = [{"query": "q", "docs": ["a", "b"], "labels": [1.0, 0.0]}]
    pq.write_table(pa.Table.from_pylist(rows), stream := io.BytesIO())
    return stream.getvalue()


SEEDS = [
    b'{"query": "q", "docs": ["a", "b"], "labels": [1, 0], "qid": 1, "docids": [1, 2]}\n',
    b'{"query": "q", "passages": {"passage_text": ["a", "b"], "is_selected": [0, 1]}}\n',
    b'{"_id": "1", "title": "t", "text": "a"}\n',
    b'[{"query": "q", "positive": "a", "negative": "b"}]',
    b"query,document,label\r\nq,a,1\r\nq,b,0\r\n",
    b"id\ttext\n1\ta\n",
    b"q 0 a 1\nq 0 b 0\n",
    b"query-id\tcorpus-id\tscore\nq\ta\t1\n",
    b"q Q0 a 1 2.5 tag\nq Q0 b 2 2 tag\n",
    gzip.compress(b'{"_id": "1", "text": "a"}\n', mtime=0),
    parquet(),
]
READERS = {
    "lists": (read_lists, LabeledList),
    "collection": (lambda path: read_collection(path).qrels, Qrel),
    "texts": (lambda path: read_texts(path).values(), str),
    "documents": (read_documents, str),
    "qrels": (read_qrels, Qrel),
    "run": (read_run, ScoredDoc),
    "stream": (lambda path: [item for _, items in stream_run(path) for item in items], ScoredDoc),
}


@st.composite
def foreign(draw):
    """Arbitrary bytes, or those of a file that is one, with some of them changed."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"null", b"1e999", b"\\ud800", b'"', b"\r", b"\0", b"[" * 2000])
        )
    return bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [*FORMATS, ".txt", ".jsonl.gz", ".parquet.gz"])
@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=foreign())
@example(content=b'{"query": "q", "docs": ["a"], "labels": [1' + b"0" * 400 + b"]}")
@example(content=b"\xff\xfeq\0")
def test_foreign_bytes_are_records_or_one_error(tmp_path, reader, suffix, content):
    read, record = READERS[reader]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    found = outcome(read, path)
    if isinstance(found, PlackettError):
        assert path.name in str(found)
        return
    assert all(isinstance(item, record) for item in found)
    if record is ScoredDoc:
        assert all(run_lines([item], "t") for item in found)


def outcome(read, path):
    try:
        return list(read(path))
    except PlackettError as error:
        return error
