"""What transformers builds anew of a tokenizer, and tokens that only the settings name."""

import json
import shutil

import numpy as np
import pytest
from transformers import AutoTokenizer

from plackett import CheckpointError
from plackett.checkpoints.folder import read_checkpoint
from plackett.tokenization.tokenizer import PairTokenizer

PAIR = ("How to Sort, naïvely?", "A [SEP] list sorts 東京 words")


def change(path, without=(), **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in (content | values).items() if key not in without}))


def swapped(post_processor):
    return post_processor | {"pair": post_processor["pair"][::-1]}


@pytest.fixture
def folder(bert, tmp_path):
    return shutil.copytree(bert, tmp_path / "m")


NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
OTHERS = {
    "cased": {"normalizer": NORMALIZER | {"lowercase": False}},
    "accents": {"normalizer": NORMALIZER | {"lowercase": True, "strip_accents": False}},
    "control characters": {"normalizer": NORMALIZER | {"lowercase": True, "clean_text": False}},
    "lower only": {"normalizer": {"type": "Lowercase"}},
    "no normaliser": {"normalizer": None},
    "white space": {"pre_tokenizer": {"type": "WhitespaceSplit"}},
    "no template": {"post_processor": None},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", ["BertTokenizerFast", None])
def test_steps_that_the_class_builds_otherwise_are_refused(folder, name, kind):
    change(folder / "tokenizer.json", **OTHERS[name])
    keys = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "tokenizer_class")
    change(folder / "tokenizer_config.json", without=keys)
    if kind:
        change(folder / "tokenizer_config.json", tokenizer_class=kind)
    ids = AutoTokenizer.from_pretrained(folder)(*PAIR)["input_ids"]
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        PairTokenizer.from_checkpoint(read_checkpoint(folder))

    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = PairTokenizer.from_checkpoint(read_checkpoint(folder))
    right = AutoTokenizer.from_pretrained(folder)(*PAIR)["input_ids"]
    assert right != ids or name in {"control characters"}
    np.testing.assert_array_equal(tokenizer.encode([PAIR]).token_ids, right)


def test_the_same_steps_in_other_words_are_the_same(folder):
    change(folder / "tokenizer.json", normalizer=NORMALIZER | {"lowercase": True, "strip_accents": True})
    change(folder / "tokenizer_config.json", without=("strip_accents",), do_lower_case=True)
    expected = AutoTokenizer.from_pretrained(folder)(*PAIR)["input_ids"]
    found = PairTokenizer.from_checkpoint(read_checkpoint(folder)).encode([PAIR])
    np.testing.assert_array_equal(found.token_ids, expected)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "modernbert"])
def test_tokens_that_only_the_settings_name_are_kept_whole(tiny, tmp_path, family):
    folder = shutil.copytree(tiny(family), tmp_path / "m")
    change(folder / "tokenizer.json", added_tokens=[])
    pair = ("how many [SEP] </s> eggs", "the <s>[CLS] [PAD] list")
    expected = AutoTokenizer.from_pretrained(folder)(*pair)["input_ids"]
    found = PairTokenizer.from_checkpoint(read_checkpoint(folder)).encode([pair])
    np.testing.assert_array_equal(found.token_ids, expected)


def test_special_tokens_of_an_older_file_come_first(folder):
    (folder / "special_tokens_map.json").write_text('{"sep_token": "the"}')
    change(folder / "tokenizer_config.json", without=("added_tokens_decoder",), tokenizer_class="BertTokenizer")
    with pytest.raises(CheckpointError, match="the"):
        PairTokenizer.from_checkpoint(read_checkpoint(folder))


@pytest.mark.parametrize(("key", "token"), [("sep_token", "[UNK]"), ("cls_token", {"content": "[SEP]"})])
def test_another_end_than_the_settings_name_is_refused(tiny, tmp_path, key, token):
    folder = shutil.copytree(tiny("deberta-v2"), tmp_path / "m")
    change(folder / "tokenizer_config.json", **{key: token})
    with pytest.raises(CheckpointError, match=key):
        PairTokenizer.from_checkpoint(read_checkpoint(folder))


def test_a_document_before_its_query_is_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny("modernbert"), tmp_path / "m")
    content = json.loads((folder / "tokenizer.json").read_text())
    change(folder / "tokenizer.json", post_processor=swapped(content["post_processor"]))
    with pytest.raises(CheckpointError, match="post_processor"):
        PairTokenizer.from_checkpoint(read_checkpoint(folder))
