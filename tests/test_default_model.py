"""The mean of the weights of several trainings, which the default model has."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers

from conftest import PAIRS
from plackett import CrossEncoder

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from default_model import SHARES, STAGES, mean_of_weights


def test_the_head_of_a_mean_answers_with_the_mean(tiny: Callable[..., Path], tmp_path: Path) -> None:
    shares: dict[Path, float] = {}
    for seed, share in ((1, 1.0), (2, 3.0)):  # the same encoder under heads of their own
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny("bert"))
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.classifier.weight)
        torch.nn.init.normal_(model.classifier.bias)
        folder = tmp_path / str(seed)
        CrossEncoder(tiny("bert")).save_pretrained(folder)
        model.save_pretrained(folder)
        shares[folder] = share
    mean = mean_of_weights(shares, tmp_path / "mean")
    first, second, both = (CrossEncoder(path, activation="identity").predict(PAIRS) for path in (*shares, mean))
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_allclose(both, first / 4 + second * 3 / 4, atol=1e-5)


def test_every_stage_has_its_share() -> None:
    assert list(SHARES) == list(STAGES)
    assert sum(SHARES.values()) == 1.0
