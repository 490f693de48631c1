"""Files -> records, and what is said of files that cannot be read."""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plackett import DataError
from plackett.data import read_collection, read_lists
from plackett.records import LabeledList

ROWS = [
    {"query": "q one", "docs": ["a", "b"], "labels": [1, 0.5]},
    {"query": "q zwei", "docs": ["東京"], "labels": [2]},
]
LISTS = [LabeledList("q one", ("a", "b"), (1.0, 0.5)), LabeledList("q zwei", ("東京",), (2.0,))]


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def lists(path):
    return list(read_lists(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.jsonl", lines(ROWS)),
        ("l.jsonl", b"\n" + lines(ROWS).replace(b"\n", b"\r\n\r\n")),
        ("l.jsonl", b"\xef\xbb\xbf" + lines(ROWS)),
        ("l.jsonl", lines(ROWS).rstrip()),
        ("l.jsonl.gz", gzip.compress(lines(ROWS), mtime=0)),
        ("l.jsonl.gz", gzip.compress(lines(ROWS[:1]), mtime=0) + gzip.compress(lines(ROWS[1:]), mtime=0)),
    ],
)
def test_lists_in_lines(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert lists(tmp_path / name) == LISTS


def test_lists_in_parquet(tmp_path):
    rows = [{**row, "labels": [float(label) for label in row["labels"]]} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "l.parquet")
    assert lists(tmp_path / "l.parquet") == LISTS


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": "q"', "not a line of JSON"),
        ("[" * 100_000, "not a line of JSON"),
        ("[1, 2]", "not a JSON object"),
        ("{}", "a list needs query .* docs .* labels"),
        ('{"query": "q", "docs": "a", "labels": [1]}', "a list needs"),
        ('{"query": "q", "docs": ["a"], "labels": 1}', "a list needs"),
        ('{"query": "q", "docs": ["a", "b"], "labels": [1]}', "2 docs but 1 labels"),
        ('{"query": " ", "docs": ["a"], "labels": [1]}', "query is empty"),
        ('{"query": 3, "docs": ["a"], "labels": [1]}', "query is int, not text"),
        ('{"docs": ["a"], "labels": [1]}', "query is NoneType, not text"),
        ('{"query": "q", "docs": ["a", ""], "labels": [1, 0]}', r"docs\[1\] is empty"),
        ('{"query": "q", "docs": [null], "labels": [1]}', r"docs\[0\] is NoneType, not text"),
        ('{"query": "q", "docs": ["\\ud800"], "labels": [1]}', r"docs\[0\] holds '\\ud800', half of a character"),
        ('{"query": "q", "docs": ["a"], "labels": ["1"]}', r"labels\[0\] is '1', not a number"),
        ('{"query": "q", "docs": ["a"], "labels": [true]}', r"labels\[0\] is True, not a number"),
        ('{"query": "q", "docs": ["a"], "labels": [NaN]}', r"labels\[0\] is nan, not a number"),
        ('{"query": "q", "docs": ["a"], "labels": [1e999]}', r"labels\[0\] is inf, not a number"),
        ('{"query": "q", "docs": ["a"], "labels": [null]}', r"labels\[0\] is None, not a number"),
    ],
)
@pytest.mark.parametrize("name", ["l.jsonl", "l.jsonl.gz"])
def test_a_broken_line_is_named(tmp_path, name, line, message):
    content = lines(ROWS) + b"\n" + line.encode()
    (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content)
    with pytest.raises(DataError, match=f"{name}:4: {message}"):
        lists(tmp_path / name)


def test_a_broken_row_of_parquet_is_named(tmp_path):
    documents = [["a"]] * 299 + [["a", "b"]]
    table = pa.table({"query": ["q"] * 300, "docs": documents, "labels": [[1]] * 300})
    pq.write_table(table, tmp_path / "l.parquet")
    with pytest.raises(DataError, match=r"l\.parquet:300: 2 docs but 1 labels"):
        lists(tmp_path / "l.parquet")


def test_lines_come_one_at_a_time(tmp_path):
    (tmp_path / "l.jsonl").write_bytes(lines(ROWS) + b"broken")
    stream = read_lists(tmp_path / "l.jsonl")
    assert [next(stream), next(stream)] == LISTS
    with pytest.raises(DataError):
        next(stream)


def test_files_that_cannot_be_read(tmp_path):
    whole = gzip.compress(lines(ROWS * 5000), mtime=0)
    pq.write_table(pa.Table.from_pylist(ROWS[1:]), tmp_path / "whole.parquet")
    parquet = (tmp_path / "whole.parquet").read_bytes()
    files = {
        "cut.jsonl.gz": (whole[: len(whole) // 2], "cannot be read after line [1-9]"),
        "damaged.jsonl.gz": (whole[:500] + b"\0" * 500 + whole[1000:], "cannot be read|not UTF-8|JSON"),
        "plain.jsonl.gz": (lines(ROWS), "cannot be read after line 0: Not a gzipped file"),
        "latin.jsonl": (
            lines(ROWS) + "{'é'}".encode("latin-1"),
            r"latin\.jsonl:3: not UTF-8 text .* at byte 2 of the line",
        ),
        "utf16.jsonl": (lines(ROWS).decode().encode("utf-16"), r"utf16\.jsonl:1: not UTF-8 text"),
        "cut.parquet": (parquet[: len(parquet) // 2], "cannot be read"),
        "damaged.parquet": (parquet[:4] + b"\xff" * 30 + parquet[34:], "cannot be read"),
        "empty.parquet": (b"", "cannot be read"),
        "text.parquet": (lines(ROWS), "cannot be read"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            lists(tmp_path / name)
        assert name in str(caught.value)


@pytest.mark.parametrize("name", ["l.jsonl", "l.jsonl.gz", "l.parquet"])
@pytest.mark.parametrize("make", [lambda path: None, os.mkdir])
def test_files_that_are_not_there(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        lists(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "l.jsonl").write_bytes(lines(ROWS))
    (tmp_path / "l.jsonl").chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        lists(tmp_path / "l.jsonl")


def test_an_empty_file_holds_no_lists(tmp_path):
    for name, content in [("l.jsonl", b""), ("l.jsonl.gz", b""), ("m.jsonl.gz", gzip.compress(b"", mtime=0))]:
        (tmp_path / name).write_bytes(content)
        assert lists(tmp_path / name) == []
        with pytest.raises(DataError, match="holds no lists"):
            read_collection(tmp_path / name)


PASSAGES = {"passage_text": ["a", "b", "c"], "is_selected": [0, 1, 0], "url": ["", "", ""]}


def test_rows_of_ms_marco_are_lists_with_the_selected_first(tmp_path):
    rows = [
        {"query": "q one", "passages": PASSAGES},
        {"query": "none", "passages": {**PASSAGES, "is_selected": [0, 0, 0]}},
        {"query": "q two", "passages": {**PASSAGES, "is_selected": [0, 1, 1]}, "qid": "two"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    (tmp_path / "m.jsonl").write_bytes(lines(rows))
    for name in ("m.parquet", "m.jsonl"):
        assert lists(tmp_path / name) == [
            LabeledList("q one", ("b", "a", "c"), (1.0, 0.0, 0.0)),
            LabeledList("q two", ("b", "c", "a"), (1.0, 1.0, 0.0)),
        ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passages": ["a"]}, "passages needs passage_text and is_selected"),
        ({"passages": {"passage_text": ["a"], "is_selected": [1, 0]}}, "two lists of one length"),
        ({"passages": {"passage_text": ["a"]}}, "passages needs"),
        ({"passages": {"passage_text": ["a"], "is_selected": ["1"]}}, r"is_selected\[0\] is '1', not 0 or 1"),
        ({"passages": {"passage_text": [None], "is_selected": [1]}}, r"passage_text\[0\] is NoneType, not text"),
        ({"query": None}, "query is NoneType"),
    ],
)
def test_a_broken_row_of_ms_marco_is_named(tmp_path, changes, message):
    (tmp_path / "m.jsonl").write_bytes(
        lines([{"query": "q", "passages": PASSAGES}, {"query": "q", "passages": PASSAGES} | changes])
    )
    with pytest.raises(DataError, match=rf"m\.jsonl:2: .*{message}"):
        lists(tmp_path / "m.jsonl")
