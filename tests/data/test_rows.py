"""Files -> records, and what is said of files that cannot be read."""

import gzip
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plackett import DataError
from plackett.data import lists_as_collection, read_collection, read_documents, read_lists
from plackett.records import LabeledList, Qrel, ScoredDoc

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


def test_lists_as_a_collection(tmp_path):
    rows = [{**ROWS[0], "qid": "x", "docids": ["d1", "d2"], "labels": [1, 0]}, ROWS[1]]
    (tmp_path / "l.jsonl").write_bytes(lines(rows))
    collection = read_collection(tmp_path / "l.jsonl")
    assert collection.queries == {"x": "q one", "2": "q zwei"}
    assert collection.corpus == {"d1": "a", "d2": "b", "2-0": "東京"}
    assert collection.qrels == [Qrel("x", "d1", 1), Qrel("x", "d2", 0), Qrel("2", "2-0", 2)]
    assert collection.run == [ScoredDoc("x", "d1", -1.0), ScoredDoc("x", "d2", -2.0), ScoredDoc("2", "2-0", -1.0)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROWS[0]}, "l.jsonl:1: the label 0.5 is no whole number"),
        ({**ROWS[1], "docids": ["a", "b"]}, "1 docs but 2 distinct docids"),
        ({"query": "q", "docs": ["a", "b"], "labels": [1, 0], "docids": ["a", "a"]}, "2 docs but 1 distinct docids"),
    ],
)
def test_lists_that_make_no_collection(tmp_path, row, message):
    (tmp_path / "l.jsonl").write_bytes(lines([row]))
    with pytest.raises(DataError, match=message):
        read_collection(tmp_path / "l.jsonl")


def test_a_query_id_that_stands_twice(tmp_path):
    (tmp_path / "l.jsonl").write_bytes(lines([{**ROWS[1], "qid": "x"}] * 2))
    with pytest.raises(DataError, match=r"l\.jsonl:2: the qid 'x' stands twice"):
        read_collection(tmp_path / "l.jsonl")


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_bytes(
        lines(
            [{"_id": "d1", "title": "T", "text": "a"}, {"_id": "d2", "title": "", "text": "b"}, {"_id": 3, "text": ""}]
        )
    )
    (folder / "queries.jsonl").write_bytes(lines([{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}]))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n\nq1\td9\t0\n")
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_a_beir_folder(beir, zipped):
    for path in [beir / "corpus.jsonl", beir / "queries.jsonl", beir / "qrels" / "test.tsv"] if zipped else []:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    collection = read_collection(beir)
    assert collection.name == "beir"
    assert collection.corpus == {"d1": "T a", "d2": "b", "3": ""}
    assert collection.queries == {"q1": "one"}, "queries that nobody judged are left out"
    assert collection.qrels == [Qrel("q1", "d1", 2), Qrel("q1", "d9", 0)]
    assert collection.run == ()


def test_qrels_of_trec(beir):
    (beir / "qrels" / "dev.tsv").write_text("q2 0 d1 1\nq2  0\td2 0\n".replace("\t", " "))
    assert read_collection(beir, split="dev").qrels == [Qrel("q2", "d1", 1), Qrel("q2", "d2", 0)]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("qrels/test.tsv", "q1\td1\thigh\n", r"test\.tsv:1: not a line of query id"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\n", r"test\.tsv:2: not a line of query id"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\td1\tnan\n", r"test\.tsv:2: the label nan is no whole number"),
        ("qrels/test.tsv", "q1\td1\tinf\n", r"test\.tsv:1: the label inf"),
        ("qrels/test.tsv", "q1\td1\t0.5\n", r"test\.tsv:1: the label 0\.5"),
        ("qrels/test.tsv", "", "hold no judgement"),
        ("qrels/test.tsv", "\n", "hold no judgement"),
        ("qrels/test.tsv", "q7\td1\t1\n", "judge 1 queries that queries.jsonl lacks, first 'q7'"),
        ("corpus.jsonl", '{"text": "a"}', r"corpus\.jsonl:1: no _id"),
        ("corpus.jsonl", '{"_id": "1", "text": null}', r"corpus\.jsonl:1: text is NoneType, not text"),
        ("corpus.jsonl", '{"_id": "1", "text": "a", "title": 3}', r"corpus\.jsonl:1: title is int, not text"),
        (
            "corpus.jsonl",
            '{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}',
            r"corpus\.jsonl:2: the _id '1' stands twice",
        ),
        ("queries.jsonl", "{", r"queries\.jsonl:1: not a line of JSON"),
    ],
)
def test_a_beir_folder_with_a_fault(beir, file, content, message):
    (beir / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_collection(beir)


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_beir_folder_that_lacks_a_file(beir, file):
    (beir / file).unlink()
    with pytest.raises(DataError, match=rf"there is no .*{file} \(nor \.gz\)"):
        read_collection(beir)


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read after line 0: No such file"):
        read_collection(tmp_path / "nowhere")


def documents(text, name="-"):
    return read_documents(io.StringIO(text), name)


def test_documents_one_a_line():
    assert documents('plain\n\n  spaced \n"quoted" text\n{% not json %}\n') == [
        "plain",
        "spaced",
        '"quoted" text',
        "{% not json %}",
    ]
    assert documents('"a\\nb"\n{"text": "c"}\n{"title": "T", "text": "d", "_id": 3}\n', "x.jsonl") == [
        "a\nb",
        "c",
        "T d",
    ]
    assert documents("") == []


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ('ok\n{"text": 3}\n', "-", "-:2: text is int"),
        ('{"body": "a"}\n', "d", "d:1: text is NoneType"),
        ('"a"\n{"text": "b"\n', "d.jsonl", r"d\.jsonl:2: not a line of JSON"),
        ("3\n", "d.jsonl", r"d\.jsonl:1: the document is int"),
    ],
)
def test_documents_that_are_none(text, name, message):
    with pytest.raises(DataError, match=message):
        documents(text, name)


def test_documents_in_another_encoding():
    stream = io.TextIOWrapper(io.BytesIO("é".encode("latin-1")), encoding="utf-8")
    with pytest.raises(DataError, match=r"d\.txt is not UTF-8 text"):
        read_documents(stream, "d.txt")


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


def test_lists_at_hand_are_a_collection_like_those_of_a_file(tmp_path):
    whole = [LabeledList(item.query, item.documents, tuple(map(round, item.labels))) for item in LISTS]
    (tmp_path / "l.jsonl").write_bytes(
        lines([{**row, "labels": [round(label) for label in row["labels"]]} for row in ROWS])
    )
    assert lists_as_collection("l.jsonl", whole) == read_collection(tmp_path / "l.jsonl")
    with pytest.raises(DataError, match=r"held-out:1: the label 0\.5 is no whole number"):
        lists_as_collection("held-out", LISTS)
