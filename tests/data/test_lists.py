"""Files of lists in every shape, and what is said of files that cannot be read."""

import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plackett import DataError
from plackett.data import ListFile, read_collection, read_lists, write_lists
from plackett.data.lists import SHAPES, ListEntry, Shape
from plackett.records import LabeledList
from rows import LISTS, ROWS, lines


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
        ('{"query": "q", "docs": ["a", "b"], "labels": [1]}', "2 docs but 1 label"),
        ('{"query": " ", "docs": ["a"], "labels": [1]}', "query is empty"),
        ('{"query": 3, "docs": ["a"], "labels": [1]}', "query is a number, not text"),
        ('{"docs": ["a"], "labels": [1]}', "query is null, not text"),
        ('{"query": "q", "docs": ["a", ""], "labels": [1, 0]}', r"docs\[1\] is empty"),
        ('{"query": "q", "docs": [null], "labels": [1]}', r"docs\[0\] is null, not text"),
        ('{"query": "q", "docs": ["\\ud800"], "labels": [1]}', r"docs\[0\] .*'\\ud800', an unpaired surrogate"),
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
    with pytest.raises(DataError, match=r"l\.parquet:300: 2 docs but 1 label"):
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
        "plain.jsonl.gz": (lines(ROWS), "cannot be read: Not a gzipped file"),
        "latin.jsonl": (
            lines(ROWS) + "{'é'}".encode("latin-1"),
            r"latin\.jsonl:3: not UTF-8 text .* at byte 2 of the line",
        ),
        "utf16.jsonl": (lines(ROWS).decode().encode("utf-16"), r"utf16\.jsonl .*text in UTF-16; save it as UTF-8"),
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
        with pytest.raises(DataError, match="contains no lists"):
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
        ({"passages": {"passage_text": [None], "is_selected": [1]}}, r"passage_text\[0\] is null, not text"),
        ({"query": None}, "query is null"),
    ],
)
def test_a_broken_row_of_ms_marco_is_named(tmp_path, changes, message):
    (tmp_path / "m.jsonl").write_bytes(
        lines([{"query": "q", "passages": PASSAGES}, {"query": "q", "passages": PASSAGES} | changes])
    )
    with pytest.raises(DataError, match=rf"m\.jsonl:2: .*{message}"):
        lists(tmp_path / "m.jsonl")


FLAT = [
    ("q one", "a", 1),
    ("q zwei", "東京, Japan", 2),
    ("q one", "b", 0.5),
]
GROUPED = [LabeledList("q one", ("a", "b"), (1.0, 0.5)), LabeledList("q zwei", ("東京, Japan",), (2.0,))]


def table(names, rows=FLAT, separator=","):
    cells = [names, *rows]
    quoted = [[f'"{cell}"' if separator in str(cell) else str(cell) for cell in row] for row in cells]
    return "".join(separator.join(row) + "\r\n" for row in quoted).encode()


@pytest.mark.parametrize("label", ["label", "clicked", "score", "relevance"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv;", "jsonl", "json", "parquet", "csv.gz", "tsv.gz", "json.gz"])
def test_flat_rows_are_grouped_by_query(tmp_path, suffix, mark, label):
    names = ("query", "document", label)
    objects = [dict(zip(names, row, strict=True)) for row in FLAT]
    if suffix == "parquet":
        pq.write_table(
            pa.Table.from_pylist([{**row, label: float(row[label])} for row in objects]), tmp_path / "l.parquet"
        )
    else:
        separator = {"tsv": "\t", "csv;": ";"}.get(suffix.removesuffix(".gz"), ",")
        content = {
            "jsonl": lines(objects),
            "json.gz": json.dumps(objects).encode(),
            "json": json.dumps(objects).encode(),
        }
        raw = mark + content.get(suffix, table(names, separator=separator))
        path = tmp_path / f"l.{suffix.rstrip(';')}"
        path.write_bytes(gzip.compress(raw) if suffix.endswith("gz") else raw)
    assert lists(tmp_path / f"l.{suffix.rstrip(';')}") == GROUPED


def test_columns_may_have_other_names(tmp_path):
    (tmp_path / "l.csv").write_bytes(table(("q", "d", "hits")))
    columns = {"query": "q", "document": "d", "label": "hits"}
    assert list(read_lists(tmp_path / "l.csv", columns=columns)) == GROUPED
    assert list(ListFile(tmp_path / "l.csv", columns)) == GROUPED
    with pytest.raises(DataError, match=r"l\.csv:2: columns are q, d, hits; .*--columns"):
        lists(tmp_path / "l.csv")
    with pytest.raises(DataError, match=r"l\.csv:2: no column title; columns are q, d, hits"):
        list(read_lists(tmp_path / "l.csv", columns={"query": "title"}))


def test_ids_of_flat_rows_group_them(tmp_path):
    (tmp_path / "l.csv").write_text("qid,query,document,clicked\n1,q,a,true\n2,q,b,False\n1,q,c,0\n")
    assert lists(tmp_path / "l.csv") == [LabeledList("q", ("a", "c"), (1.0, 0.0)), LabeledList("q", ("b",), (0.0,))]
    assert list(read_collection(tmp_path / "l.csv").queries) == ["1", "2"]


@pytest.mark.parametrize("name", ["negative", "negative_1", "negatives"])
def test_triplets_are_grouped_by_query(tmp_path, name):
    first, second = (["n1"], ["n2", "p2"]) if name == "negatives" else ("n1", "n2")
    rows = [
        {"query": "q", "positive": "p1", name: first},
        {"query": "r", "positive": "p1", name: "n1"},
        {"query": "q", "positive": "p1", name: second},
    ]
    (tmp_path / "l.jsonl").write_bytes(lines(rows))
    documents = ("p1", "n1", "n2", "p2") if name == "negatives" else ("p1", "n1", "n2")
    labels = (1.0, *[0.0] * (len(documents) - 1))
    assert lists(tmp_path / "l.jsonl") == [
        LabeledList("q", documents, labels),
        LabeledList("r", ("p1", "n1"), (1.0, 0.0)),
    ]


def test_columns_about_positives_and_negatives_are_not_documents(tmp_path):
    row = {"query": "q", "positive": "p", "positive_id": "d1", "negative_1": "n", "negative_1_id": "d2"}
    (tmp_path / "l.jsonl").write_bytes(lines([row | {"negative_score": 0.5, "negatives_from": "bm25"}]))
    assert lists(tmp_path / "l.jsonl") == [LabeledList("q", ("p", "n"), (1.0, 0.0))]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("q,a,1\nq,b,0\nq,a,0", r":4: .*l\.csv:2"),
        ("q,a,high", ":2: label is 'high'"),
        ("q,a,nan", ":2: label is 'nan'"),
        ("q,a,1_000", ":2: label is '1_000'"),
        ("q,a,\u0661", ":2: label is"),
        ("q,,1", ":2: document is empty"),
        (" ,a,1", ":2: query is empty"),
        ("q,a", ":2: 2 cells, but 3 columns"),
    ],
)
def test_a_broken_flat_row_is_named(tmp_path, rows, message):
    (tmp_path / "l.csv").write_text(f"query,document,label\n{rows}\n")
    with pytest.raises(DataError, match=f"l\\.csv{message}"):
        lists(tmp_path / "l.csv")


def test_one_query_id_of_two_queries_is_refused(tmp_path):
    (tmp_path / "l.csv").write_text("qid,query,document,label\n1,q,a,1\n1,r,b,0\n")
    with pytest.raises(DataError, match=r"l\.csv:3: the query id '1' .*l\.csv:2"):
        lists(tmp_path / "l.csv")


def test_a_shape_is_a_line_of_a_table(tmp_path, monkeypatch):
    def pairs(rows):
        for where, row in rows:
            yield ListEntry(where, LabeledList(row["ask"], (row["best"],), (1.0,)))

    shape = Shape("ask and best", lambda row: "ask" in row, pairs)
    monkeypatch.setattr("plackett.data.lists.SHAPES", [*SHAPES, shape])
    (tmp_path / "l.csv").write_text("ask,best\nq,a\n")
    assert lists(tmp_path / "l.csv") == [LabeledList("q", ("a",), (1.0,))]
    (tmp_path / "m.csv").write_text("x,y\nq,a\n")
    with pytest.raises(DataError, match="ask and best"):
        lists(tmp_path / "m.csv")


def test_lists_are_written_with_numbers_of_numpy(tmp_path):
    write_lists(tmp_path / "l.jsonl", [LabeledList("q", ("a", "東"), (np.int64(2), np.float32(0.5)))])
    assert lists(tmp_path / "l.jsonl") == [LabeledList("q", ("a", "東"), (2.0, 0.5))]


CLICKS = [("q", "a", 0), ("r", "a", 1), ("q", "b", 1), ("q", "a", 1), ("q", "a", 0), ("r", "a", 0), ("r", "b", 0)]


@pytest.mark.parametrize("form", ["{}", "{}.0", "true"])
@pytest.mark.parametrize("name", ["l.csv", "l.tsv"])
def test_a_document_was_clicked_if_any_of_its_rows_says_so(tmp_path, caplog, name, form):
    spelled = {0: "false", 1: "true"} if form == "true" else {value: form.format(value) for value in (0, 1)}
    rows = [("query", "document", "clicked"), *((query, doc, spelled[value]) for query, doc, value in CLICKS)]
    (tmp_path / name).write_text("".join(("," if name == "l.csv" else "\t").join(row) + "\n" for row in rows))
    expected = [LabeledList("q", ("a", "b"), (1.0, 1.0)), LabeledList("r", ("a", "b"), (1.0, 0.0))]
    file = ListFile(tmp_path / name)
    assert list(file) == list(file) == expected
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / name}:5: 3 rows repeat an earlier query and document, the first time here; "
        "the largest number of clicks is used"
    ]


@pytest.mark.parametrize("columns", [{}, {"clicked": "hits"}])
def test_the_largest_number_of_clicks_counts(tmp_path, columns):
    # With a column of another label beside it: the name that is given counts.
    names = "query,document,label,hits" if columns else "query,document,x,clicked"
    (tmp_path / "l.csv").write_text(f"{names}\nq,a,9,2\nq,b,8,0\nq,a,7,5\nq,a,6,3\n")
    expected = [LabeledList("q", ("a", "b"), (5.0, 0.0))]
    assert list(read_lists(tmp_path / "l.csv", columns=columns)) == expected


@pytest.mark.parametrize("name", ["label", "relevance", "score"])
def test_labels_that_differ_name_both_lines_and_the_way_out(tmp_path, name):
    (tmp_path / "l.csv").write_text(f"query,document,{name}\nq,a,1\nq,b,0\nq,a,0\n")
    with pytest.raises(DataError, match=r"l\.csv:4: .*l\.csv:2.*--columns clicked="):
        lists(tmp_path / "l.csv")
    assert list(read_lists(tmp_path / "l.csv", columns={"clicked": name})) == [LabeledList("q", ("a", "b"), (1.0, 0.0))]


def test_names_that_are_given_hide_what_means_the_same(tmp_path):
    row = {"query": "no", "document": "no", "label": 9, "asked": "q", "body": "a", "grade": 1, "qid": "no", "n": 7}
    (tmp_path / "l.jsonl").write_bytes(lines([row]))
    columns = {"anchor": "asked", "text": "body", "score": "grade", "query_id": "n"}
    collection = read_collection(tmp_path / "l.jsonl", columns=columns)
    assert collection.queries == {"7": "q"}
    assert [*collection.corpus.values()] == ["a"]
    assert [qrel.relevance for qrel in collection.qrels] == [1]


def test_every_name_that_is_read_makes_a_line_of_names_in_tsv(tmp_path):
    (tmp_path / "l.tsv").write_text("anchor\tpassage\trelevance\nq\ta\t1\n")
    assert lists(tmp_path / "l.tsv") == [LabeledList("q", ("a",), (1.0,))]
