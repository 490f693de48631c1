"""TREC runs: what is read, in which order, and what is refused with its line."""

import gzip
import io
import re

import ir_measures
import pytest
import pytrec_eval

from plackett.data import read_qrels, read_run, read_texts
from plackett.data.trec import run_lines, stream_run
from plackett.errors import DataError
from plackett.evaluation.measures import evaluate_per_query
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
    "BEIR's qrels": (["q\ta\t1"], "run.trec:1: .*qrels of BEIR"),
    "a run of MS MARCO": (["q\ta\t1"], r"run.trec:1: .*MS MARCO .*awk .*-\$3"),
    "a run of four columns": (["q a 1 2.5"], r"run.trec:1: .*rank and score.*awk .*\$4"),
    "a run without tags": (["q Q0 a 1 2.5"], "run.trec:1: .*tag"),
    "digits of Python": (["q Q0 a 1 1_0 tag"], "run.trec:1: not a line"),
    "a NUL": (["q Q0 a\0b 1 1 tag"], "run.trec:1: .*NUL"),
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


@pytest.mark.parametrize("read", [read_run, lambda path: list(stream_run(path))])
def test_a_document_that_is_listed_twice_is_refused_with_both_lines(file, read):
    lines = ["# a run", "r Q0 a 1 1 t", "q Q0 a 1 1 t", "q Q0 b 2 0.5 t", "", "q Q0 a 3 0 t"]
    with pytest.raises(DataError, match=r"run.trec:6: 'a' .*'q', .*line 3"):
        read(file(*lines))


def test_a_stream_wants_the_lines_of_a_query_together(file):
    with pytest.raises(DataError, match=r"run.trec:3: the query 'q'"):
        list(stream_run(file("q Q0 a 1 1 t", "r Q0 a 1 1 t", "q Q0 b 2 0 t")))
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
    with pytest.raises(DataError, match=r"x.tsv:1: expected an id, a tab and a text"):
        read_texts(file("one", name="x.tsv"))
    with pytest.raises(DataError, match=r"x.tsv:2: the id '1' is listed twice"):
        read_texts(file("1\tone", "1\ttwo", name="x.tsv"))


# trec_eval's own files of its test of comments, trectools' of its tests of judgements, and what tools write.
FORMS = {
    "plain": "q1 0 d1 1\nq1 0 d2 0\nq2 0 d1 2\n",
    "tabs": "q1\t0\td1\t1\nq1\t0\td2\t0\nq2\t0\td1\t2",
    "padded": "q1\t0\td1 \t1\nq1\t0\td2\t0\nq2\t0\td1\t2\n",
    "mixed": "q1 0\td1\t1\t\nq1\t\t0  d2\t0 \n  q2 \t0 d1 2\n",
    "mixed from the start": "q1 0\td1\t1\nq1\t0\td2\t0\nq2 0\td1\t2\n",
    "comments": "# This is a comment\nq1 0 d1 1\n# And another one\nq1 0 d2 0\n#q9 0 d1 1\nq2 0 d1 2\n",
    "blank": "\nq1 0 d1 1\n\n  \nq1 0 d2 0\nq2 0 d1 2\n\n",
    "windows": "\ufeffq1 0 d1 1\r\nq1 0 d2 0\r\nq2 0 d1 2\r\n",
    "form feeds": "q1\v0\fd1 1\nq1 0 d2 0\nq2 0 d1 2\n",
    "BEIR": "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td1\t2\n",
    "BEIR, spaces": "q1 d1 1\nq1 d2 0\nq2 d1 2\n",
    "BEIR, floats": "qid\tpid\tgrade\nq1\td1\t1.0\nq1\td2\t0.0\nq2\td1\t2.0\n",
    "header of four": "qid iter docid rel\nq1 0 d1 1\nq1 0 d2 0\nq2 0 d1 2\n",
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_judgements_are_read_as_trec_eval_reads_them(file, name, suffix):
    expected = [Qrel("q1", "d1", 1), Qrel("q1", "d2", 0), Qrel("q2", "d1", 2)]
    assert list(read_qrels(file(FORMS[name], name=f"qrels{suffix}"))) == expected
    if "BEIR" not in name and name not in ("comments", "header of four", "windows"):
        peers = ir_measures.read_trec_qrels(io.StringIO(FORMS[name]))
        assert [(item.query_id, item.doc_id, item.relevance) for item in peers] == expected


RUNS = {
    "plain": "q1 Q0 d1 1 2.5 t\nq1 Q0 d2 2 -1e-3 t\n",
    "trec_eval's": "# A run\nq1\tQ0\td1\t1\t  2.5\tSTANDARD\n# And here.\nq1\tQ0\td2\t2\t  -.001\tSTANDARD\n",
    "words behind the tag": "q1 Q0 d1 1 2.5 my own tag\nq1 Q0 d2 2 -0.001 t 5 \n",
    "windows": "\ufeffq1 Q0 d1 1 2.5 t\r\n\r\nq1\tQ0\td2 \t2\t-0.001\tt\r\n",
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_runs_are_read_as_trec_eval_reads_them(file, name, suffix):
    path = file(RUNS[name], name=f"run{suffix}")
    assert read_run(path) == [ScoredDoc("q1", "d1", 2.5), ScoredDoc("q1", "d2", -0.001)]


def test_the_measures_of_ids_that_are_padded(file):
    run = read_run(file("q1 Q0 d1 1 2.0 t", "q1 Q0 d2 2 1.0 t"))
    qrels = list(read_qrels(file(FORMS["padded"], name="qrels")))[:2]
    measures = [ir_measures.nDCG @ 10, ir_measures.RR @ 10, ir_measures.AP]
    assert set(ir_measures.calc_aggregate(measures, qrels, run).values()) == {1.0}


def test_white_space_of_unicode_is_part_of_an_id(file):
    [qrel] = read_qrels(file("q\u00a01 0 d\u30001\x1c 1", name="qrels"))
    assert qrel == ("q\u00a01", "d\u30001\x1c", 1)
    [scored] = read_run(file("q\u00a01 Q0 d\u30001\x1c 1 1.5 t"))
    assert scored == ("q\u00a01", "d\u30001\x1c", 1.5)
    assert read_texts(file("d\u30001\x1c\ttext", name="c.tsv")) == {"d\u30001\x1c": "text"}


@pytest.mark.parametrize("lines", [["q 0 a 1", "q 0 b 0", "q 0 a 0"], ["h\td\ts", "q\ta\t1", "", "q\ta\t1"]])
def test_a_pair_that_is_judged_twice_is_refused_with_both_lines(file, lines):
    first, last = (1, 3) if lines[0][0] == "q" else (2, 4)
    with pytest.raises(DataError, match=rf"qrels:{last}: 'a' .*'q', .*line {first}"):
        list(read_qrels(file(*lines, name="qrels")))


# A grade, and what trec_eval makes of it (C's atol); None where it would take the same number, or crash.
GRADES = {
    **{"1.5": 1, "0.3": 0, "-1.5": -1, ".5": 0, "0x37": 0, "1.1.11": 1, "1e+8": 1, "1e+300": 1, "1_0": 1},
    **{"2147483648": None, "-2147483649": None, "nan": 0, "inf": 0, "9" * 5000: None, "9" * 5000 + ".5": None},
}


@pytest.mark.parametrize("grade", GRADES, ids=lambda grade: grade[:12])
@pytest.mark.parametrize("line", [1, 2])
def test_grades_that_are_none_are_refused(file, grade, line):
    lines = ["q 0 a 1", f"q 0 b {grade}"]
    expected = "" if GRADES[grade] is None else f"{re.escape(grade)}, .*trec_eval would read {GRADES[grade]}:"
    with pytest.raises(DataError, match=f"qrels:{line}: the grade is {expected}"):
        list(read_qrels(file(*(lines if line == 2 else lines[::-1]), name="qrels")))


@pytest.mark.parametrize(("grade", "expected"), [("1.0", 1), ("2.", 2), ("+3", 3), ("-0", 0), ("007", 7)])
def test_whole_numbers_are_grades(file, grade, expected):
    assert list(read_qrels(file(f"q 0 a {grade}", name="qrels"))) == [Qrel("q", "a", expected)]


# The forms of the test files of trec_eval (results.comment.test, qrels.comments.123), trectools (qrel1.txt, r4.run)
# and ir_measures (compat.qrels), each with what it says written out, and the measures of pytrec_eval on that.
JUDGED = {"301": {"A-1": 0, "A#2": 4, "A-3": 1, "B-4": 2}, "302": {"A-1": 1, "B-9": -1}}
RANKED = {
    "301": {"A-3": 2.918622, "C-8": 2.5, "A#2": 2.104024, "B-4": 1.8, "A-1": 1.8},
    "302": {"C-8": 0.5, "A-1": 0.25},
}
MEASURES = {
    "nDCG@10": "ndcg_cut_10",
    "AP": "map",
    "RR": "recip_rank",
    "P@5": "P_5",
    "R@5": "recall_5",
    "Rprec": "Rprec",
}


def _as_lines(values, line):
    return [
        line.format(q=query, d=doc, v=value) for query, of_query in values.items() for doc, value in of_query.items()
    ]


QREL_FORMS = {
    "trec_eval": lambda: ["# a comment", *_as_lines(JUDGED, "{q} 0 {d} {v}"), "# the end"],
    "trectools": lambda: _as_lines(JUDGED, "{q}\t0\t{d}\t{v}\t"),
    "trectools, mixed": lambda: _as_lines(JUDGED, "{q} 0\t{d}\t{v}\t"),
    "ir_measures": lambda: _as_lines(JUDGED, "{q} Q0 {d} {v}"),
    "shuffled": lambda: _as_lines(JUDGED, "{q} 0 {d} {v}")[::-1],
    "whole floats": lambda: _as_lines(JUDGED, "{q} 0 {d} {v}.0"),
}
RUN_FORMS = {
    "trec_eval": lambda: ["# a run", *_as_lines(RANKED, "{q}\tQ0\t{d}\t104\t  {v:.6f}\tSTANDARD"), "# the end"],
    "trectools": lambda: _as_lines(RANKED, "{q} Q0 {d} 1 {v} NR"),
    "ir_measures": lambda: _as_lines(RANKED, "{q} Q0 {d} 0 {v} run"),
    "shuffled": lambda: _as_lines(RANKED, "{q} Q0 {d} 7 {v:.6f} my own tag")[::-1],
}


@pytest.mark.parametrize(("qrels", "run"), [(a, b) for a in QREL_FORMS for b in RUN_FORMS])
def test_files_of_other_tools_have_the_measures_of_what_they_say(file, qrels, run):
    evaluator = pytrec_eval.RelevanceEvaluator(JUDGED, set(MEASURES.values()))
    expected = {
        query: {name: values[MEASURES[name]] for name in MEASURES}
        for query, values in evaluator.evaluate(RANKED).items()
    }
    judged = list(read_qrels(file(*QREL_FORMS[qrels](), name="qrels")))
    found = evaluate_per_query(read_run(file(*RUN_FORMS[run]())), judged, list(MEASURES))
    for name in MEASURES:
        assert found[name] == pytest.approx({query: values[name] for query, values in expected.items()}, abs=1e-12)


def test_ids_of_beir_may_hold_spaces(file):
    lines = ["q1\td1\t1", "q 1\td 1\t1", "q 1\td2\t0"]
    expected = [Qrel("q1", "d1", 1), Qrel("q 1", "d 1", 1), Qrel("q 1", "d2", 0)]
    assert list(read_qrels(file("query-id\tcorpus-id\tscore", *lines[1:], name="qrels"))) == expected[1:]
    assert list(read_qrels(file(*lines, name="qrels"))) == expected


@pytest.mark.parametrize("doc_id", ["d 1", "d\t1", "", "d\n1"])
def test_ids_that_no_run_can_hold_are_not_written(doc_id):
    with pytest.raises(DataError, match=re.escape(repr(doc_id))):
        run_lines([ScoredDoc("q", doc_id, 1.0)], "t")
