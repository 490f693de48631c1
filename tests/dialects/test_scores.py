"""Scores in servers' responses."""

import numpy as np

from plackett.dialects.scores import inverse_sigmoid, read_scores


def test_saturated_probabilities_stay_finite_and_keep_their_order():
    values = np.array([0, 1e-30, 1e-6, 0.25, 0.5, 1 - 1e-12, 1])
    logits = inverse_sigmoid(values)
    assert np.isfinite(logits.astype(np.float32)).all()
    assert (np.diff(logits) > 0).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[1:])), values[1:], rtol=1e-12)


def test_scores_are_put_in_the_order_of_the_documents():
    items = [{"index": 2, "score": 3}, {"index": 0, "score": 1.5}, {"index": 1, "score": -2.0}]
    assert read_scores(items, 3).tolist() == [1.5, -2.0, 3.0]
