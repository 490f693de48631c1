"""Records that a program hands to `evaluate`: refused before ir-measures' C code sees them, which would crash."""

import numpy as np
import pytest

from plackett import DataError
from plackett.evaluation import evaluate
from plackett.records import Qrel, ScoredDoc

RUN = [ScoredDoc("q", "a", 2.0), ScoredDoc("q", "b", 1.0)]


@pytest.mark.parametrize("grade", [2**40, -(2**31) - 1, 0.5, "1", None, True])
def test_grades_that_c_cannot_hold_are_refused(grade):
    with pytest.raises(DataError, match="judgement 0: the grade"):
        evaluate(RUN, [Qrel("q", "a", grade)], ["nDCG@10"])


@pytest.mark.parametrize("doc_id", [None, "\ud800", "a\0b", b"a"])
def test_ids_that_c_cannot_hold_are_refused(doc_id):
    with pytest.raises(DataError, match="judgement 0: the document id"):
        evaluate(RUN, [Qrel("q", doc_id, 1)], ["nDCG@10"])
    with pytest.raises(DataError, match="candidate 0 of the run: the document id"):
        evaluate([ScoredDoc("q", doc_id, 1.0)], [Qrel("q", "a", 1)], ["nDCG@10"])


def test_a_pair_that_is_judged_twice_is_refused():
    with pytest.raises(DataError, match="judgement 1"):
        evaluate(RUN, [Qrel("q", "a", 1), Qrel("q", "a", 0)], ["RR@10"])


def test_numbers_and_white_space_are_those_of_files():
    run = [ScoredDoc(1, " a", np.float32(2)), ScoredDoc(1, "b", 1)]
    assert evaluate(run, [Qrel("1", "a ", np.int64(1))], ["RR@10"]) == {"RR@10": 1.0}
