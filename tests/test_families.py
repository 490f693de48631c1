"""The table of families beside transformers' own classes, and what reads it."""

import inspect

import pytest
import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from plackett.engines.torch.packed import ACTIVATIONS
from plackett.engines.torch.weights import LAYOUTS
from plackett.families import FAMILIES, UNKNOWN, family_of
from tiny import FAMILIES as TINY

MAPPED = sorted(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
BYTES = {"canine", "perceiver"}


def test_a_family_that_is_not_known_has_no_defaults():
    assert family_of("") == family_of("my-bert") == UNKNOWN
    assert (UNKNOWN.positions, UNKNOWN.vocabulary, UNKNOWN.pad_id, UNKNOWN.types) == (None,) * 4


def test_every_sequence_classifier_of_transformers_is_in_the_table():
    assert sorted(FAMILIES) == MAPPED


@pytest.mark.parametrize("name", MAPPED)
def test_defaults_are_those_of_the_configuration_class(name):
    family = family_of(name)
    config = CONFIG_MAPPING[name]().get_text_config()
    reads = inspect.signature(getattr(transformers, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES[name]).forward)
    assert family.takes_types == ("token_type_ids" in reads.parameters)
    if family.takes_types:
        assert family.types == getattr(config, "type_vocab_size", None)

    positions = getattr(config, family.positions_key, None)
    assert family.positions == (positions if positions is not None and positions > 0 else None)
    if name not in BYTES:
        assert family.vocabulary == getattr(config, "vocab_size", None)
    assert family.pad_id == getattr(config, "pad_token_id", None)
    alias = config.attribute_map.get("max_position_embeddings", "max_position_embeddings")
    assert family.positions_key == ("max_seq_len" if name == "mpt" else alias)


@pytest.mark.parametrize("name", MAPPED)
def test_token_types_are_given_as_by_the_tokenizer_class(name):
    registered = TOKENIZER_MAPPING_NAMES.get(name)
    try:
        tokenizer = tokenizer_class_from_name(registered) if registered else None
        gives = tokenizer is not None and "token_type_ids" in tokenizer.model_input_names
    except ImportError:
        pytest.skip(f"{registered} needs a library that is not installed")
    assert family_of(name).gives_types == (gives and family_of(name).takes_types)


def test_every_layout_is_of_a_family_whose_head_is_known():
    assert {FAMILIES[name].activation for name in LAYOUTS} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", [name for name in sorted(TINY) if family_of(name).first_token_head])
def test_heads_that_read_the_first_token_only(name, tiny):
    """The gradient of the logit by what the last layer gives is zero but at the first token."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny(name))
    hidden = []
    model.base_model.register_forward_hook(lambda _, __, output: hidden.append(output[0]))
    ids = torch.randint(5, 50, (1, 7))
    logits = model(input_ids=ids).logits
    [gradient] = torch.autograd.grad(logits.sum(), hidden[0])
    assert gradient[0, 0].abs().sum() > 0
    assert gradient[0, 1:].abs().sum() == 0
