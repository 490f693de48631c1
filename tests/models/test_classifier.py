"""The torch module: loaded whole or refused, new heads on old encoders."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from plackett import CheckpointError, SettingError
from plackett.checkpoints.folder import read_base, read_checkpoint
from plackett.models.classifier import load_model, new_model, padded_inputs
from plackett.models.first_token import first_token_only
from plackett.tokenization.tokenizer import PairTokenizer
from tiny import FAMILIES, PAIRS


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_are_those_of_the_file(tiny, family):
    model = load_model(read_checkpoint(tiny(family)))
    stored = load_file(tiny(family) / "model.safetensors")
    state = model.state_dict()
    assert set(stored) <= set(state)
    assert all(torch.equal(state[name], weights) for name, weights in stored.items())
    assert not model.training


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_half_precision_on_disk_is_fp32_in_memory(tiny, tmp_path, family):
    folder = Path(shutil.copytree(tiny(family), tmp_path / "m"))
    stored = load_file(folder / "model.safetensors")
    save_file(
        {name: weights.half() for name, weights in stored.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    model = load_model(read_checkpoint(folder))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_missing_weights_are_never_random_numbers(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    stored = load_file(folder / "model.safetensors")
    headless = {name: weights for name, weights in stored.items() if "classifier" not in name}
    save_file(headless, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"classifier\.bias, classifier\.weight"):
        load_model(read_checkpoint(folder))


def test_code_in_a_checkpoint_is_not_run(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    config = json.loads((folder / "config.json").read_text())
    remote = {"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": remote}))
    with pytest.raises(CheckpointError, match="trust_remote_code"):
        load_model(read_checkpoint(folder))


def test_padded_inputs_are_what_transformers_makes(tiny):
    for family in ("bert", "roberta"):
        checkpoint = read_checkpoint(tiny(family))
        inputs = padded_inputs(PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS), checkpoint)
        queries, documents = map(list, zip(*PAIRS, strict=True))
        tokenizer = transformers.AutoTokenizer.from_pretrained(tiny(family))
        expected = tokenizer(queries, documents, padding=True, truncation=True, return_tensors="pt")
        assert set(inputs) == set(expected)
        for name, tensor in inputs.items():
            assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_model_has_the_old_encoder_and_one_logit(tiny, family):
    base = read_base(tiny(family, 3))
    model = new_model(base, layers=None, dropout=None, seed=1)
    assert model.config.num_labels == 1
    stored = load_file(tiny(family, 3) / "model.safetensors")
    state = model.state_dict()
    same = [name for name, weights in stored.items() if state[name].shape == weights.shape]
    encoder = [name for name in stored if name.startswith(model.base_model_prefix)]
    assert encoder
    assert set(encoder) <= set(same)
    assert all(torch.equal(state[name], stored[name]) for name in encoder)


def test_a_new_head_is_drawn_from_the_seed(tiny):
    base = read_base(tiny("bert", 3))
    heads = [new_model(base, layers=1, dropout=0.0, seed=seed).classifier.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_and_dropout_replace_those_of_the_base(tiny, family):
    base = read_base(tiny(family))
    kept = new_model(base, layers=1, dropout=0.0, seed=0)
    whole = new_model(base, layers=None, dropout=0.25, seed=0)

    def layer_tensors(model):
        return sum(bool(re.search(r"layers?\.\d", name)) for name in model.state_dict())

    def rates(model):
        drops = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        return drops | {module.attention_dropout for module in model.modules() if hasattr(module, "attention_dropout")}

    assert layer_tensors(whole) in {2 * layer_tensors(kept), 2 * layer_tensors(kept) + 1}  # ModernBERT: one norm more
    assert rates(kept) == {0.0}
    assert rates(whole) == {0.25}


@pytest.mark.parametrize("layers", [0, -1, 3])
def test_layers_that_the_base_does_not_have(tiny, layers):
    with pytest.raises(SettingError, match=f"layers={layers} .*1.*2"):
        new_model(read_base(tiny("bert")), layers=layers, dropout=None, seed=0)


def test_an_encoder_is_never_random_numbers(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    stored = load_file(folder / "model.safetensors")
    headless = {name: weights for name, weights in stored.items() if "layer.1" not in name}
    save_file(headless, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"bert\.encoder\.layer\.1"):
        new_model(read_base(folder), layers=None, dropout=None, seed=0)
    assert new_model(read_base(folder), layers=1, dropout=None, seed=0)


def test_a_base_may_lack_its_pooler_and_its_prefix(bert, tmp_path):
    """As encoders are saved that were trained for something else."""
    folder = tmp_path / "m"
    encoder = transformers.BertModel.from_pretrained(bert, add_pooling_layer=False)
    encoder.save_pretrained(folder)
    shutil.copy(bert / "tokenizer.json", folder)
    model = new_model(read_base(folder), layers=None, dropout=None, seed=0)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, encoder.embeddings.word_embeddings.weight)


def test_a_base_that_transformers_does_not_know(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        new_model(read_base(folder), layers=None, dropout=None, seed=0)


@pytest.mark.parametrize("load", [load_model, lambda base: new_model(base, layers=None, dropout=None, seed=0)])
def test_weights_of_another_shape_than_the_configuration_are_named(bert, tmp_path, load):
    """With the name and both shapes; a new head may differ, an encoder is never random numbers."""
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    rows, hidden = load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"].shape
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows + 3}))
    with pytest.raises(CheckpointError, match="word_embeddings") as caught:
        load(read_checkpoint(folder))
    assert f"({rows}, {hidden})" in str(caught.value)
    assert f"({rows + 3}, {hidden})" in str(caught.value)
    assert "report" not in str(caught.value)


def test_loading_is_quiet_and_leaves_the_logging_as_it_was(bert, capfd):
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    load_model(read_checkpoint(bert))
    new_model(read_base(bert), layers=1, dropout=None, seed=0)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled() == bars
    transformers_logging.disable_progress_bar()
    try:
        load_model(read_checkpoint(bert))
        assert not transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.enable_progress_bar()


@pytest.mark.slow
def test_the_same_text_gives_the_same_logit_whatever_is_padded_beside_it(tiny):
    for family in FAMILIES:
        checkpoint = read_checkpoint(tiny(family))
        model, tokenizer = load_model(checkpoint), PairTokenizer.from_checkpoint(checkpoint)
        encoded = tokenizer.encode(PAIRS)
        with torch.inference_mode():
            together = model(**padded_inputs(encoded, checkpoint)).logits
            alone = [
                model(**padded_inputs(encoded.select(np.array([i])), checkpoint)).logits for i in range(len(PAIRS))
            ]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layer_for_the_first_token_only_is_exact(tiny, family, attention):
    base = read_base(tiny(family, 3))
    inputs = padded_inputs(PairTokenizer.from_checkpoint(base).encode(PAIRS), base)
    whole, cheaper = (new_model(base, layers=None, dropout=0.0, seed=0) for _ in range(2))
    for model in (whole, cheaper):
        model.set_attn_implementation(attention if model.config.model_type != "deberta-v2" else "eager")
    first_token_only(cheaper)
    logits = [model.train()(**inputs).logits for model in (whole, cheaper)]
    torch.testing.assert_close(*logits, atol=1e-6, rtol=1e-5)
    for each in logits:
        each.square().sum().backward()
    gradients = [{name: weight.grad for name, weight in model.named_parameters()} for model in (whole, cheaper)]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_the_first_token_alone_goes_through_the_last_layer(bert):
    model = new_model(read_base(bert), layers=None, dropout=0.5, seed=0).train()
    first_token_only(model)
    inputs = {"input_ids": torch.tensor([[1, 5, 6, 7], [1, 8, 9, 4]])}
    assert model.base_model(**inputs).last_hidden_state.shape[:2] == (2, 1)
    torch.manual_seed(1)
    first = model(**inputs).logits
    assert not torch.equal(first, model(**inputs).logits)  # dropout is at work
    torch.manual_seed(1)
    assert torch.equal(first, model(**inputs).logits)
