"""Thresholds: the best of all that there are, tried one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett import SettingError
from plackett.calibration.thresholds import Target, choose


def reached(probabilities, relevant, threshold):
    kept = [bool(label) for probability, label in zip(probabilities, relevant, strict=True) if probability >= threshold]
    return (sum(kept) / len(kept) if kept else None), sum(kept) / sum(map(bool, relevant)), len(kept)


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=30), st.floats(0.01, 1))
def test_no_other_threshold_does_better(pairs, wanted):
    probabilities, relevant = np.array([p for p, _ in pairs], np.float32), np.array([label for _, label in pairs])
    if not relevant.any():
        return
    every = [0.0, *(float(f"{p:.3e}") * (1 - sign * 1e-3) for p in map(float, probabilities) for sign in (-1, 0, 1))]
    found = choose(probabilities, relevant, Target("recall", wanted))
    _, recall, kept = reached(probabilities, relevant, found)
    assert recall >= wanted - 1e-12
    for other in every:
        _, recall_there, kept_there = reached(probabilities, relevant, other)
        assert kept_there >= kept or recall_there < wanted + 1e-12 or other <= found * (1 + 1e-3)
    found = choose(probabilities, relevant, Target("precision", wanted))
    if found is not None:
        precision, _, kept = reached(probabilities, relevant, found)
        assert precision >= wanted - 1e-12


def test_thresholds_by_hand():
    probabilities = np.array([0.9, 0.8, 0.7, 0.6, 0.51239, 0.1])
    relevant = np.array([True, True, False, True, True, False])
    expected = {
        ("precision", 1.0): 0.8,
        ("precision", 0.8): 0.5123,  # 4 of 5, of four digits rounded down
        ("precision", 0.75): 0.5123,
        ("precision", 0.6): 0.1,
        ("recall", 1.0): 0.5123,
        ("recall", 0.75): 0.6,
        ("recall", 0.5): 0.8,
        ("recall", 0.01): 0.9,
    }
    for target, threshold in expected.items():
        assert choose(probabilities, relevant, Target(*target)) == threshold
    assert choose(np.array([0.9, 0.1]), np.array([False, True]), Target("precision", 0.9)) is None


def test_pairs_of_one_probability_go_together():
    probabilities, relevant = np.array([0.5, 0.5, 0.5, 0.2]), np.array([True, False, True, True])
    assert choose(probabilities, relevant, Target("precision", 0.9)) is None
    assert choose(probabilities, relevant, Target("precision", 0.7)) == 0.2
    assert choose(probabilities, relevant, Target("recall", 0.1)) == 0.5


@pytest.mark.parametrize("value", [0, -0.1, 1.1, float("nan")])
def test_what_cannot_be_wanted(value):
    with pytest.raises(SettingError, match=str(value)):
        Target("precision", value)
    with pytest.raises(SettingError, match=r"^unknown measure 'recal'.*'recall'"):
        Target("recal", 0.5)
    with pytest.raises(SettingError, match="value"):
        Target("recall", "0.5")
