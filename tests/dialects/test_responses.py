"""The order and the numbers of every response."""

import json
from dataclasses import replace

import numpy as np
import pytest

from plackett.dialects import Answer, RerankRequest
from plackett.dialects.responses import best_first, number
from wire import ANSWER, QUERY, TEXTS

REQUEST = RerankRequest.of(QUERY, TEXTS)


def test_logits_decide_where_probabilities_are_equal():
    answer = Answer(np.array([40, 50, 45], np.float32), np.ones(3), "tiny", tokens=1)
    assert best_first(REQUEST, answer) == [1, 2, 0]


def test_equal_logits_keep_the_order_of_the_input():
    answer = Answer(np.array([1, 2, 1], np.float32), np.array([0.1, 0.2, 0.3]), "tiny", tokens=1)
    assert best_first(REQUEST, answer) == [1, 0, 2]


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"top_n": 2}, [0, 2]),
        ({"top_n": 100}, [0, 2, 1]),
        ({"min_score": 0.5}, [0, 2]),
        ({"min_score": 0.5, "top_n": 1}, [0]),
        ({"min_score": 0.8}, []),
    ],
)
def test_no_more_documents_than_were_asked_for(options, order):
    assert best_first(replace(REQUEST, **options), ANSWER) == order


def test_raw_scores_are_compared_with_any_number():
    raw = Answer(np.array([1, 2], np.float32), np.array([1, 2], np.float32), "tiny", tokens=1)
    assert best_first(replace(REQUEST, min_score=1e300), raw) == []
    assert best_first(replace(REQUEST, min_score=-1e300), raw) == [1, 0]


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.float32(1 / 3), "0.33333334"),
        (np.float64(1 / 3), "0.3333333333333333"),
        (np.float32(-11.25), "-11.25"),
        (np.float32(1e-20), "1e-20"),
        (np.float64(1 / (1 + np.exp(-20.0))), "0.9999999979388463"),
    ],
)
def test_numbers_are_as_short_as_their_precision_allows(score, text):
    assert json.dumps(number(score)) == text
