"""Rerankers in other layouts score as the libraries that define the layouts do."""

import itertools
import json
import os
import pathlib
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.utils import filter_repo_objects
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from layouts import DECODER, ENCODER, PAIRS, TEMPLATE, causal, ettin, logit_score, token, tokenizer
from plackett import CrossEncoder, LongDocuments
from plackett.checkpoints import conversions
from plackett.checkpoints.hub import SETTINGS, WEIGHTS
from plackett.errors import CheckpointError, InputError, MissingExtraError, TooLargeError
from plackett.workflows.card import card

pytestmark = pytest.mark.peer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def others(folder, pairs=PAIRS, **settings):
    """Raw logits of sentence-transformers."""
    from sentence_transformers import CrossEncoder as Other

    model = Other(str(folder), device="cpu")
    return model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False, **settings)


def ours(folder, pairs=PAIRS, **settings):
    return CrossEncoder(folder, activation="identity", **settings).predict(pairs)


@pytest.mark.parametrize(("tied", "false"), [(True, "no"), (False, "no"), (True, None)])
def test_a_causal_reranker_with_its_modules(tmp_path, tied, false):
    folder = logit_score(tmp_path / "st", causal(tmp_path / "lm", tied=tied), false=false)
    expected = others(folder)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)
    np.testing.assert_allclose([ours(folder, [pair])[0] for pair in PAIRS], expected, atol=1e-4)


def test_instructions_are_the_prompts_of_sentence_transformers(tmp_path):
    base = causal(tmp_path / "lm")
    folder = logit_score(tmp_path / "st", base, prompts={"own": "Find cats"}, default_prompt_name="own")
    np.testing.assert_allclose(ours(folder), others(folder), atol=1e-4)
    expected = others(folder, prompt="Find dogs")
    assert np.abs(expected - others(folder)).max() > 1e-3
    np.testing.assert_allclose(ours(folder, instruction="Find dogs"), expected, atol=1e-4)
    model = CrossEncoder(folder, activation="identity")
    ranked = model.rank("cats", [document for _, document in PAIRS], instruction="Find dogs")
    alone = others(folder, [("cats", document) for _, document in PAIRS], prompt="Find dogs")
    np.testing.assert_allclose([item["score"] for item in ranked], np.sort(alone)[::-1], atol=1e-4)
    assert model.fingerprint() != model.instructed("Find dogs").fingerprint()


def test_weights_in_bf16_are_read_in_fp32(tmp_path):
    base = causal(tmp_path / "lm")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model.save_pretrained(base)
    folder = logit_score(tmp_path / "st", base)
    from sentence_transformers import CrossEncoder as Other

    model = Other(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = model.predict(PAIRS, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)


def classifier(folder: pathlib.Path) -> pathlib.Path:
    """A Qwen3 classifier with a chat template, as converted variants of causal rerankers are published."""
    fast = tokenizer()
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.Qwen3Config(
        vocab_size=len(fast),
        **DECODER,
        max_position_embeddings=256,
        pad_token_id=0,
    )
    config.num_labels = 1
    transformers.Qwen3ForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_classifier_with_a_chat_template(tmp_path):
    folder = classifier(tmp_path / "qwen")
    np.testing.assert_allclose(ours(folder), others(folder), atol=1e-4)


@pytest.mark.parametrize("layout", ["causal", "classifier", "ettin"])
def test_others_read_what_is_saved(tmp_path, layout):
    folder = {
        "causal": lambda: logit_score(tmp_path / "st", causal(tmp_path / "lm")),
        "classifier": lambda: classifier(tmp_path / "qwen"),
        "ettin": lambda: ettin(tmp_path),
    }[layout]()
    model = CrossEncoder(folder, activation="identity")
    model.save_pretrained(tmp_path / "mine")
    expected = others(folder)
    np.testing.assert_allclose(others(tmp_path / "mine"), expected, atol=1e-4)
    np.testing.assert_allclose(ours(tmp_path / "mine"), expected, atol=1e-4)
    assert not any(path.is_symlink() for path in (tmp_path / "mine").iterdir())
    if layout != "classifier":
        with pytest.raises(CheckpointError, match="save_pretrained"):
            card(folder)
    card(tmp_path / "mine")
    np.testing.assert_allclose(ours(tmp_path / "mine"), expected, atol=1e-4)


@pytest.mark.parametrize(("pooling", "bias"), [("cls", True), ("mean", False)])
def test_a_chain_of_modules_is_a_classifier(tmp_path, pooling, bias):
    folder = ettin(tmp_path, pooling=pooling, bias=bias)
    expected = others(folder)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("file", "change", "word"),
    [
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Hardswish"}, "Hardswish"),
        ("2_Dense/config.json", {"activation_function": "other.GELU"}, "other.GELU"),
        ("2_Dense/config.json", {"use_residual": True}, "use_residual"),
        ("4_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh"}, "Tanh"),
        ("4_Dense/config.json", {"module_input_name": "token_embeddings"}, "token_embeddings"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "mean"),
        ("config.json", {"norm_eps": 0.1}, "norm_eps"),
        ("2_Dense/model.safetensors", None, "2_Dense"),
        ("4_Dense/model.safetensors", {"linear.weight": np.ones((2, 32), np.float32)}, "2 outputs"),
        ("3_LayerNorm/model.safetensors", {"weight": np.ones(32, np.float32)}, "norm.weight"),
    ],
)
def test_a_chain_that_is_not_a_classifier(tmp_path, file, change, word):
    folder = ettin(tmp_path)
    path = folder / file
    if path.suffix == ".json":
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    else:
        path.unlink()
        save_file(change, path) if change else None
    with pytest.raises(CheckpointError) as raised:
        CrossEncoder(folder)
    assert word in str(raised.value)
    assert file.partition("/")[0] in str(raised.value)


@pytest.mark.parametrize(
    ("module", "name"), [(0, "own.Transformer"), (2, "own.Dense"), (2, "sentence_transformers.Other")]
)
def test_modules_of_other_packages_are_not_taken_for_those_of_sentence_transformers(tmp_path, module, name):
    path = ettin(tmp_path) / "modules.json"
    modules = json.loads(path.read_text())
    modules[module]["type"] = name
    path.write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=name.removeprefix("sentence_transformers.")):
        CrossEncoder(path.parent)


QWEN = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}\n'
    "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
MXBAI = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nquery: {query}\ndocument: {document}\nYou are a search relevance expert who evaluates how well "
    "documents match search queries. For each query-document pair, carefully analyze the semantic relationship between "
    "them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n"
    "<|im_start|>assistant\n"
)
BGE = (
    "<|endoftext|>A: {query}\nB: {document}\nGiven a query A and a passage B, determine whether the passage contains "
    "an answer to the query by providing a prediction of either 'Yes' or 'No'."
)


ZERANK = "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n"
CTXL = (
    "Check whether a given document contains information helpful to answer the query.\n<Document> {document}\n"
    "<Query> {query} ??"
)


@pytest.mark.parametrize(
    ("name", "prompt", "true", "false"),
    [
        ("Qwen3-Reranker-0.6B", QWEN, "yes", "no"),
        ("mxbai-rerank-base-v2", MXBAI, "1", "0"),
        ("bge-reranker-v2-gemma", BGE, "Yes", None),
        ("zerank-1-small", ZERANK, "Yes", None),
        ("ctxl-rerank-v2-instruct-multilingual-1b", CTXL, 0, None),
    ],
)
def test_plain_causal_folders_score_as_their_authors_say(tmp_path, name, prompt, true, false):
    folder = causal(tmp_path / name, template="{{ messages[0].content }}", positions=512, tied=False)
    pairs = [PAIRS[0], PAIRS[2], PAIRS[3]]
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = []
    for query, document in pairs:
        if name.startswith("zerank"):
            query, document = query.strip(), document.strip()
        text = prompt.format(instruction=SEARCH, query=query, document=document)
        ids = fast(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            last = model(input_ids=ids).logits[0, -1]
        off = 0 if false is None else last[token(folder, false)]
        score = float(last[token(folder, true) if isinstance(true, str) else true] - off)
        expected.append(score / 5 if name.startswith("zerank") else score)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(ours(folder, pairs), expected, atol=1e-4)


def test_instructions_of_a_known_reranker(tmp_path):
    folder = causal(tmp_path / "ctxl-rerank-v2-instruct-multilingual-1b", positions=512, tied=False)
    pairs = [("cats", "dogs"), ("a list", "words")]
    ending = [(f"{query} Newest first", document) for query, document in pairs]
    np.testing.assert_allclose(ours(folder, pairs, instruction="Newest first"), ours(folder, ending), atol=1e-6)


def test_code_beside_a_known_reranker_is_not_needed(tmp_path):
    folder = causal(tmp_path / "zerank-1", positions=512)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoConfig": "modeling.ZEConfig"}}))
    assert ours(folder).shape == (len(PAIRS),)


def causal_of(folder, family, **settings):
    """A small language model of any family, under LogitScore."""
    fast = tokenizer()
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder / "lm")
    sizes = {key: value for key, value in DECODER.items() if hasattr(transformers.AutoConfig.for_model(family), key)}
    ids = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 0, "vocab_size": len(fast)}
    config = transformers.AutoConfig.for_model(family, **sizes, **ids, max_position_embeddings=256, **settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, 0, 0.3)
    model.save_pretrained(folder / "lm")
    return logit_score(folder / "st", folder / "lm")


@pytest.mark.parametrize("family", ["gemma", "glm4", "llama", "mistral", "olmo2", "phi3", "qwen2"])
def test_families_of_causal_rerankers(tmp_path, family):
    folder = causal_of(tmp_path, family)
    expected = others(folder)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "settings", "word"),
    [
        ("gemma2", {}, "final_logit_softcapping"),
        ("phi", {}, "lm_head.bias"),
        (
            "minicpm3",
            {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16, "kv_lora_rank": 16, "q_lora_rank": 16},
            "logits_scaling",
        ),
    ],
)
def test_families_whose_logits_are_more_than_a_product_are_refused(tmp_path, family, settings, word):
    folder = causal_of(tmp_path, family, **settings)
    config = json.loads((folder / "config.json").read_text())
    config.pop("final_logit_softcapping", None)  # the family's default still applies
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=word):
        CrossEncoder(folder)


def test_a_causal_folder_of_no_known_reranker_is_none(tmp_path):
    with pytest.raises(CheckpointError, match="LogitScore"):
        CrossEncoder(causal(tmp_path / "lm"))


def adapter(folder, model, task, **settings):
    import peft

    torch.manual_seed(5)
    made = peft.get_peft_model(model, peft.LoraConfig(task_type=task, r=2, init_lora_weights=False, **settings))
    made.save_pretrained(folder)
    return folder


def test_an_adapter_of_a_classifier_is_merged(tiny, tmp_path):
    base = tiny("bert")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    folder = adapter(tmp_path / "lora", model, "SEQ_CLS")
    import peft

    whole = peft.AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1).merge_and_unload()
    shutil.copytree(base, tmp_path / "merged")
    whole.save_pretrained(tmp_path / "merged")
    expected = others(tmp_path / "merged")
    assert np.abs(expected - others(base)).max() > 1e-3
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)


def test_an_adapter_of_a_causal_reranker_is_merged(tmp_path):
    base = logit_score(tmp_path / "st", causal(tmp_path / "lm"))
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    folder = adapter(tmp_path / "lora", model, "CAUSAL_LM")
    import peft

    whole = peft.AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload()
    shutil.copytree(base, tmp_path / "merged")
    whole.save_pretrained(tmp_path / "merged")
    expected = others(tmp_path / "merged")
    assert np.abs(expected - others(base)).max() > 1e-3
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"bias": "all"},
        {"modules_to_save": ["pooler"]},
        {"target_modules": ["query", "word_embeddings"]},
        {"rank_pattern": {"layer.0.attention.self.query": 4}, "alpha_pattern": {"layer.1.attention.self.query": 16}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_adapters_of_every_kind_are_merged(tiny, tmp_path, settings):
    import peft

    base = tiny("bert")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    folder = adapter(tmp_path / "lora", model, "SEQ_CLS", **settings)
    beside = peft.AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
    fast = transformers.AutoTokenizer.from_pretrained(base)
    with torch.no_grad():
        expected = [float(beside(**fast(*pair, return_tensors="pt")).logits[0, 0]) for pair in PAIRS[::2]]
    np.testing.assert_allclose(ours(folder, PAIRS[::2]), expected, atol=1e-4)
    assert np.abs(np.array(expected) - ours(base, PAIRS[::2])).max() > 1e-5


def test_merging_leaves_the_base_as_it_is(tmp_path):
    base = logit_score(tmp_path / "st", causal(tmp_path / "lm"))
    (base / "generation_config.json").write_text('{"max_new_tokens": 7}')
    before = {path: path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}
    CrossEncoder(adapter(tmp_path / "lora", transformers.AutoModelForCausalLM.from_pretrained(base), "CAUSAL_LM"))
    assert {path: path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()} == before


def test_an_adapter_of_a_base_that_is_known_by_its_name(tmp_path):
    base = causal(tmp_path / "Qwen3-Reranker-0.6B", positions=512)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    folder = adapter(tmp_path / "mine", model, "CAUSAL_LM")
    import peft

    shutil.copytree(base, tmp_path / "merged" / base.name)
    peft.AutoPeftModelForCausalLM.from_pretrained(folder).merge_and_unload().save_pretrained(
        tmp_path / "merged" / base.name
    )
    expected = ours(tmp_path / "merged" / base.name)
    assert np.abs(expected - ours(base)).max() > 1e-3
    np.testing.assert_allclose(ours(folder), expected, atol=1e-4)


@pytest.fixture
def lora(tiny, tmp_path):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny("bert"))
    return adapter(tmp_path / "lora", model, "SEQ_CLS")


def wider(folder):
    """A base of another width."""
    tokenizer().save_pretrained(folder)
    config = transformers.BertConfig(vocab_size=420, **(ENCODER | {"hidden_size": 64}))
    config.num_labels = 1
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: {"base_model_name_or_path": str(folder / "nothing")}, ["nothing", "lora"]),
        (lambda folder: {"base_model_name_or_path": str(folder)}, ["save_pretrained", "base_model_name_or_path"]),
        (lambda folder: {"base_model_name_or_path": str(wider(folder / "wide"))}, ["wide", "query", "64"]),
        (lambda folder: {"task_type": None}, ["None", "SEQ_CLS"]),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), ["adapter_model.safetensors"]),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"12"), ["adapter_model.safetensors"]),
    ],
)
def test_an_adapter_that_does_not_fit(lora, change, words):
    changed = change(lora)
    path = lora / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (changed if isinstance(changed, dict) else {})))
    with pytest.raises(CheckpointError) as raised:
        CrossEncoder(lora)
    assert all(word in str(raised.value) for word in words)


def test_the_base_is_read_at_the_revision_that_the_adapter_names(lora, tiny, tmp_path):
    path = lora / "adapter_config.json"
    named = json.loads(path.read_text()) | {"base_model_name_or_path": "org/base", "revision": "v2"}
    path.write_text(json.dumps(named))
    asked = []

    def find(name, revision):
        asked.append((name, revision))
        return tiny("bert")

    conversions.plain(lora, find)
    assert asked == [("org/base", "v2")]


def test_an_adapter_needs_peft(lora, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"plackett\[lora\]"):
        CrossEncoder(lora)


def test_a_base_that_does_not_fit_into_memory_is_not_loaded(lora, monkeypatch):
    monkeypatch.setattr(conversions.adapter, "usable_memory", lambda: 1000)
    monkeypatch.setattr(transformers.AutoModelForSequenceClassification, "from_pretrained", None)
    with pytest.raises(TooLargeError) as raised:
        CrossEncoder(lora)
    assert raised.value.available == 1000 < raised.value.needed


def test_a_conversion_is_kept_and_made_again_after_a_change(tmp_path, monkeypatch, cache):
    folder = ettin(tmp_path)
    first = CrossEncoder(folder).checkpoint.folder
    assert first.is_relative_to(cache)
    assert first.name == folder.name
    monkeypatch.setattr(conversions, "_make", None)
    assert CrossEncoder(folder).checkpoint.folder == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    shutil.copyfile(
        ettin(tmp_path / "other", pooling="mean") / "1_Pooling/config.json", folder / "1_Pooling/config.json"
    )
    assert CrossEncoder(folder).checkpoint.folder != first
    assert not list(first.parent.glob(".*"))


def test_another_release_converts_again(tmp_path, monkeypatch):
    folder = ettin(tmp_path)
    first = CrossEncoder(folder).checkpoint.folder
    monkeypatch.setattr(conversions, "version", lambda _: "99")
    assert CrossEncoder(folder).checkpoint.folder != first


def test_a_conversion_is_made_once_for_all_who_wait(tmp_path):
    target, made = tmp_path / "place" / "model", []
    started, released = threading.Event(), threading.Event()

    def convert(beside):
        made.append(beside)
        started.set()
        released.wait(20)
        (beside / "config.json").write_text("{}")

    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(conversions._make, target, convert)]
        assert started.wait(20)
        tasks.append(pool.submit(conversions._make, target, convert))
        released.set()
        for task in tasks:
            task.result(20)
    assert len(made) == 1
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_what_a_killed_conversion_left_is_removed(tmp_path):
    folder = ettin(tmp_path)
    place = CrossEncoder(folder).checkpoint.folder
    place.rename(place.with_name(".killed"))
    CrossEncoder(folder)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize(
    "error", [SafetensorError("I/O error: No space left on device (os error 28)"), OSError(28, "")]
)
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, cache, error):
    folder = ettin(tmp_path)

    def save(*_):
        raise error

    monkeypatch.setattr(conversions.folders, "save_file", save)
    with pytest.raises(CheckpointError, match="XDG_CACHE_HOME"):
        CrossEncoder(folder)
    assert not [name for _, _, names in os.walk(cache) for name in names]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match="XDG_CACHE_HOME"):
        CrossEncoder(ettin(tmp_path))


@pytest.mark.parametrize(
    ("file", "change", "word"),
    [
        ("config.json", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("config.json", {"architectures": ["Qwen3Model"]}, "ForCausalLM"),
        ("1_LogitScore/config.json", {"true_token_id": None}, "true_token_id"),
        ("1_LogitScore/config.json", {"true_token_id": 10**6}, "1000000"),
        ("1_LogitScore/config.json", {"true_token_id": "yes"}, "true_token_id"),
        ("1_LogitScore/config.json", {"false_token_id": -1}, "false_token_id"),
        ("1_LogitScore/config.json", {"true_token_id": 5, "false_token_id": 5}, "false_token_id"),
        ("1_LogitScore/config.json", {"module_input_name": "other"}, "module_input_name"),
    ],
)
def test_a_causal_reranker_that_cannot_be_read(tmp_path, file, change, word):
    folder = logit_score(tmp_path / "st", causal(tmp_path / "lm"))
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=word):
        CrossEncoder(folder)
    assert not [name for _, _, names in os.walk(tmp_path / "cache") for name in names]


def test_a_known_reranker_without_its_token(tmp_path):
    folder = causal(tmp_path / "Qwen3-Reranker-0.6B")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    for vocabulary in (content["model"]["vocab"],):
        vocabulary["other"] = vocabulary.pop("yes")
    content["model"]["merges"] = [merge for merge in content["model"]["merges"] if "".join(merge) != "yes"]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="'yes'"):
        CrossEncoder(folder)


def test_an_adapter_without_its_base(tmp_path):
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora/adapter_config.json").write_text(json.dumps({"task_type": "SEQ_CLS"}))
    with pytest.raises(CheckpointError, match="base_model_name_or_path"):
        CrossEncoder(tmp_path / "lora")


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("{{ messages[0].content }}", "no document"),
        ("{{ messages[1].content }}", "no query"),
        ("{{ messages[0].content }} {{ messages[1].content }} {{ messages[1].content }}", "twice"),
        ("{{ messages[0].content | upper }} {{ messages[1].content }}", "changes|role"),
        ("{{ messages[0].content }} {{ messages[1].content | replace('a', 'b') }}", "changes|role"),
        ("", "no chat|plain|query"),
        ("{{ raise_exception('no') }}", "rendered: no"),
        ("{% if %}", "rendered"),
        ("{{ messages[0].content }} {{ messages[1].content }}<|endoftext|>", "padding"),
    ],
)
def test_a_template_that_cannot_be_used(tmp_path, template, word):
    folder = classifier(tmp_path / "qwen")
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError, match=word):
        CrossEncoder(folder)


def test_a_module_outside_of_the_folder_is_not_read(tmp_path):
    folder = ettin(tmp_path)
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    modules[2]["path"] = "../base"
    path.write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=r"\.\./base"):
        CrossEncoder(folder)


@pytest.mark.parametrize("layout", ["causal", "ettin"])
def test_a_download_fetches_what_is_read(tmp_path, layout):
    folder = logit_score(tmp_path / "st", causal(tmp_path / "lm")) if layout == "causal" else ettin(tmp_path)
    files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    fetched = [*filter_repo_objects(files, allow_patterns=[*SETTINGS, *WEIGHTS[0]])]
    for name in set(files) - set(fetched):
        (folder / name).unlink()
    np.testing.assert_allclose(ours(folder), others(folder), atol=1e-4)
    assert ("chat_template.jinja" in fetched) == (layout == "causal")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("policy", ["truncate", "windows"])
def test_only_the_document_is_cut(tmp_path, policy, side):
    folder = classifier(tmp_path / "qwen")
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"truncation_side": side}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    model = CrossEncoder(folder, max_length=110, long_documents=LongDocuments(policy), instruction="Find cats")
    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    pairs = [("a query that stays", "dogs and cats " * 90), ("cats", "x"), ("words " * 9, "lists " * 500)]
    encoded = model.encode(pairs)
    rows: Any = encoded.rows
    texts = [
        fast.decode(rows.token_ids[start:end].tolist(), skip_special_tokens=False)
        for start, end in itertools.pairwise(rows.cu_seqlens)
    ]
    owners = np.repeat(range(len(pairs)), np.diff(encoded.cu_windows))
    for owner, text in zip(owners, texts, strict=True):
        before, _, rest = text.partition("\n<Document>: ")
        document, end, after = rest.partition("<|im_end|>")
        assert before.endswith(f"<Instruct>: Find cats\n<Query>: {pairs[owner][0]}")
        assert document.split(" ", 1)[-1] in pairs[owner][1]  # the first token may begin with the template's space
        assert end + after == "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert (np.diff(rows.cu_seqlens) <= 110).all()
    assert (policy == "windows") == (len(texts) > len(pairs))
    alone = [float(model.predict([pair])[0]) for pair in pairs]
    np.testing.assert_allclose(model.predict(pairs), alone, atol=1e-6)


def test_a_limit_without_room_for_a_document_is_refused(tmp_path):
    model = CrossEncoder(classifier(tmp_path / "qwen"), max_length=20)
    with pytest.raises(InputError, match="max_length=20"):
        model.predict([("cats", "dogs")])
