"""The contract of engines, and the fake that is shipped."""

import builtins

import numpy as np
import pytest
import torch

from conftest import PAIRS
from plackett import MissingExtraError, SettingError
from plackett.engines import ENGINES, FakeEngine, load_engine
from plackett.tokenization import PairTokenizer


def test_auto_is_one_of_the_engines(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    scores = [load_engine(name, checkpoint, "cpu").score(encoded) for name in ("auto", *ENGINES)]
    for other in scores:
        assert other.dtype == np.float32
        assert other.shape == (len(PAIRS), 1)
        np.testing.assert_allclose(other, scores[0], atol=1e-4)


def test_an_engine_answers_in_the_order_of_the_batch(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    engine = load_engine("torch", checkpoint, None)
    order = np.random.default_rng(3).permutation(len(PAIRS))
    np.testing.assert_allclose(engine.score(encoded.select(order)), engine.score(encoded)[order], atol=1e-5)


def test_no_gradients_and_no_shared_memory(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    engine = load_engine("torch", checkpoint, "cpu")
    scores = engine.score(encoded)
    again = scores.copy()
    scores[:] = 0
    np.testing.assert_array_equal(engine.score(encoded), again)


@pytest.mark.parametrize(("name", "hint"), [("torhc", "did you mean 'torch'"), ("gguf", "known: auto, torch")])
def test_an_unknown_engine(checkpoint, name, hint):
    with pytest.raises(SettingError, match=f"unknown engine {name!r}; {hint}"):
        load_engine(name, checkpoint, None)


@pytest.mark.parametrize("device", ["nonsense", "cpu0", "", "mps"])
def test_devices_that_are_not_there(checkpoint, device):
    if not device or (device == "mps" and torch.backends.mps.is_available()):
        load_engine("torch", checkpoint, device)  # nothing named: the default
        return
    with pytest.raises(SettingError, match=f"device '{device}' cannot be used here .* leave it out, or name cpu"):
        load_engine("torch", checkpoint, device)


def test_an_engine_whose_extra_is_missing_names_it(checkpoint, monkeypatch):
    real = builtins.__import__

    def blocked(name, *rest, **options):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest, **options)

    monkeypatch.delitem(__import__("sys").modules, "plackett.engines.torch", raising=False)
    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(MissingExtraError, match=r"needs torch, .* pip install 'plackett\[train\]'"):
        load_engine("torch", checkpoint, None)


def test_the_fake_scores_by_token_ids(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    assert FakeEngine(len).score(encoded)[:, 0].tolist() == encoded.lengths.tolist()
    assert FakeEngine(len).score(encoded.select(np.empty(0, np.int64))).shape == (0, 1)
