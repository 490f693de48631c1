"""Values that a program hands over: what C code cannot take is refused by its place."""

from decimal import Decimal

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bare import python
from plackett import DataError
from plackett.data import checked_qrels, checked_run
from plackett.data.fields import checked_id
from plackett.records import Qrel, ScoredDoc

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.integers())


def test_records_of_peers_and_numbers_of_numpy_are_taken():
    assert checked_qrels([ir_measures.Qrel("q", "d", 1), Qrel(np.int64(2), "é ", np.int32(-1))]) == [
        Qrel("q", "d", 1),
        Qrel("2", "é", -1),
    ]
    scores = checked_run([ir_measures.ScoredDoc("q", "d", 1), ScoredDoc("q", " e", np.float32(0.5))])
    assert scores == [ScoredDoc("q", "d", 1.0), ScoredDoc("q", "e", 0.5)]
    assert {type(item.score) for item in scores} == {float}
    assert checked_qrels([Qrel(Decimal(1), "d", Decimal("2.0"))]) == [Qrel("1", "d", 2)]


@pytest.mark.parametrize(
    "item",
    [
        Qrel(None, "d", 1),
        Qrel(float("nan"), "d", 1),
        Qrel(float("inf"), "d", 1),
        Qrel(np.float32("nan"), "d", 1),
        Qrel(Decimal("sNaN"), "d", 1),
        Qrel(np.array([1.0, 2.0]), "d", 1),
        Qrel("q", "d", Decimal("sNaN")),
        Qrel("q", "", 1),
        Qrel("q", b"d", 1),
        Qrel("q", "d\ud800", 1),
        Qrel("q", "d\0", 1),
        Qrel("q", "d", 2**31),
        Qrel("q", "d", -(2**31) - 1),
        Qrel("q", "d", 2**70),
        Qrel("q", "d", 0.5),
        Qrel("q", "d", True),
        Qrel("q", "d", "1"),
        Qrel("q", "d", None),
    ],
)
def test_judgements_that_are_none(item):
    with pytest.raises(DataError, match="judgement 1: the "):
        checked_qrels([Qrel("q", "a", 1), item])


@pytest.mark.parametrize("score", [np.float32("nan"), 10**400, "1", None, True])
def test_scores_that_are_none(score):
    with pytest.raises(DataError, match="candidate 1 of the run: the score"):
        checked_run([ScoredDoc("q", "a", 1.0), ScoredDoc("q", "b", score)])


def test_a_pair_that_is_judged_twice():
    with pytest.raises(DataError, match=r"judgement 2: .*first in judgement 0"):
        checked_qrels([Qrel("q", "a", 1), Qrel("q", "b", 1), Qrel("q", " a", 1)])


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_taken_is_plain(query_id, doc_id, grade):
    try:
        [item] = checked_qrels([Qrel(query_id, doc_id, grade)])
    except DataError:
        return
    assert (type(item.query_id), type(item.doc_id), type(item.relevance)) == (str, str, int)
    assert item.query_id == checked_id(query_id, "")
    assert item.relevance == grade
    assert (item.query_id + item.doc_id).encode().count(0) == 0


@pytest.mark.process
def test_the_package_needs_no_extra(tmp_path):
    (tmp_path / "l.csv").write_text("query,document,label\nq,a,1\n")
    (tmp_path / "l.parquet").write_bytes(b"PAR1")
    program = """
from pathlib import Path
import plackett, plackett.data as data
print(len(data.read_collection(Path(sys.argv[1]) / "l.csv").qrels))
try:
    list(data.read_lists(Path(sys.argv[1]) / "l.parquet"))
except plackett.MissingExtraError as error:
    print("plackett[train]" in str(error))
"""
    done = python(program, tmp_path)
    assert done.stdout.split() == ["1", "True"], done.stderr
