"""Folders with random changes to their settings: the scores of sentence-transformers, or an error of Plackett's own."""

import json
import random
import shutil

import numpy as np
import pytest

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder
from tiny import FAMILIES, PAIRS

CONFIG, TOKENIZER, MODULE = "config.json", "tokenizer_config.json", "sentence_bert_config.json"
SENTENCE_TRANSFORMERS, NAMED, VOCABULARY = (
    "config_sentence_transformers.json",
    "special_tokens_map.json",
    "tokenizer.json",
)
ABSENT = object()
ACTIVATIONS = [f"torch.nn.modules.{name}" for name in ("linear.Identity", "activation.Tanh", "activation.ReLU")]
TEXTS = [*PAIRS[:5], *PAIRS[7:], ("egg", "how many [SEP] eggs <s> [PAD] </s> lay")]
LOGITS = {"text": {"method": "forward", "method_output_name": "logits"}}

CHANGES = {
    CONFIG: {
        "architectures": [[], None, ["BertModel"], ["LlamaForCausalLM"]],
        "attn_implementation": ["eager", "sdpa"],
        "classifier_pooling": ["mean", "cls"],
        "hidden_act": ["relu", "gelu_new", ABSENT],
        "id2label": [{"0": "a"}, {"0": "no", "1": "yes"}, ABSENT],
        "layer_types": [["full_attention"] * 2, ABSENT],
        "max_position_embeddings": [32, ABSENT],
        "num_labels": [1, 2, ABSENT],
        "pad_token_id": [None, 0, 2, 5, ABSENT],
        "problem_type": ["regression", "multi_label_classification"],
        "sbert_ce_default_activation_function": ACTIVATIONS,
        "sentence_transformers": [{"activation_fn": ACTIVATIONS[1]}, {"version": "4.0.0"}],
        "text_config": [{"hidden_size": 16}, {}],
        "tokenizer_class": ["BertTokenizer", "PreTrainedTokenizerFast"],
        "torch_dtype": ["float32"],
        "transformers_version": ["4.30.0", "5.0.0", ABSENT],
        "type_vocab_size": [1, 2, ABSENT],
    },
    TOKENIZER: {
        "add_prefix_space": [True, False],
        "add_special_tokens": [True, False],
        "additional_special_tokens": [["the"], ["<new>"]],
        "cls_token": ["the", ABSENT],
        "do_lower_case": [True, False, ABSENT],
        "max_len": [16],
        "model_input_names": [["input_ids", "attention_mask"], ["input_ids", "token_type_ids"], ABSENT],
        "model_max_length": [12, 20.0, 1e30, 400, None, ABSENT],
        "pad_token": ["[UNK]", None, ABSENT],
        "padding_side": ["left", "right"],
        "sep_token": ["the", ABSENT],
        "split_special_tokens": [True],
        "strip_accents": [True, False, None],
        "tokenize_chinese_chars": [False],
        "tokenizer_class": ["BertTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend", ABSENT],
        "truncation_side": ["left", "right"],
    },
    NAMED: {"sep_token": ["the"], "cls_token": ["<s>"], "additional_special_tokens": [["<zzz>"]]},
    SENTENCE_TRANSFORMERS: {
        "activation_fn": ACTIVATIONS,
        "default_prompt_name": ["query", None],
        "model_type": ["CrossEncoder", "SentenceTransformer"],
        "prompts": [{"query": "Find: ", "document": "doc: "}, {}],
    },
    MODULE: {
        "do_lower_case": [True, False],
        "max_seq_length": [12, 30, None],
        "modality_config": [LOGITS],
        "module_output_name": ["scores", "sentence_embedding"],
        "processing_kwargs": [{"text": {"max_length": 8}}, {"chat_template": {"x": 1}}],
        "transformer_task": ["sequence-classification", "feature-extraction"],
    },
    VOCABULARY: {
        "added_tokens": [[]],
        "normalizer": [{"type": "Lowercase"}, None],
        "post_processor": [None],
        "pre_tokenizer": [{"type": "Whitespace"}],
    },
}
REBUILT = {"bert", "distilbert", "electra"}
"""Families whose tokenizer.json is compared with what transformers builds: others are left to `plackett verify`."""


def changed(folder, seed):
    """Change a few settings at random; what was changed."""
    rng = random.Random(seed)
    done = []
    for _ in range(rng.choice([1, 2, 3])):
        file = rng.choice([name for name in CHANGES if name != VOCABULARY or folder.name in REBUILT])
        key = rng.choice([*CHANGES[file]])
        value = rng.choice(CHANGES[file][key])
        path = folder / file
        content = json.loads(path.read_text()) if path.is_file() else {}
        content.pop(key, None)
        path.write_text(json.dumps(content if value is ABSENT else content | {key: value}))
        done.append((file, key, value))
    if rng.random() < 0.4:
        module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
        (folder / "modules.json").write_text(json.dumps([module]))
    return done


def by_others(folder):
    """Scores of sentence-transformers pair by pair; None where it fails."""
    try:
        theirs = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
        return np.array([theirs.predict([pair])[0] for pair in TEXTS])
    except Exception:
        return None


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("family", FAMILIES)
def test_changed_settings_give_the_scores_of_sentence_transformers_or_one_error(tiny, tmp_path, family):
    compared = 0
    for seed in range(10):
        folder = shutil.copytree(tiny(family, 1 + seed % 2), tmp_path / str(seed) / family)
        done = changed(folder, f"{family}{seed}")
        try:
            found = CrossEncoder(folder).predict(TEXTS)
        except CheckpointError:
            continue
        expected = by_others(folder)
        if expected is not None:
            np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=f"{seed}: {done}")
            compared += 1
    assert compared
