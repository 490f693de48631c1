"""Fits find what made the data, against scipy and scikit-learn; measures against loops; folds are of whole queries."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from plackett import DataError, SettingError
from plackett.calibration.fitting import (
    FITS,
    JudgedPairs,
    calibrate,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    folds_by_query,
    log_loss,
)
from plackett.calibration.thresholds import Target
from plackett.checkpoints.calibrations import Isotonic, Platt, Temperature, dump_calibration


def drawn(truth, pairs=20_000, seed=0, depth=10):
    """Pairs whose labels are drawn with the probabilities of `truth`."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, pairs).astype(np.float32)
    return JudgedPairs(logits, random.random(pairs) < truth(logits), np.arange(pairs) // depth)


def smoothed(relevant):
    """Platt's targets."""
    positives, negatives = sum(relevant), len(relevant) - sum(relevant)
    return np.array([(positives + 1) / (positives + 2) if label else 1 / (negatives + 2) for label in relevant])


data = st.lists(st.tuples(st.floats(-1e4, 1e4, width=32), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


def arrays(pairs):
    return np.array([logit for logit, _ in pairs], np.float64), np.array([label for _, label in pairs])


def test_the_parameters_that_made_the_data_are_found():
    for temperature in (2.5, 0.4):
        pairs = drawn(Temperature(temperature))
        assert fit_temperature(pairs.logits, pairs.relevant).temperature == pytest.approx(temperature, rel=0.05)
    for slope, intercept in ((0.7, -1.5), (3.0, 2.0)):
        pairs = drawn(Platt(slope, intercept))
        found = fit_platt(pairs.logits, pairs.relevant)
        assert (found.slope, found.intercept) == pytest.approx((slope, intercept), rel=0.06)
    truth = Isotonic((-4.0, -1.0, 0.0, 5.0), (0.05, 0.1, 0.6, 0.8))
    pairs = drawn(truth)
    grid = np.linspace(-5, 6, 50)
    np.testing.assert_allclose(fit_isotonic(pairs.logits, pairs.relevant)(grid), truth(grid), atol=0.1)


@pytest.mark.parametrize("truth", [Temperature(2.5), Platt(0.7, -1.5), Platt(2.0, -6.0)])
def test_the_minimum_is_that_of_scipy(truth):
    pairs = drawn(truth, 500)
    logits, targets = pairs.logits.astype(np.float64), smoothed(pairs.relevant)

    def loss(slope, intercept=0.0):
        z = slope * logits + intercept
        return -np.mean(targets * scipy.special.log_expit(z) + (1 - targets) * scipy.special.log_expit(-z))

    best = scipy.optimize.minimize(lambda x: loss(*x), [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9})
    found = fit_platt(logits, pairs.relevant)
    np.testing.assert_allclose([found.slope, found.intercept], best.x, rtol=1e-3, atol=1e-4)
    assert loss(found.slope, found.intercept) <= best.fun + 1e-12
    best = scipy.optimize.minimize_scalar(loss, bounds=(1e-3, 10), method="bounded", options={"xatol": 1e-10})
    assert loss(1 / fit_temperature(logits, pairs.relevant).temperature) <= best.fun + 1e-12


@given(data)
def test_isotonic_is_scipys_of_the_smoothed_targets(pairs):
    logits, relevant = arrays(pairs)
    values, numbers, counts = np.unique(logits, return_inverse=True, return_counts=True)
    means = np.bincount(numbers, smoothed(relevant)) / counts
    expected = scipy.optimize.isotonic_regression(means, weights=counts).x
    np.testing.assert_allclose(fit_isotonic(logits, relevant)(values), expected, atol=1e-12)


@given(data, st.sampled_from([*FITS]))
def test_any_data_give_a_calibration_that_does_not_fall_nor_reach_0_or_1(pairs, method):
    logits, relevant = arrays(pairs)
    fit = FITS[method](logits, relevant)
    probabilities = fit(np.unique(logits))
    assert (np.diff(probabilities) >= -1e-12).all()
    assert np.isfinite(fit(np.array([-1e4, 0.0, 1e4]))).all()
    if method == "isotonic":
        assert ((probabilities > 0) & (probabilities < 1)).all()
    assert fit == FITS[method](logits, relevant), "nothing is left to chance"
    shuffled = np.random.default_rng(0).permutation(len(logits))
    np.testing.assert_allclose(FITS[method](logits[shuffled], relevant[shuffled])(logits), fit(logits), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_data_that_the_logits_separate_give_finite_parameters(scale):
    logits = np.repeat([-2.0, -1.0, 1.0, 2.0], 25) * scale
    relevant = logits > 0
    for method, fit in FITS.items():
        low, high = fit(logits, relevant)(np.array([-scale, scale]))
        assert 0 < low < 0.06, method
        assert 0.94 < high < 1, method


def test_logits_that_order_the_wrong_way_round_give_the_base_rate():
    logits = np.linspace(-3, 3, 300)
    relevant = logits < -1
    rate = smoothed(relevant).mean()
    for fit in (fit_platt, fit_isotonic):
        np.testing.assert_allclose(fit(logits, relevant)(logits), rate, atol=1e-4)
    np.testing.assert_allclose(fit_temperature(logits, relevant)(logits), 0.5, atol=1e-4)


def test_logits_that_are_all_the_same():
    logits, relevant = np.full(40, 7.0), np.arange(40) < 10
    for method in ("platt", "isotonic"):
        np.testing.assert_allclose(FITS[method](logits, relevant)(logits), smoothed(relevant).mean(), atol=1e-6)


def test_ties_weigh_as_many_as_they_are():
    logits, relevant = np.array([0.0] * 9 + [1.0]), np.array([True] * 9 + [False])
    np.testing.assert_allclose(fit_isotonic(logits, relevant)(np.array([0.0, 1.0])), smoothed(relevant).mean())


def test_log_loss_by_hand():
    probabilities, relevant = np.array([0.9, 0.2, 0.5, 1.0]), np.array([True, True, False, True])
    expected = -(math.log(0.9) + math.log(0.2) + math.log(0.5) + math.log(1.0)) / 4
    assert log_loss(probabilities, relevant) == pytest.approx(expected, rel=1e-12)
    assert log_loss(np.array([0.0]), np.array([True])) == pytest.approx(-math.log(np.finfo(float).eps))


def test_log_loss_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(1)
    probabilities, relevant = random.random(200).round(2), random.random(200) < 0.3
    assert log_loss(probabilities, relevant) == pytest.approx(metrics.log_loss(relevant, probabilities), rel=1e-9)


def test_the_calibration_error_of_distinct_probabilities_by_a_loop():
    random = np.random.default_rng(2)
    probabilities, relevant = random.random(150), random.random(150) < 0.4
    order = np.argsort(probabilities)
    error = 0.0
    for bin_ in np.split(order, 15):
        error += len(bin_) / 150 * abs(probabilities[bin_].mean() - relevant[bin_].mean())
    assert expected_calibration_error(probabilities, relevant) == pytest.approx(error, rel=1e-12)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.30001, 0.9]), st.booleans()), min_size=1), st.randoms())
def test_the_calibration_error_does_not_depend_on_the_order_of_ties(pairs, random):
    def error(pairs):
        return expected_calibration_error(np.array([p for p, _ in pairs]), np.array([label for _, label in pairs]))

    shuffled = random.sample(pairs, len(pairs))
    assert error(shuffled) == pytest.approx(error(pairs), abs=1e-12)


def test_a_constant_that_is_right_has_no_calibration_error():
    relevant = np.arange(100) < 30
    assert expected_calibration_error(np.full(100, 0.3), relevant) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error(np.full(100, 0.8), relevant) == pytest.approx(0.5)


def test_folds_hold_whole_queries_of_all_sizes_alike():
    queries = np.random.default_rng(0).integers(0, 43, 1000) * 7
    fold_of = folds_by_query(queries, 5, seed=3)
    assert all(len(set(fold_of[queries == query])) == 1 for query in set(queries.tolist()))
    counts = [len(set(queries[fold_of == fold].tolist())) for fold in range(5)]
    assert sum(counts) == 43
    assert max(counts) - min(counts) <= 1
    np.testing.assert_array_equal(fold_of, folds_by_query(queries, 5, seed=3))
    assert (fold_of != folds_by_query(queries, 5, seed=4)).any()


@pytest.mark.parametrize("folds", [1, 0, -2, 11, True])
def test_folds_that_there_are_too_few_queries_for(folds):
    with pytest.raises(SettingError, match=r"folds.* 10 "):
        folds_by_query(np.arange(10), folds, seed=0)


def test_held_out_probabilities_saw_none_of_their_query():
    pairs = drawn(Platt(0.7, -1.5), 400)
    before = calibrate(pairs, folds=4, seed=1, targets=[Target("recall", 0.9)])
    fold_of = folds_by_query(pairs.queries, 4, 1)
    other = replace(pairs, relevant=np.where(fold_of == 2, ~pairs.relevant, pairs.relevant))
    after = calibrate(other, folds=4, seed=1)
    for one, two in zip(before.methods, after.methods, strict=True):
        np.testing.assert_array_equal(one.probabilities[fold_of == 2], two.probabilities[fold_of == 2])
        assert (one.probabilities[fold_of == 0] != two.probabilities[fold_of == 0]).any()


@pytest.mark.parametrize(
    ("truth", "best"),
    [(Temperature(3.0), "temperature"), (Platt(0.7, -2.5), "platt"), (Isotonic((0.0, 0.1), (0.05, 0.9)), "isotonic")],
)
def test_the_method_that_made_the_data_wins_and_is_fitted_to_all_of_them(truth, best):
    pairs = drawn(truth, 6000)
    found = calibrate(pairs)
    assert found.best.method == best
    assert found.best.log_loss == min(item.log_loss for item in found.methods)
    assert found.best.log_loss < found.before.log_loss
    assert found.best.error < 0.025 < found.before.error
    assert found.calibration == FITS[best](pairs.logits.astype(np.float64), pairs.relevant)
    sigmoid = scipy.special.expit(pairs.logits.astype(np.float64))
    assert found.before.log_loss == pytest.approx(log_loss(sigmoid, pairs.relevant), rel=1e-12)
    assert found.best.log_loss == log_loss(found.best.probabilities, pairs.relevant)


def test_thresholds_keep_their_word_on_other_data():
    truth = Platt(0.9, -1.0)
    found = calibrate(drawn(truth), targets=[Target("precision", 0.8), Target("recall", 0.7)])
    others = drawn(truth, seed=9)
    probabilities = found.calibration(others.logits)
    for item, measure in zip(found.thresholds, ("precision", "recall"), strict=True):
        kept = probabilities >= item.value
        precision, recall = others.relevant[kept].mean(), others.relevant[kept].sum() / others.relevant.sum()
        assert {"precision": precision, "recall": recall}[measure] == pytest.approx(item.target.value, abs=0.02)
        assert (item.precision, item.recall) == pytest.approx((precision, recall), abs=0.02)
        assert item.relevant == found.pairs.relevant.sum()


def test_a_precision_that_nothing_reaches():
    random = np.random.default_rng(0)
    pairs = JudgedPairs(random.normal(size=300), np.arange(300) % 10 == 0, np.arange(300) // 10)
    pairs.logits[np.argmax(pairs.logits)] = pairs.logits[~pairs.relevant].max() + 1
    order = np.argsort(pairs.logits)
    relevant = np.arange(300) < 30
    [threshold] = calibrate(
        replace(pairs, logits=pairs.logits[order], relevant=relevant), targets=[Target("precision", 0.9)]
    ).thresholds
    assert threshold.value is None
    assert (threshold.kept, threshold.found, threshold.recall) == (0, 0, 0)
    assert math.isnan(threshold.precision)


@pytest.mark.parametrize(
    ("logits", "relevant", "message"),
    [
        ([1.0, 2.0], [False, False], "0 of 2 pairs are relevant"),
        ([1.0, 2.0], [True, True], "2 of 2 pairs are relevant"),
        ([1.0, math.nan], [True, False], "NaN or infinite"),
        ([1.0, -math.inf], [True, False], "NaN or infinite"),
        ([1.0], [True, False], "1 logits, 2 labels, 2 queries"),
        ([], [], "queries|0 of 0 pairs"),
    ],
)
def test_data_that_nothing_can_be_fitted_to(logits, relevant, message):
    with pytest.raises(DataError, match=message):
        JudgedPairs(np.array(logits), np.array(relevant, bool), np.arange(len(relevant)))


def test_a_fold_that_holds_all_the_relevant_pairs_is_no_accident():
    pairs = JudgedPairs(np.arange(20.0), np.arange(20) == 19, np.arange(20) // 4)
    found = calibrate(pairs, targets=[Target("precision", 0.9), Target("recall", 0.9)])
    assert all(np.isfinite([item.log_loss, item.error]).all() for item in found.methods)
    assert [item.value is not None for item in found.thresholds] == [True, True]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_hundred_thousand_pairs_take_few_knots():
    pairs = drawn(Platt(0.7, -1.5), 100_000, depth=100)
    found = calibrate(pairs, targets=(Target("precision", 0.9), Target("recall", 0.9)))
    assert found.best.method == "platt"
    assert len(dump_calibration(fit_isotonic(*pairs.where(np.ones(len(pairs), bool))))) < 100_000
