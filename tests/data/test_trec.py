"""TREC runs: what is read, in which order, and what is refused with its line."""

import gzip

import pytest

from plackett.data import read_qrels, read_run, read_texts
from plackett.data.trec import run_lines, stream_run
from plackett.errors import DataError
from plackett.ranking import best_first
from plackett.records import Qrel, ScoredDoc

LINES = ["q Q0 a 1 2.5 tag", "q Q0 b 2 -1e-3 tag", "", "r\tQ0\ta\t1\t3\ttag"]
RECORDS = [ScoredDoc("q", "a", 2.5), ScoredDoc("q", "b", -0.001), ScoredDoc("r", "a", 3.0)]


@pytest.fixture
def file(tmp_path):
    def file(*lines, name="run.trec"):
        path = tmp_path / name
        content = "\n".join(lines).encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return file


@pytest.mark.parametrize("name", ["run.trec", "run.trec.gz"])
def test_a_run_is_read(file, name):
    assert read_run(file(*LINES, name=name)) == RECORDS
    assert list(stream_run(file(*LINES, name=name))) == [("q", RECORDS[:2]), ("r", RECORDS[2:])]


def test_runs_are_written_best_first_and_read_back(file):
    candidates = [ScoredDoc("q", f"d{i}", score) for i, score in enumerate([0.1, 1 / 3, -2.5e-7, 1 / 3, 123456.789])]
    lines = run_lines(candidates, "tag")
    assert lines[0] == "q Q0 d4 1 123456.789 tag"
    assert [line.split()[3] for line in lines] == list("12345")
    back = read_run(file(*lines))
    assert [scored.doc_id for scored in back] == [scored.doc_id for scored in best_first(candidates)]
    assert [scored.score for scored in back] == pytest.approx([scored.score for scored in best_first(candidates)])


BROKEN = {
    "qrels": (["q 0 a 1"], "run.trec:1: .*looks like qrels"),
    "BEIR's qrels": (["q\ta\t1"], "run.trec:1: .*looks like qrels"),
    "too few columns": (["q Q0 a 1 2.5 tag", "q Q0"], "run.trec:2: not a line of query"),
    "a score that is none": (["q Q0 a 1 high tag"], "run.trec:1"),
    "NaN": (["q Q0 a 1 nan tag"], "run.trec:1: the score nan is not finite"),
    "infinity": (["q Q0 a 1 1e999 tag"], "run.trec:1: the score 1e999 is not finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named(file, name):
    lines, named = BROKEN[name]
    for read in (read_run, lambda path: list(stream_run(path))):
        with pytest.raises(DataError, match=named):
            read(file(*lines))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_mixed_encodings_are_named_with_their_line(tmp_path, encoding):
    path = tmp_path / "run.trec"
    path.write_bytes("q Q0 é 1 2.5 tag\n".encode() + "q Q0 ü 2 2.0 tag\n".encode(encoding))
    with pytest.raises(DataError, match=r"run.trec:2: not UTF-8"):
        read_run(path)


def test_a_stream_wants_the_lines_of_a_query_together_and_no_document_twice(file):
    with pytest.raises(DataError, match=r"run.trec:3: the query 'q' stands in two places"):
        list(stream_run(file("q Q0 a 1 1 t", "r Q0 a 1 1 t", "q Q0 b 2 0 t")))
    with pytest.raises(DataError, match="'a' twice for the query 'q'"):
        list(stream_run(file("q Q0 a 1 1 t", "q Q0 a 2 0 t")))
    with pytest.raises(DataError, match="no candidates"):
        list(stream_run(file()))


@pytest.mark.parametrize("lines", [["q 0 a 1", "q 0 b -1"], ["query-id\tcorpus-id\tscore", "q\ta\t1", "q\tb\t-1"]])
def test_judgements_of_both_kinds_are_read(file, lines):
    assert list(read_qrels(file(*lines, name="qrels"))) == [Qrel("q", "a", 1), Qrel("q", "b", -1)]


def test_a_run_given_as_qrels_is_told(file):
    with pytest.raises(DataError, match=r"qrels:1: .*looks like a run"):
        list(read_qrels(file("q Q0 a 1 2.5 7", name="qrels")))


def test_texts_are_read_from_tabs_and_only_those_that_are_wanted(file):
    path = file("1\tone\ttext", "2\ttwo", name="queries.tsv")
    assert read_texts(path) == {"1": "one text", "2": "two"}
    assert read_texts(path, {"2"}) == {"2": "two"}
    path = file('{"_id": 1, "text": "one"}', '{"_id": "2", "title": "a", "text": "two"}', name="queries.jsonl")
    assert read_texts(path, {"2"}) == {"2": "a two"}
    with pytest.raises(DataError, match=r"x.tsv:1: not a line of id, tab and text"):
        read_texts(file("one", name="x.tsv"))
    with pytest.raises(DataError, match=r"x.tsv:2: the id '1' stands twice"):
        read_texts(file("1\tone", "1\ttwo", name="x.tsv"))
