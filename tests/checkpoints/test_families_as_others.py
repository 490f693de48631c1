"""Tiny models of every family, as sentence-transformers scores them: read as they are, and written by Plackett."""

import json

import numpy as np
import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as MAPPED

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder
from plackett.families import UNREADABLE
from small_families import LEFT_OUT, PAIRS, build

COMMON = ("albert", "bert", "gpt2", "mpnet", "nystromformer", "qwen3", "roberta", "xlnet")


def logits_of(folder, pairs):
    theirs = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
    return np.array([theirs.predict([pair], activation_fn=torch.nn.Identity())[0] for pair in pairs])


@pytest.mark.peer
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family in COMMON else pytest.mark.slow)
        for family in sorted(set(MAPPED) - LEFT_OUT.keys())
    ],
)
def test_scores_are_those_of_sentence_transformers(family, tmp_path):
    """Pair by pair: in batches of several, some families' scores move with the padding there, and never here."""
    build(tmp_path / "read", family)
    ours = CrossEncoder(tmp_path / "read")
    expected = logits_of(tmp_path / "read", PAIRS)
    np.testing.assert_allclose(ours.score(PAIRS)[:, 0], expected, rtol=5e-5, atol=2e-5)
    alone = [ours.score([pair])[0, 0] for pair in PAIRS]
    np.testing.assert_allclose(alone, expected, rtol=5e-5, atol=2e-5)

    ours.save_pretrained(tmp_path / "written")
    np.testing.assert_allclose(logits_of(tmp_path / "written", PAIRS), expected, rtol=5e-5, atol=2e-5)
    np.testing.assert_allclose(CrossEncoder(tmp_path / "written").score(PAIRS)[:, 0], expected, rtol=5e-5, atol=2e-5)


@pytest.mark.parametrize("family", sorted(UNREADABLE))
def test_families_that_do_not_read_texts_are_refused_by_name(family, tmp_path):
    config = {"model_type": family, "architectures": [MAPPED[family]], "id2label": {"0": "LABEL_0"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=family):
        CrossEncoder(tmp_path)


def test_every_family_is_compared_or_refused_or_cannot_be_built():
    assert UNREADABLE.keys() <= LEFT_OUT.keys()
    assert LEFT_OUT.keys() <= MAPPED.keys()
