"""Mixtures of weights, loaded by transformers and compared with the arithmetic."""

import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from default_model.interpolate import interpolate


def weights(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder).state_dict()


@pytest.fixture
def trained(bert, tmp_path):
    """Two checkpoints away from `bert`."""
    folders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        folders.append(shutil.copytree(bert, tmp_path / f"trained-{seed}"))
        model = AutoModelForSequenceClassification.from_pretrained(bert)
        for weight in model.parameters():
            weight.data += torch.randn_like(weight)
        model.save_pretrained(folders[-1])
    return folders


def test_each_change_counts_by_its_share(bert, trained, tmp_path):
    first, second = trained
    found = weights(interpolate(bert, {first: 0.5, second: 0.25}, tmp_path / "mixed"))
    origin, one, two = map(weights, (bert, first, second))
    assert found.keys() == origin.keys()
    for name, weight in found.items():
        torch.testing.assert_close(weight, 0.25 * origin[name] + 0.5 * one[name] + 0.25 * two[name])


def test_the_whole_share_is_the_training_itself(bert, trained, tmp_path):
    found = weights(interpolate(bert, {trained[0]: 1.0}, tmp_path / "mixed"))
    for name, weight in weights(trained[0]).items():
        torch.testing.assert_close(found[name], weight)
