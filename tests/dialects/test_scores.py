"""Scores in servers' responses."""

import numpy as np
import pytest

from plackett import RemoteError
from plackett.dialects.scores import inverse_sigmoid, read_numbers, read_scores


def test_saturated_probabilities_stay_finite_and_keep_their_order():
    values = np.array([0, 1e-30, 1e-6, 0.25, 0.5, 1 - 1e-12, 1])
    logits = inverse_sigmoid(values)
    assert np.isfinite(logits.astype(np.float32)).all()
    assert (np.diff(logits) > 0).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[1:])), values[1:], rtol=1e-12)


def test_scores_are_put_in_the_order_of_the_documents():
    items = [{"index": 2, "score": 3}, {"index": 0, "score": 1.5}, {"index": 1, "score": -2.0}]
    assert read_scores(items, 3).tolist() == [1.5, -2.0, 3.0]


@pytest.mark.parametrize(
    "body",
    [
        [{"index": 1, "score": 2.5}, {"index": 0, "score": 1}],
        {"results": [{"index": 1, "relevance_score": 2.5}, {"index": 0, "relevance_score": 1}]},
        {"data": [{"index": 1, "relevance_score": 2.5}, {"index": 0, "relevance_score": 1}]},
        {"rankings": [{"index": 1, "logit": 2.5}, {"index": 0, "logit": 1}]},
    ],
)
def test_scores_have_several_names(body):
    assert read_scores(body, 2).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({}, "no list"),
        ({"results": None}, "no list"),
        (["a"], "no list"),
        ([], "0 scores for 1"),
        ([{"score": 1}], "None"),
        ([{"index": 1, "score": 1}], "index 1"),
        ([{"index": -1, "score": 1}], "index -1"),
        ([{"index": True, "score": 1}], "index True"),
        ([{"index": 0}], "score None"),
        ([{"index": 0, "score": True}], "score True"),
        ([{"index": 0, "score": "1"}], "score 1"),
        ([{"index": 0, "score": float("nan")}], "score nan"),
        ([{"index": 0, "score": 1e39}], "score 1e\\+39"),
        ([{"index": 0, "score": 10**400}], "score 1000"),
    ],
)
def test_what_are_no_scores_is_said(body, data):
    with pytest.raises(RemoteError, match=data):
        read_scores(body, 1)


def test_numbers_are_read_in_their_order():
    assert read_numbers([0.5, 1, -2.0], 3).tolist() == [0.5, 1.0, -2.0]
    with pytest.raises(RemoteError, match="2 scores for 3"):
        read_numbers([0.5, 1], 3)
    with pytest.raises(RemoteError, match="score None"):
        read_numbers([None], 1)


def test_a_logit_is_no_probability():
    with pytest.raises(RemoteError, match=r"1\.5"):
        inverse_sigmoid(np.array([0.5, 1.5]))
