"""Pairs that are put together are those of the pair tokenizer, which is tested against transformers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from plackett.checkpoints import bundled
from plackett.checkpoints.folder import read_checkpoint
from plackett.tokenization.shared_query import SharedQueryTokenizer
from plackett.tokenization.shortening import CHARACTERS, SLACK
from plackett.tokenization.tokenizer import PairTokenizer, read_tokenizer
from tiny import DOCUMENTS, FAMILIES, PAIRS

LONG = "a very long question about paths and files " * 20
DEFAULT = (bundled.folder() / "tokenizer.json").read_text()


def assert_same(found, expected):
    for name in ("token_ids", "type_ids", "cu_seqlens"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("max_length", [12, 13, 96])
@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_are_those_of_the_pair_tokenizer(tiny, family, max_length, side):
    checkpoint = read_checkpoint(tiny(family))
    tokenizer, types = read_tokenizer(checkpoint), checkpoint.inputs.token_types
    whole = PairTokenizer(tokenizer, max_length, token_types=types, truncation_side=side)
    shared = SharedQueryTokenizer(tokenizer, token_types=types)
    for query in ("sort", LONG, PAIRS[-1][0], ""):
        documents = [*DOCUMENTS, "", LONG]
        assert shared.takes(query, documents, max_length)
        expected = whole.encode([(query, document) for document in documents])
        assert_same(shared.encode(query, documents, max_length, side), expected)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=30), st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(4, 40))
def test_any_texts(query, documents, max_length):
    tokenizer = Tokenizer.from_str(DEFAULT)
    whole = PairTokenizer(tokenizer, max_length, token_types=True)
    shared = SharedQueryTokenizer(tokenizer, token_types=True)
    expected = whole.encode([(query, document) for document in documents])
    assert_same(shared.encode(query, documents, max_length, "right"), expected)


def plain():
    tokenizer = Tokenizer.from_str(DEFAULT)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Counting:
    """A tokenizer that keeps the single texts that it tokenises."""

    def __init__(self, tokenizer):
        self.tokenizer, self.texts = tokenizer, []

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def encode(self, text, *pair, **options):
        self.texts.append(text)
        return self.tokenizer.encode(text, *pair, **options)


def test_the_query_is_tokenised_once():
    counting = Counting(plain())
    shared = SharedQueryTokenizer(counting, token_types=True)
    counting.texts.clear()
    for _ in range(3):
        shared.encode("one query", ["a", "b"], 20, "right")
    assert counting.texts == ["one query"]


def test_long_texts_are_left_to_the_pair_tokenizer():
    shared = SharedQueryTokenizer(plain(), token_types=True)
    most = (64 + SLACK) * CHARACTERS
    assert shared.takes("a" * most, ["a" * most], 64)
    assert not shared.takes("a" * (most + 1), ["a"], 64)
    assert not shared.takes("a", ["a", "a" * (most + 1)], 64)


def test_a_template_that_swaps_the_texts_is_not_used():
    tokenizer = plain()
    special = [("[CLS]", 101), ("[SEP]", 102)]
    swapped = processors.TemplateProcessing(single="[CLS] $A", pair="[CLS] $B [SEP] $A", special_tokens=special)
    tokenizer.post_processor = swapped
    assert not SharedQueryTokenizer(tokenizer, token_types=True).takes("a", ["b"], 64)
