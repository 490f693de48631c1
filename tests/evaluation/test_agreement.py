"""Agreement of two sets of logits, against scipy and by hand."""

import warnings

import numpy as np
import pytest
from scipy.stats import kendalltau

from plackett.evaluation.agreement import agreement, kendall_tau, top_overlap


def column(*values):
    return np.array(values, np.float32)[:, None]


@pytest.mark.parametrize("levels", [2, 5, 10**6], ids=["many ties", "ties", "hardly a tie"])
@pytest.mark.parametrize("size", [2, 3, 10, 200])
def test_tau_is_scipy_s(levels, size):
    rng = np.random.default_rng(size + levels)
    for _ in range(20):
        a, b = (rng.integers(0, levels, size).astype(np.float32) for _ in range(2))
        with warnings.catch_warnings(action="ignore"):
            expected = float(kendalltau(a.astype(np.float64), b).statistic)
        if np.isnan(expected):
            expected = float(len(set(a)) == len(set(b)))
        assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-12)


def test_tau_where_everything_is_tied():
    tied, ranked = np.zeros(4, np.float32), np.arange(4, dtype=np.float32)
    assert (kendall_tau(tied, tied + 1), kendall_tau(tied, ranked), kendall_tau(ranked, tied)) == (1, 0, 0)


def test_the_overlap_is_of_the_ten_best_and_ties_keep_the_input_s_order():
    scores = np.arange(30, dtype=np.float32)
    assert top_overlap(scores, scores * 2) == 1
    assert top_overlap(scores, -scores) == 0
    assert top_overlap(scores, np.where(scores < 25, scores, -scores)) == 0.5
    assert top_overlap(np.zeros(20, np.float32), np.arange(20, 0, -1, dtype=np.float32)) == 1


def test_differences_are_absolute_and_the_worst_come_first():
    a = column(0, 1, 2, 3, 4, 5, 6)
    b = a + column(0, 0.5, -4, 1, 0.25, 0, -2)
    found = agreement(a, b, list("aaabbbb"))
    assert (found.pairs, found.queries) == (7, 2)
    assert found.largest == 4
    assert found.mean == pytest.approx(7.75 / 7)
    assert found.worst == (2, 6, 3, 1, 4)


def test_figures_of_rankings_are_means_over_queries_wherever_their_pairs_stand():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 60, 1)).astype(np.float32)
    queries = [str(number % 3) for number in range(60)]
    taus = [kendalltau(a[start::3, 0], b[start::3, 0]).statistic for start in range(3)]
    tops = [
        {*np.argsort(-a[start::3, 0])[:10].tolist()} & {*np.argsort(-b[start::3, 0])[:10].tolist()}
        for start in range(3)
    ]
    found = agreement(a, b, queries)
    assert found.tau == pytest.approx(np.mean(taus))
    assert found.overlap == pytest.approx(np.mean([len(top) / 10 for top in tops]))


def test_what_cannot_be_computed_is_none():
    alone = agreement(column(1, 2), column(1, 3), ["a", "b"])
    assert (alone.tau, alone.overlap, alone.largest) == (None, None, 1)
    assert agreement(column(*range(10)), column(*range(10)), ["a"] * 10).overlap is None
    labels = agreement(np.array([[1, 2], [3, 4]], np.float32), np.array([[1, 5], [3, 4]], np.float32), ["a", "a"])
    assert (labels.largest, labels.mean, labels.tau, labels.overlap) == (3, 0.75, None, None)


def test_the_same_scores_agree():
    scores = np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32)
    found = agreement(scores, scores.copy(), ["a"] * 40)
    assert (found.largest, found.mean, found.tau, found.overlap) == (0, 0, 1, 1)
