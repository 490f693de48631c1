"""The order of ranked lists, and what a run must be."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett.errors import DataError
from plackett.ranking import best_first, by_query, check_known, cut, judged_only, stable_order
from plackett.records import Collection, Qrel, ScoredDoc

FLOATS = st.floats(allow_nan=False, width=32)


@given(st.lists(FLOATS, max_size=30))
def test_the_order_is_that_of_a_stable_sort(scores: list[float]) -> None:
    expected = sorted(range(len(scores)), key=lambda index: scores[index], reverse=True)
    assert stable_order(np.array(scores, dtype=np.float32)).tolist() == expected


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0]), max_size=30))
def test_equal_scores_keep_their_input_order(scores: list[float]) -> None:
    ones = [index for index, score in enumerate(scores) if score == 1]
    zeros = [index for index, score in enumerate(scores) if score == 0]
    assert stable_order(np.array(scores)).tolist() == ones + zeros


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_not_a_number_comes_last(dtype: type) -> None:
    assert stable_order(np.array([np.nan, -np.inf, 2, np.nan, np.inf], dtype=dtype)).tolist() == [4, 2, 1, 0, 3]


def test_ids_are_compared_by_their_bytes() -> None:
    ids = ["a", "B", "é", "z", "\U0001d538", "~"]
    tied = [ScoredDoc("q", doc_id, 0.0) for doc_id in ids]
    assert [scored.doc_id for scored in best_first(tied)] == sorted(ids, key=str.encode, reverse=True)


def test_a_run_is_grouped_and_cut_by_query() -> None:
    run = [ScoredDoc("q", "a", 1.0), ScoredDoc("r", "a", 3.0), ScoredDoc("q", "b", 2.0)]
    assert by_query(run) == {"q": [run[0], run[2]], "r": [run[1]]}
    assert cut(run, 1) == [run[2], run[1]]


@pytest.mark.parametrize("added", [ScoredDoc("q", "a", 0.5), ScoredDoc("q", "b", np.nan), ScoredDoc("q", "b", np.inf)])
def test_a_run_with_a_repeated_document_or_a_score_that_is_not_finite_is_refused(added: ScoredDoc) -> None:
    with pytest.raises(DataError, match=f"'{added.doc_id}'.*'q'"):
        by_query([ScoredDoc("q", "a", 1.0), added])


def test_missing_ids_are_counted_and_the_first_five_listed() -> None:
    check_known(["a", "a"], {"a": 1}, "ids", "the file")
    with pytest.raises(DataError, match=r"6 .*b, c, d, e, f, …$"):
        check_known("abcdefgg", {"a": 1}, "ids", "the file")


def test_queries_without_judgements_are_dropped_and_counted() -> None:
    run = [ScoredDoc("q", "a", 1.0), ScoredDoc("r", "a", 3.0), ScoredDoc("r", "b", 2.0)]
    collection = Collection("c", {}, {}, [Qrel("q", "a", 0)], run)
    judged, dropped = judged_only(collection)
    assert (list(judged.run), dropped) == (run[:1], 1)
    assert judged_only(judged) == (judged, 0)


@pytest.mark.process
def test_it_needs_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import plackett.ranking"
    subprocess.run([sys.executable, "-c", program], check=True)
