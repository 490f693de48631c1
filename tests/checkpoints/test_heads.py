"""Kinds of heads: raw outputs to one logit per pair."""

import numpy as np
import pytest
import torch

from plackett import CheckpointError, CrossEncoder, InputError, SettingError
from plackett.checkpoints.folder import read_checkpoint
from plackett.checkpoints.heads import HEADS, Head, head_of, one_against_others
from tiny import DOCUMENTS, PAIRS, QUERY

CLASSIFIER = {"architectures": ["BertForSequenceClassification"]}


@pytest.mark.parametrize(
    ("config", "name", "outputs"),
    [
        ({**CLASSIFIER, "num_labels": 1}, "one label", 1),
        ({**CLASSIFIER, "id2label": {"0": "LABEL_0"}}, "one label", 1),
        ({**CLASSIFIER, "id2label": {"0": "no", "1": "yes"}}, "several labels", 2),
        (CLASSIFIER, "several labels", 2),  # transformers' default
    ],
)
def test_a_configuration_describes_its_head(config, name, outputs):
    found = head_of(config)
    assert found is not None
    assert (found[0].name, found[1]) == (name, outputs)


@pytest.mark.parametrize("architectures", [None, [], ["BertModel"], ["BertForMaskedLM"]])
def test_no_head(architectures):
    assert head_of({"architectures": architectures}) is None


def test_several_labels_are_scored_and_do_not_rank(tiny):
    encoder = CrossEncoder(tiny("bert", 2))
    assert not encoder.model.ranks
    assert encoder.score(PAIRS).shape == encoder.predict(PAIRS).shape == (len(PAIRS), 2)
    with pytest.raises(InputError, match="one label"):
        encoder.rank(QUERY, DOCUMENTS)


def test_a_head_that_is_added_makes_its_model_rank(tiny, monkeypatch):
    def difference(raw):
        return raw[:, 1:] - raw[:, :1]

    before = CrossEncoder(tiny("bert", 2)).score([(QUERY, text) for text in DOCUMENTS])
    two = Head("two labels", "ForSequenceClassification", lambda _, outputs: outputs == 2, difference)
    monkeypatch.setattr("plackett.checkpoints.heads.HEADS", [two, *HEADS])
    encoder = CrossEncoder(tiny("bert", 2))
    assert encoder.model.ranks
    assert read_checkpoint(tiny("bert", 2)).head is two
    assert read_checkpoint(tiny("bert", 1)).head.name == "one label"
    logits = before[:, 1] - before[:, 0]
    np.testing.assert_allclose(encoder.score([(QUERY, text) for text in DOCUMENTS])[:, 0], logits, atol=1e-5)
    ranked = encoder.rank(QUERY, DOCUMENTS)
    assert [item["corpus_id"] for item in ranked] == np.argsort(-logits, kind="stable").tolist()
    np.testing.assert_allclose([item["score"] for item in ranked], 1 / (1 + np.exp(np.sort(-logits))), rtol=1e-4)


@pytest.mark.parametrize("labels", [2, 3])
def test_one_of_several_labels_ranks_by_its_share_of_the_softmax(tiny, labels):
    folder = tiny("bert", labels)
    plain = torch.from_numpy(CrossEncoder(folder, activation="identity").predict(PAIRS))
    for name in ("LABEL_1", "1"):
        chosen = CrossEncoder(folder, positive_label=name)
        expected = torch.softmax(plain.double(), dim=1)[:, 1]
        np.testing.assert_allclose(chosen.predict(PAIRS), expected, atol=1e-6)
    ranked = chosen.rank(PAIRS[0][0], [document for _, document in PAIRS])
    assert len(ranked) == len(PAIRS)
    assert chosen.fingerprint() != CrossEncoder(folder).fingerprint()


@pytest.mark.parametrize(
    ("names", "label", "chosen"),
    [
        (("Contradiction", "ENTAILMENT", "neutral"), "entailment", 1),
        (("not_relevant", "relevant"), "Relevant", 1),
        (("relevant", "not_relevant"), "relevant", 0),
        (("Yes", "yes"), "yes", 1),
        (("1", "0"), "1", 0),
        (("Yes", "yes"), "YES", None),
        (("no", "yes"), "-1", None),
        (("no", "yes"), "", None),
    ],
)
def test_a_label_is_found_by_its_name_in_any_case_or_its_number(names, label, chosen):
    config = {"id2label": {str(number): name for number, name in enumerate(names)}}
    raw = np.arange(1, len(names) + 1, dtype=np.float32)[None] ** 2
    if chosen is None:
        with pytest.raises(SettingError):
            one_against_others(config, len(names), label)
        return
    others = np.delete(raw[0], chosen)
    expected = raw[0, chosen] - np.log(np.exp(others).sum())
    to_logit = one_against_others(config, len(names), label).to_logit
    assert to_logit is not None
    np.testing.assert_allclose(to_logit(raw), [[expected]], rtol=1e-6)


def test_a_label_to_rank_by_is_one_of_the_checkpoint_s(tiny):
    with pytest.raises(InputError, match=r"LABEL_0, LABEL_1, LABEL_2.*positive_label"):
        CrossEncoder(tiny("bert", 3)).rank("a", ["b"])
    with pytest.raises(SettingError, match="LABEL_9"):
        CrossEncoder(tiny("bert", 3), positive_label="LABEL_9")
    with pytest.raises(SettingError, match="positive_label"):
        CrossEncoder(tiny("bert"), positive_label="LABEL_0")


@pytest.mark.parametrize("labels", [{"id2label": {}}, {"num_labels": 0}, {"num_labels": -1}])
def test_a_configuration_without_labels_is_refused(labels):
    with pytest.raises(CheckpointError, match="num_labels"):
        head_of(CLASSIFIER | labels)
