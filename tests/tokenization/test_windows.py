"""Long documents: windows against an assembly by hand, scores against windows scored as pairs, what is refused."""

import json
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from plackett import CrossEncoder, InputError, LongDocuments, SettingError
from plackett.checkpoints.folder import read_checkpoint
from plackett.engines.base import FakeEngine
from plackett.records import Collection, ScoredDoc
from plackett.retrieval.reranking import Candidates
from plackett.tokenization import tokenizer as tokenization
from plackett.tokenization.batches import EncodedPairs, WindowedPairs
from plackett.tokenization.windows import AGGREGATES, POLICIES, WindowTokenizer
from tiny import DOCUMENTS, FAMILIES, PAIRS, QUERY, token_rows

LONG = "Return the words of a list, in order. The parser reads options and their defaults from a file. " * 8
LONG += "Naïve café — 東京 Привет 🙂 e\u0301 \u00a0 tabs\tand\nlines. " * 6
TYPED = {"bert", "electra"}  # families whose models read token types


def rows(windows: WindowedPairs) -> list[list[int]]:
    found = token_rows(windows)
    return [row.tolist() for row in np.split(found.token_ids, found.cu_seqlens[1:-1])]


def by_hand(tokenizer, query, document, window=slice(None)):
    """Ids and types of a pair with a part of its document, from the layout in the papers."""
    query_ids, ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (query, document))
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    middle = [end, end] if "oberta" in type(tokenizer).__name__.lower() else [end]
    first, second = [start, *query_ids, *middle], [*ids[window], end]
    return first + second, [0] * len(first) + [1] * len(second)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("family", FAMILIES)
def test_windows_are_those_assembled_by_hand(tiny, family, overlap):
    checkpoint = read_checkpoint(tiny(family), max_length=48)
    theirs = transformers.AutoTokenizer.from_pretrained(tiny(family))
    document = theirs(LONG, add_special_tokens=False)["input_ids"]
    room = 48 - (len(by_hand(theirs, QUERY, LONG)[0]) - len(document))
    starts = [0]
    while starts[-1] + room < len(document):
        starts.append(starts[-1] + room - int(overlap * room))
    expected = [by_hand(theirs, QUERY, LONG, slice(start, start + room)) for start in starts]

    encoded = WindowTokenizer(checkpoint, LongDocuments("windows", overlap=overlap)).encode([(QUERY, LONG)])

    assert rows(encoded) == [ids for ids, _ in expected]
    assert len(expected) > 8
    found = token_rows(encoded)
    types = [row.tolist() for row in np.split(found.type_ids, found.cu_seqlens[1:-1])]
    assert types == [kinds if family in TYPED else [0] * len(kinds) for _, kinds in expected]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_truncate_cuts_the_document_and_nothing_else(tiny, tmp_path, family, side):
    folder = Path(shutil.copytree(tiny(family), tmp_path / "m"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "truncation_side": side}))
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    query = "a long question about paths, files and words, with options " * 2
    pairs = [(query, document) for document in [*DOCUMENTS, LONG]]
    expected = theirs(*map(list, zip(*pairs, strict=True)), truncation="only_second", max_length=90)["input_ids"]
    tokenizer = WindowTokenizer(read_checkpoint(folder, max_length=90), LongDocuments("truncate"))
    encoded = tokenizer.encode(pairs)
    assert rows(encoded) == expected
    assert len(encoded) == len(pairs)


@given(
    length=st.integers(1, 300),
    room=st.integers(1, 60),
    overlap=st.floats(0, 1, exclude_max=True),
    how=st.sampled_from(AGGREGATES),
)
def test_windows_cover_a_document_and_overlap(length, room, overlap, how):
    windows = LongDocuments("windows", how, overlap).ranges(length, room)
    assert windows[0, 0] == 0
    assert (windows[:, 1] - windows[:, 0] <= room).all()
    if how == "first":
        assert windows.tolist() == [[0, min(room, length)]]
        return
    assert windows[-1, 1] == length
    assert (windows[:-1, 1] < length).all(), "no window is inside of the one before"
    shared = windows[:-1, 1] - windows[1:, 0]
    assert (shared == min(room - 1, int(room * overlap))).all()


@pytest.mark.slow
@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("how", AGGREGATES)
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_a_score_is_the_aggregate_of_the_windows_scored_one_by_one(tiny, family, how, labels):
    folder = tiny(family, labels)
    encoder = CrossEncoder(folder, max_length=40, long_documents=LongDocuments("windows", how))
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    room = 40 - len(by_hand(theirs, QUERY, "")[0])
    length = len(theirs(LONG, add_special_tokens=False)["input_ids"])
    logits = []
    for start in range(0, length, room - room // 4):
        ids, types = by_hand(theirs, QUERY, LONG, slice(start, start + room))
        types = types if family in TYPED else [0] * len(ids)
        logits.append(encoder._engine.score(EncodedPairs(np.array(ids), np.array(types), np.array([0, len(ids)])))[0])
        if start + room >= length:
            break
    expected = {"max": np.max, "mean": np.mean, "first": lambda rows, axis: rows[0]}[how](logits, axis=0)
    assert len(logits) > 8
    scores = encoder.score([("a", "b"), (QUERY, LONG), ("a", "b")])
    np.testing.assert_allclose(scores[1], expected, atol=1e-5)
    np.testing.assert_allclose(scores[[0, 2]], CrossEncoder(folder).score([("a", "b")] * 2), atol=1e-5)


def test_a_score_is_the_highest_of_the_texts_of_the_windows(bert):
    """With borders between words, what a window reads can be given to `predict` as a document."""
    document = "the list of a file in the path of an argument " * 30
    spans = WindowTokenizer(read_checkpoint(bert), LongDocuments("windows")).spans((QUERY, document))
    texts = [document[start:end] for start, end in spans]
    assert len(texts) > 3
    assert {word for text in texts for word in text.split()} == set(document.split()), "no border cuts a word"
    scores = CrossEncoder(bert).predict([(QUERY, text) for text in texts])
    [item] = CrossEncoder(bert, long_documents="windows").rank(QUERY, [document], return_windows=True)
    assert item["score"] == pytest.approx(scores.max(), abs=1e-6)
    assert (item["window"]["start"], item["window"]["end"]) == spans[int(scores.argmax())]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*POLICIES, *(LongDocuments("windows", how) for how in AGGREGATES)], ids=str)
def test_a_document_that_fits_has_the_same_score_whatever_the_policy(bert, settings):
    pairs = [(QUERY, document) for document in DOCUMENTS if len(document) < 200] * 40
    encoder = CrossEncoder(bert, long_documents=settings)
    np.testing.assert_array_equal(encoder.predict(pairs), CrossEncoder(bert).predict(pairs))
    ranked = encoder.rank(QUERY, [document for _, document in pairs[:6]], return_windows=True, return_documents=True)
    assert all(item["window"] == {"start": 0, "end": len(item["text"])} for item in ranked)


def test_chunks_do_not_show(checkpoint, monkeypatch):
    pairs = [(QUERY, (LONG if i % 3 else "short ") + str(i)) for i in range(40)]
    tokenizer = WindowTokenizer(checkpoint, LongDocuments("windows"))
    expected = tokenizer.encode(pairs)
    for name, size in (("CHUNK", 7), ("CHUNK_CHARACTERS", 3000)):
        monkeypatch.setattr(tokenization, name, size)
        encoded = tokenizer.encode(pairs)
        assert encoded.cu_windows.tolist() == expected.cu_windows.tolist()
        assert rows(encoded) == rows(expected)
    assert [expected.pair_of(row) for row in range(len(expected.rows))] == np.repeat(
        np.arange(40), np.diff(expected.cu_windows)
    ).tolist()


@pytest.mark.parametrize("how", AGGREGATES)
def test_nothing_to_score(bert, how):
    encoder = CrossEncoder(bert, long_documents=LongDocuments("windows", how))
    assert encoder.predict([]).shape == (0,)
    assert encoder.rank_many([], [], return_windows=True, explain=True) == []
    assert encoder.rank(QUERY, DOCUMENTS, top_k=0, return_windows=True, explain=True) == []


SCRIPTS = {
    "chinese": "東京は日本 の首都です。 人口は 約千四百万人です。 ",
    "russian": "Привет, мир! Это длинный документ про слова. ",
    "emoji": "🙂👩‍👩‍👧 words 🇯🇵 and é e\u0301 ﬁ ß. ",
    "hindi": "यह एक लंबा दस्तावेज़ है। शब्दों की सूची। ",
    "latin": "The parser reads options, and words. ",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_characters_of_a_window_hold_its_tokens(tiny, family, script):
    """Tokenised again, the characters of a window give its tokens, save those beside a border in a word."""
    document = SCRIPTS[script] * 20
    tokenizer = WindowTokenizer(read_checkpoint(tiny(family)), LongDocuments("windows", overlap=0.2))
    encoded, spans = tokenizer.encode([("words", document)]), tokenizer.spans(("words", document))
    assert len(spans) == len(encoded.rows) > 1
    assert spans[0][0] == 0
    assert document[spans[-1][1] :].strip() == ""
    for (start, end), (next_start, next_end) in pairwise(spans):
        assert start < next_start < end < next_end, "windows overlap, and go on"
    for (start, end), row in zip(spans, rows(encoded), strict=True):
        [again, *_] = rows(tokenizer.encode([("words", document[start:end])]))
        middle = row[len(row) // 2 : len(row) // 2 + 8]
        assert middle in [again[i : i + 8] for i in range(len(again))]


def test_the_window_of_the_highest_score_is_returned(bert):
    document = "words and paths " * 60 + "dictionary " + "words and paths " * 30
    needle = token_rows(CrossEncoder(bert).encode([("a", "dictionary")])).token_ids.tolist()[3:-1]
    engine = FakeEngine(lambda ids: float(str(needle)[1:-1] in str(ids.tolist())))
    encoders = [
        CrossEncoder(bert, engine=engine, long_documents=LongDocuments("windows", how), activation="identity")
        for how in ("max", "mean")
    ]
    for encoder in encoders:
        best, other = encoder.rank("a", ["words " * 300, document], return_windows=True)
        assert (best["corpus_id"], other["score"]) == (1, 0.0)
        assert best["score"] == 1 if encoder is encoders[0] else 0 < best["score"] < 1
        assert "dictionary" in document[best["window"]["start"] : best["window"]["end"]]
        assert best["window"]["end"] - best["window"]["start"] < 500
        assert other["window"]["start"] == 0, "of equal windows the first"


@pytest.mark.parametrize(
    ("policy", "side"), [("truncate", "left"), ("longest_first", "right"), ("longest_first", "left")]
)
def test_the_window_of_a_document_that_was_cut_is_what_was_read(bert, tmp_path, policy, side):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "truncation_side": side}))
    document = "a file of the path in the list of " * 40
    encoder = CrossEncoder(folder, long_documents=policy)
    [item] = encoder.rank(QUERY, [document], return_windows=True)
    read = document[item["window"]["start"] : item["window"]["end"]]
    assert document.startswith(read) if side == "right" else document.rstrip().endswith(read)
    assert encoder.score([(QUERY, read)]) == pytest.approx(encoder.score([(QUERY, document)]), abs=1e-5)


def test_error_names_the_document_its_tokens_and_the_limit(bert):
    encoder = CrossEncoder(bert, long_documents="error")
    encoder.rank(QUERY, ["short"] * 3)
    tokens = len(transformers.AutoTokenizer.from_pretrained(bert)(QUERY, add_special_tokens=False)["input_ids"])
    message = rf"document 2: the document has more than {96 - 3 - tokens} tokens, .* max_length=96"
    with pytest.raises(InputError, match=message):
        encoder.rank(QUERY, ["short", "short", LONG])
    with pytest.raises(InputError, match="document 0 of query 1"):
        encoder.rank_many([QUERY, QUERY], [["short", "short"], [LONG]])
    with pytest.raises(InputError, match="pair 1"):
        encoder.predict([(QUERY, "short"), (QUERY, LONG)])
    with pytest.raises(InputError, match="pair 1"):
        encoder.encode([(QUERY, "short"), (QUERY, LONG)])


@pytest.mark.parametrize("policy", ["truncate", "windows"])
def test_a_query_that_leaves_no_room_is_refused(bert, policy):
    encoder = CrossEncoder(bert, long_documents=policy)
    with pytest.raises(InputError, match=r"pair 1.*max_length=96"):
        encoder.predict([(QUERY, "short"), ("words " * 200, "short")])
    if policy == "truncate":
        assert encoder.encode([("list " * 92, LONG)]).rows.lengths.tolist() == [96]
        return
    assert encoder.encode([("list " * 70, LONG)]).rows.lengths[0] == 96
    with pytest.raises(InputError, match=r"pair 0.* 71 .* 22 "):
        encoder.encode([("list " * 71, LONG)])  # windows need a quarter of the 93 tokens of text


def test_a_query_may_be_long_where_the_pair_fits(bert):
    pair = ("list " * 90, "list")
    expected = CrossEncoder(bert).predict([pair])
    for policy in POLICIES:
        np.testing.assert_array_equal(CrossEncoder(bert, long_documents=policy).predict([pair]), expected)


@pytest.mark.filterwarnings("ignore:1 of 1 document is blank")
def test_documents_without_tokens(bert):
    for policy in POLICIES:
        encoder = CrossEncoder(bert, long_documents=policy)
        [item] = encoder.rank(QUERY, ["\u200b\u200d"], return_windows=True, explain=True)
        assert item["window"] == {"start": 0, "end": 2}
    cut = CrossEncoder(bert, max_length=4).rank("sort", ["words " * 9], return_windows=True, explain=True)
    assert cut[0]["window"]["end"] <= len("words")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "window"}, "unknown long_documents 'window'; did you mean 'windows'?"),
        ({"policy": None}, "policy is None"),
        ({"aggregate": "sum"}, "unknown aggregate 'sum'; known: first, max, mean"),
        ({"overlap": 1.0}, "overlap=1.0 must be a share of a window"),
        ({"overlap": -0.1}, "overlap=-0.1"),
        ({"overlap": float("nan")}, "overlap is nan"),
        ({"overlap": "a"}, "overlap is 'a'"),
        ({"overlap": True}, "overlap is True"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(SettingError, match=message.replace("?", r"\?")):
        LongDocuments(**settings)


def test_an_unknown_policy_is_told_before_anything_is_read():
    with pytest.raises(SettingError, match="long_documents 'chunks'"):
        CrossEncoder("/no/such/folder", long_documents="chunks")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_megabyte_in_windows(bert):
    """Every token is read; memory grows by what the tokenizer and the windows need."""
    encoder = CrossEncoder(bert, engine=FakeEngine(lambda ids: float(ids[-2] % 7)), long_documents="windows")
    document = "words and paths " * 65_536
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [item] = encoder.rank(QUERY, [document], return_windows=True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kilobytes"
    assert item["window"]["end"] <= len(document)
    encoded = encoder.encode([(QUERY, document), (QUERY, "short")])
    assert np.diff(encoded.cu_windows).tolist()[1] == 1
    assert encoded.rows.lengths[:-2].tolist() == [96] * (len(encoded.rows) - 2)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_a_document_beyond_what_windows_read_is_refused_and_the_others_are_scored(bert, monkeypatch, how):
    """Nor is it tokenised to the end, where its error is returned."""
    monkeypatch.setattr(tokenization, "MOST_CHARACTERS", 10_000)
    encoder = CrossEncoder(bert, long_documents=LongDocuments("windows", how))
    documents = [LONG, "words " * 20_000, LONG[:50]]
    with pytest.raises(InputError, match=r"document 1.*120,000"):
        encoder.rank(QUERY, documents)
    found = encoder.predict([(QUERY, document) for document in documents], errors="return")
    assert list(found.errors) == [1]
    assert np.isnan(found.scores).tolist() == [False, True, False]
    assert len(encoder._tokenizer.encode([(QUERY, documents[1])], lambda *_: None).rows) < 200
    assert np.isfinite(encoder.predict([(QUERY, LONG)])).all()


def test_threads_share_one_encoder(bert):
    encoder = CrossEncoder(bert, long_documents="windows")
    parts = [[*PAIRS[:8], (QUERY, LONG)][i % 5 :] for i in range(8)]
    alone = [encoder.score(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for together, expected in zip(pool.map(encoder.score, parts), alone, strict=True):
                np.testing.assert_array_equal(together, expected)


def test_a_run_is_reranked_by_windows(bert):
    collection = Collection(
        "c", {"q": QUERY}, {"a": LONG, "b": "short", "c": " "}, (), [ScoredDoc("q", key, 1.0) for key in "abc"]
    )
    encoder = CrossEncoder(bert, long_documents=LongDocuments("windows", aggregate="mean"))
    scores = {scored.doc_id: scored.score for scored in Candidates.of(encoder, collection, 3).rerank(encoder)}
    expected = encoder.score([(QUERY, LONG), (QUERY, "short")])[:, 0]
    np.testing.assert_allclose([scores["a"], scores["b"]], expected, atol=1e-6)
    assert abs(scores["a"] - CrossEncoder(bert).score([(QUERY, LONG)])[0, 0]) > 1e-3, "the end of the document counts"
    assert encoder.fingerprint() != CrossEncoder(bert).fingerprint()
