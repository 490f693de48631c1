"""Token ids against transformers' own tokenizers on the same folder."""

import functools
import json
import resource
import shutil
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from plackett import CheckpointError, SettingError
from plackett.checkpoints import bundled as embedded
from plackett.checkpoints.folder import read_checkpoint
from plackett.tokenization.tokenizer import CHUNK, PairTokenizer
from tiny import FAMILIES, PAIRS, TEXTS

DEFAULT = (embedded.folder() / "tokenizer.json").read_text()


def rows(flat, encoded):
    return [row.tolist() for row in np.split(flat, encoded.cu_seqlens[1:-1])]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("max_length", [12, 96])
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_those_of_transformers(tiny, tmp_path, family, max_length, side):
    folder = Path(shutil.copytree(tiny(family), tmp_path / "m"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "truncation_side": side}))
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    queries, documents = map(list, zip(*PAIRS, strict=True))
    expected = theirs(queries, documents, truncation="longest_first", max_length=max_length)

    encoded = PairTokenizer.from_checkpoint(read_checkpoint(folder, max_length=max_length)).encode(PAIRS)

    assert rows(encoded.token_ids, encoded) == expected["input_ids"]
    assert max(encoded.lengths) == max_length
    no_types = [[0] * length for length in encoded.lengths]
    wanted = expected.get("token_type_ids", no_types) if family in {"bert", "electra"} else no_types
    assert rows(encoded.type_ids, encoded) == wanted


@functools.cache
def default_tokenizers():
    """Two that are configured anew for every example: reading one takes 50 ms."""
    return Tokenizer.from_str(DEFAULT), Tokenizer.from_str(DEFAULT)


@pytest.mark.slow
@settings(deadline=None)
@given(
    query=st.integers(0, 150),
    document=st.integers(0, 150),
    max_length=st.integers(5, 64),
    side=st.sampled_from(["left", "right"]),
)
def test_a_pair_is_cut_as_tokenizers_cuts_it(query, document, max_length, side):
    theirs, ours = default_tokenizers()
    theirs.no_padding()
    theirs.enable_truncation(max_length, strategy="longest_first", direction=side)
    words = TEXTS[0].split() * 40
    pair = " ".join(words[:query]), " ".join(words[-document:] if document else [])
    expected = theirs.encode(*pair)
    encoded = PairTokenizer(ours, max_length, token_types=True, truncation_side=side).encode([pair])
    assert encoded.token_ids.tolist() == expected.ids
    assert encoded.type_ids.tolist() == expected.type_ids


def test_a_long_query_and_long_documents_fit_into_memory(checkpoint):
    """`tokenizers` would keep each part that is cut off of the one with each of the other: 250 MB a pair."""
    pairs = [("list " * 4_000, f"{index} " + "file " * 10_000) for index in range(20)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(pairs)
    assert set(encoded.lengths) == {checkpoint.max_length}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kilobytes"


def test_chunks_do_not_show(checkpoint):
    tokenizer = PairTokenizer.from_checkpoint(checkpoint)
    pairs = [(TEXTS[i % 97], TEXTS[i % 89]) for i in range(CHUNK + 10)]
    together = tokenizer.encode(pairs)
    assert len(together) == len(pairs)
    for index in (0, CHUNK - 1, CHUNK, len(pairs) - 1):
        alone = tokenizer.encode([pairs[index]])
        assert together.select(np.array([index])).token_ids.tolist() == alone.token_ids.tolist()


def test_nothing_to_encode(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode([])
    assert len(encoded) == 0
    assert encoded.token_ids.dtype == encoded.type_ids.dtype == encoded.cu_seqlens.dtype == np.int64


def test_threads_share_one_tokenizer(checkpoint):
    tokenizer = PairTokenizer.from_checkpoint(checkpoint)
    expected = tokenizer.encode(PAIRS).token_ids.tolist()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: tokenizer.encode(PAIRS).token_ids.tolist(), range(40)))
    assert all(answer == expected for answer in answers)


def test_encoding_adds_few_calls_of_python_to_the_rust_tokenizer(checkpoint):
    """Copying ids out must stay a small part of the work: a few calls for a pair, none for a token."""
    tokenizer = PairTokenizer.from_checkpoint(checkpoint)
    whole, cut, cut_again = (
        calls_of(lambda words=words: tokenizer.encode([(TEXTS[0], " ".join(TEXTS[:words]))] * 1_000))
        for words in (2, 4, 20)
    )
    assert whole <= 20 * 1_000
    assert cut == pytest.approx(cut_again, rel=0.01)
    assert cut <= 100 * 1_000


def calls_of(function):
    """How many functions of Python and C are called."""
    calls = Counter()
    sys.setprofile(lambda frame, event, argument: calls.update([event]))
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls["call"] + calls["c_call"]


@pytest.mark.parametrize("max_length", [1, 3])
def test_a_limit_without_room_for_text(checkpoint, max_length):
    with pytest.raises(SettingError, match=f"max_length={max_length} .*3"):
        PairTokenizer.from_checkpoint(read_checkpoint(checkpoint.folder, max_length=max_length))


def test_four_tokens_leave_room_for_one(checkpoint):
    tokenizer = PairTokenizer.from_checkpoint(read_checkpoint(checkpoint.folder, max_length=4))
    assert set(tokenizer.encode(PAIRS).lengths.tolist()) <= {3, 4}


def test_a_vocabulary_that_is_not_there(bert, tmp_path):
    """transformers 5 would make a tokenizer that knows five words, and say nothing."""
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        PairTokenizer.from_checkpoint(read_checkpoint(folder))
