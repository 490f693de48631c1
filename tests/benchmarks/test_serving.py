"""The parts of the benchmark of serving that could be wrong without anybody noticing."""

import json
import random
from math import exp, factorial

import pytest
from scipy.optimize import brentq

from benchmarks.serving.run import md1_p99
from benchmarks.serving.workload import Question, Workload


def crommelin(load, wait):
    """P(wait <= t) of M/D/1, in jobs' lengths: Crommelin's formula."""
    terms = ((-load * (wait - k)) ** k / factorial(k) * exp(load * (wait - k)) for k in range(int(wait) + 1))
    return (1 - load) * sum(terms)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_the_bound_is_that_of_the_queue(load):
    wait = brentq(lambda wait: crommelin(load, wait) - 0.99, 1.5, 14.5)
    assert md1_p99(load) == pytest.approx(wait + 1, rel=0.05)


@pytest.mark.parametrize(
    ("items", "right"),
    [
        ([(1, 2.0), (0, 1.0)], True),
        ([(0, 1.0), (1, 2.0)], False),  # not sorted
        ([(1, 2.0), (0, 1.5)], False),  # a wrong score
        ([(1, 2.0)], False),  # lost
        ([(1, 2.0), (1, 2.0)], False),  # doubled
    ],
)
def test_an_answer_is_right_if_every_score_is_there_once(items, right):
    body = json.dumps([{"index": index, "score": score} for index, score in items]).encode()
    assert Question(b"", (1.0, 2.0)).is_answered_by(body) is right


def test_a_question_knows_its_logits():
    work = Workload(("q", "r"), ("a", "b", "c"), ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)), 1.0)
    question = work.question(random.Random(0), 2)
    body = json.loads(question.body)
    row = work.logits[work.queries.index(body["query"])]
    assert question.logits == tuple(row[work.documents.index(text)] for text in body["texts"])
