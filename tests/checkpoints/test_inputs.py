"""What models read of a pair: token types, padding and limits that files leave out or leave to others."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from peers import sentence_transformers
from plackett import CrossEncoder, PlackettError
from plackett.checkpoints.folder import read_checkpoint
from plackett.checkpoints.readers import misread
from small_families import PAIRS, build


def change(path, without=(), **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in without} | values))


def theirs(folder):
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
    return [float(model.predict([pair])[0]) for pair in PAIRS]


@pytest.mark.peer
@pytest.mark.parametrize("version", ["4.57.0", "5.23.0"])
def test_a_generic_tokenizer_class_gives_types_as_the_release_that_wrote_it(tmp_path, version):
    """transformers 4 gave them, 5 does not: what Plackett writes says which, and sentence-transformers follows."""
    build(tmp_path / "m", "bert")
    path = tmp_path / "m" / "tokenizer_config.json"
    change(path, without=("model_input_names",), tokenizer_class="PreTrainedTokenizerFast")
    change(tmp_path / "m" / "config.json", transformers_version=version)
    ours = CrossEncoder(tmp_path / "m")
    assert ours.checkpoint.inputs.token_types == (version == "4.57.0")
    if version == "5.23.0":
        np.testing.assert_allclose(ours.predict(PAIRS), theirs(tmp_path / "m"), atol=1e-5)

    ours.save_pretrained(tmp_path / "written")
    np.testing.assert_allclose(theirs(tmp_path / "written"), ours.predict(PAIRS), atol=1e-5)


@pytest.mark.peer
def test_a_decoder_without_a_padding_id_scores_batches_as_pairs(tmp_path):
    build(tmp_path / "m", "qwen3")
    expected = theirs(tmp_path / "m")
    change(tmp_path / "m" / "config.json", pad_token_id=None)
    ours = CrossEncoder(tmp_path / "m")
    np.testing.assert_allclose(ours.predict(PAIRS), expected, atol=1e-5)
    np.testing.assert_allclose([ours.predict([pair])[0] for pair in PAIRS], expected, atol=1e-5)


def test_a_model_that_reads_the_last_position_scores_batches_as_pairs(tmp_path):
    build(tmp_path / "m", "xlnet")
    change(tmp_path / "m" / "tokenizer_config.json", padding_side="left")
    ours = CrossEncoder(tmp_path / "m")
    alone = [ours.predict([pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(ours.predict(PAIRS), alone, atol=1e-5)


@pytest.mark.peer
def test_a_key_that_a_configuration_leaves_out_has_the_default_of_its_class(tmp_path):
    build(tmp_path / "m", "bert")
    names = ["input_ids", "token_type_ids", "attention_mask"]
    change(tmp_path / "m" / "tokenizer_config.json", model_input_names=names)
    expected = CrossEncoder(tmp_path / "m").predict(PAIRS)
    assert np.abs(expected - CrossEncoder(tmp_path / "m").predict([(b, a) for a, b in PAIRS])).max() > 1e-3
    change(tmp_path / "m" / "config.json", without=("type_vocab_size",))
    assert read_checkpoint(tmp_path / "m").inputs.token_types
    np.testing.assert_allclose(CrossEncoder(tmp_path / "m").predict(PAIRS), expected, atol=1e-6)
    np.testing.assert_allclose(theirs(tmp_path / "m"), expected, atol=1e-5)


FILES = {
    "config.json": (
        *("architectures", "model_type", "id2label", "num_labels", "pad_token_id", "type_vocab_size", "vocab_size"),
        *("max_position_embeddings", "text_config", "tokenizer_class", "sentence_transformers", "transformers_version"),
        *("hidden_size", "auto_map", "rope_parameters", "layer_types", "quantization_config"),
    ),
    "tokenizer_config.json": (
        *("model_max_length", "max_len", "model_input_names", "tokenizer_class", "padding_side", "truncation_side"),
        *("pad_token", "eos_token", "added_tokens_decoder", "extra_special_tokens", "chat_template", "do_lower_case"),
    ),
    "special_tokens_map.json": ("pad_token", "eos_token", "cls_token"),
    "sentence_bert_config.json": ("max_seq_length", "transformer_task", "modality_config", "module_output_name"),
    "config_sentence_transformers.json": ("activation_fn", "prompts", "default_prompt_name", "model_type"),
    "modules.json": ("type", "path", "kwargs"),
}
PLACES = [(file, key) for file, keys in FILES.items() for key in keys]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A chain of one module, as sentence-transformers 5.4 and later writes it."""
    folder = tmp_path_factory.mktemp("chain")
    build(folder, "bert")
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    (folder / "modules.json").write_text(json.dumps([module]))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"transformer_task": "sequence-classification"}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "CrossEncoder"}))
    (folder / "special_tokens_map.json").write_text("{}")
    return folder


@given(place=st.sampled_from(PLACES), value=VALUES, whole=st.booleans())
@example(place=("config.json", "architectures"), value=5, whole=False)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_value_at_any_key_is_read_or_refused_by_an_error_of_plackett(chain, place, value, whole):
    """`whole` puts the value in place of the file."""
    file, key = place
    before = (chain / file).read_text()
    content = json.loads(before)
    held = content[0] if isinstance(content, list) else content
    held[key] = value
    (chain / file).write_text(json.dumps(value if whole else content))
    try:
        checkpoint = read_checkpoint(chain)
        assert checkpoint.max_length >= 1
        assert checkpoint.labels >= 1
        misread(checkpoint)
    except PlackettError:
        pass
    finally:
        (chain / file).write_text(before)
