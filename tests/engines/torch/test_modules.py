"""Packed forward passes through transformers' modules give the logits of those modules, pair by pair."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from plackett.checkpoints.folder import read_checkpoint
from plackett.engines.base import EngineSettings
from plackett.engines.loading import load_engine
from plackett.engines.torch import engine as torch_engine
from plackett.engines.torch.engine import TorchEngine
from plackett.engines.torch.modules import FAMILIES, PackedModules, packed_family, sharing_copy
from plackett.models.classifier import load_model
from plackett.tokenization.tokenizer import PairTokenizer
from tiny import PAIRS, random_batch, unsettle

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 300,
}
GROUPS = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
RELATIVE = {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0}
LENGTHS = [3, 70, 17, 17, 40, 9, 90, 41]

# Name -> (family, settings): what each record must compute.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("albert", SIZES | {"embedding_size": 16, "type_vocab_size": 2}),
    "deberta-v3": (
        "deberta-v2",
        SIZES | RELATIVE | {"pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "norm_rel_ebd": "layer_norm"}
        | {"share_att_key": True, "max_relative_positions": -1, "max_position_embeddings": 96},
    ),
    "deberta-v2 without buckets": (
        "deberta-v2",
        SIZES | RELATIVE | {"pos_att_type": ["c2p", "p2c"], "share_att_key": False, "max_relative_positions": 24}
        | {"max_position_embeddings": 96},
    ),
    "deberta-v2, one kind": (
        "deberta-v2",
        SIZES | RELATIVE | {"pos_att_type": ["p2c"], "share_att_key": False, "type_vocab_size": 2}
        | {"position_biased_input": True, "position_buckets": 8, "max_position_embeddings": 96},
    ),
    "gte": ("gte", SIZES),
    "mpnet": ("mpnet", SIZES | {"max_position_embeddings": 96}),
    "modernbert": ("modernbert", SIZES | {"global_attn_every_n_layers": 2, "local_attention": 16}),
    "modernbert, mean": ("modernbert", SIZES | {"classifier_pooling": "mean", "local_attention": 32}),
    "gemma": ("gemma", GROUPS),
    "llama": ("llama", GROUPS | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0}}),
    "mistral": ("mistral", GROUPS | {"sliding_window": 8}),
    "qwen2": ("qwen2", GROUPS | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
    "qwen3": ("qwen3", GROUPS),
}  # fmt: skip


def classifier(family, **settings):
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.AutoConfig.for_model(family, **ids, num_labels=2, **settings)
    torch.manual_seed(len(family))
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, 0.3) if weights.dim() > 1 else None
    return unsettle(model)


def one_by_one(model, batch, *, types):
    """Each pair alone, which needs no padding and no mask."""
    rows = []
    for start, end in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False):
        inputs = {"input_ids": batch.token_ids, **({"token_type_ids": batch.type_ids} if types else {})}
        given = {name: torch.from_numpy(values[None, start:end]) for name, values in inputs.items()}
        with torch.inference_mode():
            rows.append(model(**given).logits[0])
    return torch.stack(rows)


def packed(model, batch, *, types=False, owned=False):
    own = model if owned else sharing_copy(model)
    with torch.inference_mode():
        return PackedModules(own, packed_family(model), token_types=types, pad_id=0)(batch)


@pytest.mark.parametrize("name", CASES)
def test_packed_is_one_by_one(name):
    family, settings = CASES[name]
    model = classifier(family, **settings)
    batch = random_batch(LENGTHS, seed=1)
    types = settings.get("type_vocab_size", 0) == 2
    expected = one_by_one(model, batch, types=types)
    assert expected.std() > 0.01
    torch.testing.assert_close(packed(model, batch, types=types), expected, atol=1e-4, rtol=1e-4)


def test_every_record_has_a_case():
    assert {family for family, _ in CASES.values()} == set(FAMILIES)
    for name, family in FAMILIES.items():
        names = transformers.models.auto.modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
        assert names[name] == family.classifier


def test_a_decoder_reads_the_last_token_that_is_no_padding():
    """As transformers does, also where a text spells the padding token at its end."""
    model = classifier("qwen3", **GROUPS)
    batch = random_batch([5, 9])
    batch.token_ids[[4, 12, 13]] = 0
    torch.testing.assert_close(packed(model, batch), one_by_one(model, batch, types=False), atol=1e-4, rtol=1e-4)


def test_a_copy_leaves_the_model_as_it_was():
    for family in ("modernbert", "deberta-v2", "qwen3"):
        settings = next(settings for of, settings in CASES.values() if of == family)
        model = classifier(family, **settings).train()
        batch = random_batch(LENGTHS)
        before, weights = repr(model), [weights.data_ptr() for weights in model.parameters()]
        implementation = model.config._attn_implementation
        packed(model, batch)
        assert (repr(model), model.training) == (before, True)
        assert [weights.data_ptr() for weights in model.parameters()] == weights
        assert model.config._attn_implementation == implementation
        one_by_one(model.eval(), batch, types=False)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("deberta-v2", {**RELATIVE, "conv_kernel_size": 3, "pos_att_type": ["c2p"]}),  # convolutions over neighbours
        ("deberta-v2", {"relative_attention": False}),
        ("llama", {"is_causal": False}),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),  # by the longest
        ("gpt2", {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 300}),
    ],
)
def test_what_no_record_knows_runs_padded(family, settings):
    sizes = {} if family == "gpt2" else SIZES
    assert packed_family(classifier(family, **sizes, **settings)) is None


def test_a_subclass_runs_padded():
    class Own(transformers.ModernBertForSequenceClassification):
        pass

    settings = SIZES | {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}
    assert packed_family(Own(transformers.ModernBertConfig(**settings))) is None


@pytest.mark.parametrize("family", ["modernbert", "deberta-v2"])
def test_bf16_is_loaded_once_with_its_head_in_fp32(tiny, family, monkeypatch):
    """The encoder's weights are those of fp32, rounded; the head's are exact."""
    checkpoint = read_checkpoint(tiny(family))
    exact, near = load_model(checkpoint), load_model(checkpoint, dtype=torch.bfloat16)
    for (name, weights), rounded in zip(exact.named_parameters(), near.parameters(), strict=True):
        is_head = not name.startswith(f"{exact.base_model_prefix}.")
        assert rounded.dtype == (torch.float32 if is_head else torch.bfloat16), name
        torch.testing.assert_close(rounded, weights.to(rounded.dtype), atol=0, rtol=0)

    loaded = []
    monkeypatch.setattr(torch_engine, "instructions", lambda: frozenset(["avx512_bf16"]))
    monkeypatch.setattr(torch_engine, "load_model", lambda *_, dtype: loaded.append(dtype) or near)
    engine = load_engine("torch", checkpoint, EngineSettings("cpu", precision="bf16"))
    assert loaded == [torch.bfloat16]
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    expected = TorchEngine(exact, checkpoint, dtype=torch.bfloat16).score(encoded)
    np.testing.assert_allclose(engine.score(encoded), expected, atol=1e-5)
