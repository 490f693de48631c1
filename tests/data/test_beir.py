"""BEIR folders: read, written, and refused with the line at fault."""

import gzip
import json

import pytest

from plackett import DataError
from plackett.data import read_collection, write_beir
from plackett.records import Collection, Qrel


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


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
        ("qrels/test.tsv", "q1\td1\t1\nq1\td2\thigh\n", r"test\.tsv:2: not a line of query id"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\n", r"test\.tsv:2: not a line of query id"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\td1\tnan\n", r"test\.tsv:2: the grade is nan"),
        ("qrels/test.tsv", "q1\td1\tinf\n", r"test\.tsv:1: the grade is inf"),
        ("qrels/test.tsv", "q1\td1\t0.5\n", r"test\.tsv:1: the grade is 0\.5"),
        ("qrels/test.tsv", "", "contain no judgements"),
        ("qrels/test.tsv", "\n", "contain no judgements"),
        ("qrels/test.tsv", "q7\td1\t1\n", "queries.jsonl lacks 1 of the judged queries, first 'q7'"),
        ("corpus.jsonl", '{"text": "a"}', r"corpus\.jsonl:1: no column _id; columns are text"),
        ("corpus.jsonl", '{"_id": "1", "text": null}', r"corpus\.jsonl:1: text is null, not text"),
        ("corpus.jsonl", '{"_id": "1", "text": "a", "title": 3}', r"corpus\.jsonl:1: title is a number, not text"),
        (
            "corpus.jsonl",
            '{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}',
            r"corpus\.jsonl:2: the id '1' is listed twice",
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


@pytest.mark.parametrize(
    "header",
    ["qid\tcid\tscore", "query_id\tcorpus_id\tscore", "Query-ID\tCorpus-ID\tScore", "\nquery-id\tcorpus-id\tscore"],
)
def test_a_first_line_whose_grade_is_no_number_is_a_header(beir, header):
    (beir / "qrels" / "test.tsv").write_text(f"{header}\nq1\td1\t2\n")
    assert read_collection(beir).qrels == [Qrel("q1", "d1", 2)]


def test_quotes_of_qrels_are_read_as_beir_does(beir):
    rows = ['"query-id"\t"corpus-id"\t"score"', '"q1"\td1\t"2"', 'q1\t"d ""9"""\t0']
    (beir / "qrels" / "test.tsv").write_text("\n".join(rows))
    assert read_collection(beir).qrels == [Qrel("q1", "d1", 2), Qrel("q1", 'd "9"', 0)]


def test_qrels_without_a_header(beir):
    (beir / "qrels" / "test.tsv").write_text("q1\td1\t2\n")
    assert read_collection(beir).qrels == [Qrel("q1", "d1", 2)]


@pytest.mark.parametrize("value", ["null", "NaN", "true", "[1]", '" "'])
def test_ids_that_are_none_are_refused(beir, value):
    (beir / "corpus.jsonl").write_text(f'{{"_id": "1", "text": "a"}}\n{{"_id": {value}, "text": "b"}}')
    with pytest.raises(DataError, match=r"corpus\.jsonl:2: _id is"):
        read_collection(beir)


def test_white_space_around_ids_is_left_out_in_all_files(beir):
    (beir / "corpus.jsonl").write_bytes(lines([{"_id": " d1 ", "text": "a"}]))
    (beir / "queries.jsonl").write_bytes(lines([{"_id": "q1\t", "text": "a"}]))
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n q1\td1 \t1\r\n")
    collection = read_collection(beir)
    assert (dict(collection.queries), dict(collection.corpus)) == ({"q1": "a"}, {"d1": "a"})
    assert collection.qrels == [Qrel("q1", "d1", 1)]


def test_a_folder_that_is_written_is_read_back(tmp_path):
    collection = Collection("c", {"q 1": "one"}, {"d 1": "a\nb", "#2": "東"}, [Qrel("q 1", "d 1", -1)], ())
    write_beir(tmp_path / "c", collection)
    assert read_collection(tmp_path / "c") == collection
    with pytest.raises(DataError, match=r"'d\\t1'"):
        write_beir(tmp_path / "d", Collection("d", {"q": "one"}, {}, [Qrel("q", "d\t1", 1)], ()))
    with pytest.raises(DataError, match="'#q' begins with #"):
        write_beir(tmp_path / "e", Collection("e", {"#q": "one"}, {}, [Qrel("#q", "d", 1)], ()))
