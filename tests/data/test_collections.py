"""Lists as collections: whose ids are local to their list, and which judged ids the texts lack."""

import json
import logging

import ir_measures
import numpy as np
import pytest

from plackett import DataError
from plackett.data import check_matched, lists_as_collection, read_collection, unmatched
from plackett.records import Collection, LabeledList, Qrel, ScoredDoc
from rows import LISTS, ROWS, lines


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
        ({**ROWS[0]}, "l.jsonl:1: the label is 0.5"),
        ({**ROWS[1], "docids": ["a", "b"]}, "docids needs 1 id, one for each of the docs"),
        ({"query": "q", "docs": ["a", "b"], "labels": [1, 0], "docids": ["a", "a"]}, "2 docs but 1 distinct docid"),
    ],
)
def test_lists_that_make_no_collection(tmp_path, row, message):
    (tmp_path / "l.jsonl").write_bytes(lines([row]))
    with pytest.raises(DataError, match=message):
        read_collection(tmp_path / "l.jsonl")


def test_a_query_id_that_stands_twice(tmp_path):
    (tmp_path / "l.jsonl").write_bytes(lines([{**ROWS[1], "qid": "x"}] * 2))
    with pytest.raises(DataError, match=r"l\.jsonl:2: the qid 'x' is listed twice"):
        read_collection(tmp_path / "l.jsonl")


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be read: there is no such file"):
        read_collection(tmp_path / "nowhere")


def test_lists_at_hand_are_a_collection_like_those_of_a_file(tmp_path):
    whole = [LabeledList(item.query, item.documents, tuple(map(round, item.labels))) for item in LISTS]
    (tmp_path / "l.jsonl").write_bytes(
        lines([{**row, "labels": [round(label) for label in row["labels"]]} for row in ROWS])
    )
    assert lists_as_collection("l.jsonl", whole) == read_collection(tmp_path / "l.jsonl")
    with pytest.raises(DataError, match=r"held-out:1: the label is 0\.5"):
        lists_as_collection("held-out", LISTS)


def test_ids_of_other_texts_in_other_lists_never_mix(tmp_path):
    rows = [
        {"query": "a", "docs": ["x", "y"], "labels": [1, 0], "docids": [0, 1]},
        {"query": "b", "docs": ["z", "w"], "labels": [0, 1], "docids": [0, 1]},
    ]
    (tmp_path / "l.jsonl").write_bytes(lines(rows))
    collection = read_collection(tmp_path / "l.jsonl")
    texts = {(collection.queries[item.query_id], collection.corpus[item.doc_id]) for item in collection.run}
    assert texts == {("a", "x"), ("a", "y"), ("b", "z"), ("b", "w")}
    grades = {(collection.queries[q], collection.corpus[d]): grade for q, d, grade in collection.qrels}
    assert grades == {("a", "x"): 1, ("a", "y"): 0, ("b", "z"): 0, ("b", "w"): 1}
    [value] = ir_measures.calc_aggregate([ir_measures.RR], collection.qrels, collection.run).values()
    assert value == pytest.approx((1 + 1 / 2) / 2)


@pytest.mark.parametrize("docids", [["1-1", "b"], ["2-0", "b"]])
def test_ids_that_are_given_never_meet_ids_that_are_made(tmp_path, docids):
    rows = [
        {"query": "a", "docs": ["x", "y"], "labels": [1, 0], "docids": docids},
        {"query": "b", "docs": ["z", "w"], "labels": [1, 0]},
        {"qid": "1", "query": "c", "docs": ["u", "v"], "labels": [1, 0]},
    ]
    rows[0]["qid"] = "x"
    (tmp_path / "l.jsonl").write_bytes(lines(rows))
    collection = read_collection(tmp_path / "l.jsonl")
    assert sorted(collection.corpus[item.doc_id] for item in collection.run) == ["u", "v", "w", "x", "y", "z"]
    assert len(collection.corpus) == 6


def test_one_id_of_one_text_in_two_lists_is_one_document(tmp_path):
    rows = [{"query": query, "docs": ["x", query], "labels": [1, 0], "docids": ["d", query]} for query in "ab"]
    (tmp_path / "l.jsonl").write_bytes(lines(rows))
    assert read_collection(tmp_path / "l.jsonl").corpus == {"d": "x", "a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"qid": None}, "qid is null"),
        ({"qid": True}, "qid is true or false"),
        ({"qid": " "}, "qid is empty"),
        ({"qid": "\ud800"}, "qid .*ud800"),
        ({"qid": ["a"]}, "qid is a list"),
        ({"docids": ["a", None]}, r"docids\[1\] is null"),
        ({"docids": ["a", float("nan")]}, r"docids\[1\] is null"),
        ({"docids": ["a", "\udfff"]}, r"docids\[1\] .*udfff"),
        ({"docids": ["a", "b\0c"]}, r"docids\[1\]"),
        ({"docids": "ab"}, "docids"),
        ({"labels": [1, 2**31]}, "the label"),
        ({"labels": [-(2**31) - 1, 1]}, "the label"),
        ({"labels": [1, 10**400]}, r"labels\[1\]"),
    ],
)
def test_ids_and_grades_are_checked_as_texts_are(tmp_path, changes, where):
    row = {"query": "q", "docs": ["a", "b"], "labels": [1, 0], **changes}
    (tmp_path / "l.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=rf"l\.jsonl:1: {where}"):
        read_collection(tmp_path / "l.jsonl")


def test_numbers_of_numpy_are_numbers():
    item = LabeledList("q", ("a", "b"), (np.int64(2), np.float32(0)))
    assert [qrel.relevance for qrel in lists_as_collection("l", [item]).qrels] == [2, 0]


def collection(judged, corpus=(), run=()):
    qrels = [Qrel("q", doc_id, 1) for doc_id in judged]
    return Collection("c", {"q": "q"}, dict.fromkeys(corpus, "t"), qrels, [ScoredDoc("q", item, 1.0) for item in run])


def test_judged_documents_that_the_corpus_lacks_are_reported(caplog):
    some = collection(["1", "2", "3"], ["1", "02", "03"])
    assert "2 of 3 judged documents" in unmatched(some)
    assert "2, 3" in unmatched(some)
    with caplog.at_level(logging.WARNING):
        assert check_matched(some) is some
    assert [record.getMessage() for record in caplog.records] == [unmatched(some)]
    assert unmatched(collection(["1"], ["1", "2"])) == ""


def test_a_corpus_without_any_judged_document_is_refused():
    many = collection(map(str, range(7)), ["1.0", "2.0"])
    with pytest.raises(DataError, match=r"7 of 7 .*0, 1, 2, 3, 4, \.\.\.; .*1\.0, 2\.0"):
        check_matched(many)


def test_without_texts_the_run_is_looked_at():
    assert "2 of 2" in unmatched(collection(["1", "2"], run=["d1", "d2"]))
    assert unmatched(collection(["1", "2"], run=["d1", "2"])) == ""
    assert unmatched(collection(["1", "2"])) == ""
