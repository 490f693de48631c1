"""Against scipy's permutation test and bootstrap, and Holm's steps written out."""

import numpy as np
import pytest
import scipy.stats

from plackett.evaluation.significance import _drawn, holm, significance


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def mean(values, axis=-1):
    return np.mean(values, axis=axis)


@pytest.mark.parametrize("shift", [0.0, 0.2, -0.5])
def test_few_queries_are_tested_exactly(rng, shift):
    differences = rng.normal(shift, 0.5, 12)
    exact = scipy.stats.permutation_test(
        (differences,), mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    assert significance(differences).p_value == pytest.approx(exact.pvalue)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1])
def test_many_queries_are_tested_by_draws(rng, shift):
    differences = rng.normal(shift, 0.5, 200)
    drawn = scipy.stats.permutation_test(
        (differences,), mean, permutation_type="samples", vectorized=True, n_resamples=20_000, rng=1
    )
    assert significance(differences).p_value == pytest.approx(drawn.pvalue, abs=0.02)


def test_the_interval_is_the_percentile_bootstrap(rng):
    differences = rng.exponential(1.0, 80) - 0.8
    expected = scipy.stats.bootstrap((differences,), mean, method="percentile", n_resamples=20_000, rng=1)
    assert significance(differences).ci95 == pytest.approx(expected.confidence_interval, abs=0.02)


def test_of_twenty_true_nulls_about_one_is_below_a_twentieth(rng):
    found = [significance(rng.normal(0, 1, 40), draws=1000).p_value for _ in range(400)]
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09


def test_intervals_hold_the_true_mean_about_as_often_as_they_say(rng):
    intervals = [significance(rng.normal(0.3, 1, 60), draws=1000).ci95 for _ in range(400)]
    assert 0.91 < np.mean([low <= 0.3 <= high for low, high in intervals]) < 0.98


@pytest.mark.parametrize("place", [0, 5, -1])
def test_every_query_is_drawn(place):
    differences = np.zeros(20)
    differences[place] = 1.0
    low, high = significance(differences).ci95
    assert (low, high) == (0.0, pytest.approx(0.15))


@pytest.mark.parametrize(("width", "draws", "sizes"), [(10, 7, [3, 3, 1]), (100, 3, [1, 1, 1]), (1, 40, [30, 10])])
def test_draws_are_made_in_chunks(monkeypatch, width, draws, sizes):
    monkeypatch.setattr("plackett.evaluation.significance._DRAWN_AT_A_TIME", 30)
    asked = []
    drawn = _drawn(lambda count: asked.append(count) or np.zeros(count), width, draws)
    assert (asked, len(drawn)) == (sizes, draws)


@pytest.mark.parametrize(
    ("differences", "expected"), [([0.5], np.inf), ([-0.5], -np.inf), ([1.0, 2.0], 1.5 / np.std([1.0, 2.0], ddof=1))]
)
def test_the_effect_size_of_few_queries(differences, expected):
    assert significance(differences).effect_size == pytest.approx(expected)


def test_one_comparison_needs_no_correction(rng):
    found = significance(rng.normal(0.2, 0.5, 12))
    assert found.p_holm == found.p_value


def test_queries_are_counted_and_rounding_is_no_change():
    differences = np.array([0.5, -0.25, 0.0, 1e-12, 0.25, 1e-9, -1e-9])
    found = significance(differences)
    assert (found.helped, found.hurt, found.unchanged) == (2, 1, 4)
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))


def test_no_change_at_all():
    found = significance(np.zeros(50))
    assert (found.p_value, found.ci95, found.effect_size) == (1.0, (0.0, 0.0), 0.0)
    assert (found.helped, found.hurt, found.unchanged) == (0, 0, 50)


def test_the_same_change_everywhere_is_as_sure_as_draws_allow():
    assert significance(np.full(50, 0.1)).p_value == pytest.approx(1 / 10_001)
    assert significance(np.full(50, 0.1)).effect_size == np.inf
    assert significance(np.full(3, -0.1)).p_value == pytest.approx(2 / 8)


def test_a_swap_of_the_systems_changes_signs_only(rng):
    differences = rng.normal(0.1, 1, 70)
    there, back = significance(differences), significance(-differences)
    assert there.p_value == pytest.approx(back.p_value, abs=0.02)
    assert there.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]), abs=0.03)
    assert (there.helped, there.effect_size) == (back.hurt, pytest.approx(-back.effect_size))


def test_the_seed_decides_about_all_draws(rng):
    differences = rng.normal(0.1, 1, 70)
    assert significance(differences) == significance(differences)
    assert significance(differences) != significance(differences, seed=1)


def test_chunks_of_draws_are_the_draws(rng, monkeypatch):
    differences = rng.normal(0.1, 1, 70)
    whole = significance(differences)
    monkeypatch.setattr("plackett.evaluation.significance._DRAWN_AT_A_TIME", 70 * 100)
    assert significance(differences).p_value == pytest.approx(whole.p_value, abs=0.02)
    assert significance(differences).ci95 == pytest.approx(whole.ci95, abs=0.02)


def test_collections_of_different_sizes_weigh_alike(rng):
    small, large = rng.normal(1.0, 0.1, 20), rng.normal(0.0, 0.1, 2000)
    low, high = significance(small, large).ci95
    assert low < (small.mean() + large.mean()) / 2 < high
    assert high - low < 0.1


@pytest.mark.parametrize("empty", [[], [[]], [[1.0], []]])
def test_nothing_to_compare_is_an_error(empty):
    with pytest.raises(ValueError, match="no query"):
        significance(*empty)


def test_holm_steps_down():
    # Sorted .01 .02 .03 .04: times 4, 3, 2, 1 is .04 .06 .06 .04, and never below the step before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.5]) == [0.5]
