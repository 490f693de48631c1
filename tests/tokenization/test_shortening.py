"""Texts far beyond the token limit: the same tokens as of the whole text, from a bounded part of it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plackett.checkpoints.folder import read_checkpoint
from plackett.tokenization import shortening
from plackett.tokenization.tokenizer import PairTokenizer
from plackett.tokenization.windows import LongDocuments, WindowTokenizer
from tiny import token_rows

FAMILIES = ["bert", "roberta", "xlm-roberta"]

# Runs that tokenizers treat differently: words, words beyond WordPiece's limit, white space, scripts without spaces,
# combining marks, characters that are cleaned away.
RUNS = st.sampled_from(
    [
        "sort ",
        "a",
        "words of a list\n",
        "x" * 130,
        "   \t",
        "東京都",
        "e\u0301",
        "\u200b\u0000",
        "é.",
        "🙂",
        "ﷺ",
        "1,000.5 ",
    ]
)
TEXTS = st.lists(st.tuples(RUNS, st.integers(1, 60)), min_size=1, max_size=8).map(
    lambda runs: "".join(run * times for run, times in runs)
)


@pytest.fixture(autouse=True)
def sooner(monkeypatch):
    """Cut at a few hundred characters, so that small texts are cut."""
    monkeypatch.setattr(shortening, "CHARACTERS", 2)
    monkeypatch.setattr(shortening, "NEAR", 40)
    monkeypatch.setattr(shortening, "MOST", 1 << 20)


def tokenizer_of(folder, side="right"):
    checkpoint = read_checkpoint(folder, max_length=24)
    return PairTokenizer(
        WindowTokenizer(checkpoint, LongDocuments())._tokenizer._tokenizer,
        24,
        token_types=checkpoint.inputs.token_types,
        truncation_side=side,
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=TEXTS, document=TEXTS)
def test_the_tokens_are_those_of_the_whole_text(tiny, family, side, query, document):
    tokenizer = tokenizer_of(tiny(family), side)
    for pair in [(query, document), ("short", document * 5), (query * 5, "short")]:
        cut, _ = tokenizer.encode_windows([pair], tokenizer.longest_first)
        whole, _ = tokenizer.encode_windows([pair], tokenizer.longest_first, whole=True)
        assert cut.token_ids.tolist() == whole.token_ids.tolist()
        assert cut.type_ids.tolist() == whole.type_ids.tolist()


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=TEXTS)
def test_the_characters_that_are_read_are_those_of_the_whole_text(tiny, side, document):
    tokenizer = tokenizer_of(tiny("bert"), side)
    pair = ("short", document * 4)
    assert tokenizer.spans(pair, tokenizer.longest_first) == tokenizer.spans(pair, tokenizer.longest_first, whole=True)


@pytest.mark.parametrize("policy", ["longest_first", "truncate", "error", LongDocuments("windows", aggregate="first")])
def test_only_a_part_of_a_long_document_reaches_the_tokenizer(bert, policy, monkeypatch):
    seen = []
    tokenizer = WindowTokenizer(read_checkpoint(bert), LongDocuments.of(policy))
    inner = tokenizer._tokenizer

    class Spy:
        def encode_batch_fast(self, texts):
            seen.extend(len(text[1]) for text in texts)
            return real.encode_batch_fast(texts)

    real = inner._tokenizer
    monkeypatch.setattr(inner, "_tokenizer", Spy())
    refused = []
    encoded = tokenizer.encode([("words", "sort a list of words " * 100_000)], lambda *why: refused.append(why))
    assert encoded.rows.lengths.tolist() == [96]
    assert bool(refused) == (policy == "error")
    assert max(seen) < 10_000


def test_what_gives_no_tokens_is_read_up_to_a_limit(bert, monkeypatch):
    monkeypatch.setattr(shortening, "MOST", 16)
    tokenizer = WindowTokenizer(read_checkpoint(bert), LongDocuments())
    blank, empty = (token_rows(tokenizer.encode([("words", text)])) for text in (" " * 1_000_000 + "sort", ""))
    assert blank.token_ids.tolist() == empty.token_ids.tolist()


@pytest.mark.parametrize("run", [" ", "x"])
def test_only_a_bounded_part_of_a_text_without_tokens_reaches_the_tokenizer(bert, monkeypatch, run):
    monkeypatch.undo()
    seen = []
    tokenizer = WindowTokenizer(read_checkpoint(bert), LongDocuments())._tokenizer
    real = tokenizer._tokenizer

    class Spy:
        def encode_batch_fast(self, texts):
            seen.extend(len(text[1]) for text in texts)
            return real.encode_batch_fast(texts)

    monkeypatch.setattr(tokenizer, "_tokenizer", Spy())
    tokenizer.encode([("words", run * 3_000_000)])
    assert sum(seen) <= 2 * shortening.MOST * (96 + shortening.SLACK)


def test_texts_beside_a_long_one_keep_their_places(bert):
    tokenizer = tokenizer_of(bert)
    pairs = [("a", "b"), ("words", "sort a list " * 500), ("c", "d")]
    together = tokenizer.encode(pairs)
    for index, pair in enumerate(pairs):
        alone = tokenizer.encode([pair]).token_ids
        np.testing.assert_array_equal(together.select(np.array([index])).token_ids, alone)
