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
from default_model import mean_of_weights


def test_the_head_of_a_mean_answers_with_the_mean(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folders = []
    for seed in range(3):  # the same encoder under heads of their own
        model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny("bert"))
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.classifier.weight)
        torch.nn.init.normal_(model.classifier.bias)
        folder = tmp_path / str(seed)
        CrossEncoder(tiny("bert")).save_pretrained(folder)
        model.save_pretrained(folder)
        folders.append(folder)
    mean = mean_of_weights(folders, tmp_path / "mean")
    *alone, together = (CrossEncoder(path, activation="identity").predict(PAIRS) for path in (*folders, mean))
    assert np.ptp(alone, axis=0).min() > 0.01
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-5)
