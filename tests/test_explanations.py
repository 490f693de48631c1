"""Sentences cover their text; a contribution is the difference that removing the sentence by hand makes."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett import CrossEncoder, LongDocuments
from plackett.engines.base import FakeEngine
from plackett.explanations import Reading, explain_readings, sentences
from tiny import DOCUMENTS, QUERY, token_rows

DOCUMENT = (
    "The parser reads options. It sorts a list of words, e.g. names! Is the path in a file? 東京。人口は多い。End"
)
LONG = "".join(f"The file of the list number {i} is in a path. " for i in range(30))


def parts(text):
    return [text[start:end] for start, end in sentences(text)]


@given(st.text(st.sampled_from("aB é。\uff01.!?…\"')\n\t -•1)東🙂\u0301\u200d "), max_size=80) | st.text(max_size=80))
def test_sentences_cover_their_text_and_none_is_blank(text):
    found = parts(text)
    assert "".join(found) == text
    assert all(found)
    assert all(any(map(str.isalpha, part)) for part in found[:-1])
    assert not any(part[0].islower() for part in found[1:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", [" \n "]),
        ("one", ["one"]),
        ("One. Two!  Three?", ["One. ", "Two!  ", "Three?"]),
        ("It is e.g. this, i.e. one. And 3.5 more.", ["It is e.g. this, i.e. one. ", "And 3.5 more."]),
        ("He said “Stop!” Then (left.) Done", ["He said “Stop!” ", "Then (left.) ", "Done"]),
        ("list.sort() sorts in place", ["list.sort() sorts in place"]),
        ("東京は首都です。人口は多い\uff01そう", ["東京は首都です。", "人口は多い\uff01", "そう"]),
        ("「東京です。」人口", ["「東京です。」", "人口"]),
        ("यह है। शब्द।", ["यह है। ", "शब्द।"]),
        ("هل هذا؟ نعم\u06d4 لا", ["هل هذا؟ ", "نعم\u06d4 ", "لا"]),
        ("A heading\n\nA text\nover lines", ["A heading\n\n", "A text\nover lines"]),
        ("Fruit:\n- Apples\n- Pears\n1. One. 2) Two", ["Fruit:\n", "- Apples\n", "- Pears\n", "1. One. ", "2) Two"]),
        ("  \n\nIndented. Text", ["  \n\nIndented. ", "Text"]),
    ],
)
def test_where_sentences_end(text, expected):
    assert parts(text) == expected


@pytest.mark.parametrize(
    "text", [" " * 200_000, "\n" * 200_000, "." * 200_000, ". " * 100_000, "\n1" * 100_000, "A. " * 100_000]
)
@pytest.mark.timeout(60)
def test_no_text_takes_quadratic_time(text):
    assert "".join(parts(text)) == text


def test_all_variants_are_scored_in_one_call():
    calls = []

    def score(pairs):
        calls.append(pairs)
        return np.array([float(document.count("x")) for _, document in pairs], np.float32)

    readings = [Reading("q", "Axx. Bx. C.", 0, 11), Reading("q", "no Dx. Ex. no", 3, 10), Reading("r", "", 0, 0)]
    explained = explain_readings(readings, score)
    assert [[item["contribution"] for item in items] for items in explained] == [[2.0, 1.0, 0.0], [1.0, 1.0], []]
    assert [item["text"] for item in explained[1]] == ["Dx. ", "Ex."]
    assert [(item["start"], item["end"]) for item in explained[1]] == [(3, 7), (7, 10)]
    assert len(calls) == 1
    assert calls[0][:2] == [("q", "Axx. Bx. C."), ("q", "Bx. C.")]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_removing_a_sentence_by_hand_makes_the_same_difference(tiny, family):
    encoder = CrossEncoder(tiny(family))
    [item] = encoder.rank(QUERY, [DOCUMENT], explain=True, return_documents=True)
    assert [part["text"] for part in item["explanation"]] == parts(DOCUMENT)
    whole = encoder.score([(QUERY, DOCUMENT)])[0, 0]
    for part in item["explanation"]:
        assert DOCUMENT[part["start"] : part["end"]] == part["text"]
        without = DOCUMENT[: part["start"]] + DOCUMENT[part["end"] :]
        assert part["contribution"] == pytest.approx(whole - encoder.score([(QUERY, without)])[0, 0], abs=1e-5)
    assert np.ptp([part["contribution"] for part in item["explanation"]]) > 0.01
    json.dumps(item)


@pytest.mark.parametrize(
    "settings", ["longest_first", "truncate", "windows", LongDocuments("windows", "mean")], ids=str
)
def test_of_a_long_document_the_part_that_was_read_is_explained(bert, settings):
    encoder = CrossEncoder(bert, long_documents=settings)
    [item] = encoder.rank(QUERY, [LONG], explain=True, return_windows=True)
    start, end = item["window"]["start"], item["window"]["end"]
    spans = [(part["start"], part["end"]) for part in item["explanation"]]
    assert (spans[0][0], spans[-1][1]) == (start, end)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert 2 < len(spans) < 15
    whole = encoder.score([(QUERY, LONG[start:end])])[0, 0]
    for part in item["explanation"]:
        without = LONG[start : part["start"]] + LONG[part["end"] : end]
        assert part["contribution"] == pytest.approx(whole - encoder.score([(QUERY, without)])[0, 0], abs=1e-5)


def test_the_sentence_that_the_score_comes_from_stands_out(bert):
    needle = token_rows(CrossEncoder(bert).encode([("a", "dictionary")])).token_ids.tolist()[3:-1]
    engine = FakeEngine(lambda ids: 5.0 if str(needle)[1:-1] in str(ids.tolist()) else 1.0)
    document = LONG + "The dictionary is here. " + LONG
    [item] = CrossEncoder(bert, engine=engine, long_documents="windows").rank(QUERY, [document], explain=True)
    best = max(item["explanation"], key=lambda part: part["contribution"])
    assert (best["text"], best["contribution"]) == ("The dictionary is here. ", 4.0)
    assert {part["contribution"] for part in item["explanation"]} == {4.0, 0.0}


def test_the_first_five_are_explained_or_as_many_as_are_asked_for(bert):
    encoder = CrossEncoder(bert)
    explained = encoder.rank(QUERY, DOCUMENTS, explain=True)
    assert ["explanation" in item for item in explained] == [True] * 5 + [False] * (len(DOCUMENTS) - 5)
    plain = encoder.rank(QUERY, DOCUMENTS)
    assert [(item["corpus_id"], item["score"]) for item in explained] == [
        (item["corpus_id"], item["score"]) for item in plain
    ]
    assert all("explanation" in item for item in encoder.rank(QUERY, DOCUMENTS, explain=True, top_k=7))
    together = encoder.rank_many([QUERY, "words"], [DOCUMENTS, DOCUMENTS[:2]], explain=True, top_k=2)
    for ranked, query, documents in zip(together, [QUERY, "words"], [DOCUMENTS, DOCUMENTS[:2]], strict=True):
        for item, alone in zip(ranked, encoder.rank(query, documents, explain=True, top_k=2), strict=True):
            assert [part["text"] for part in item["explanation"]] == [part["text"] for part in alone["explanation"]]
            np.testing.assert_allclose(
                *([part["contribution"] for part in one["explanation"]] for one in (item, alone)), atol=1e-5
            )


def test_a_document_of_one_sentence_is_compared_with_nothing(bert):
    encoder = CrossEncoder(bert)
    [item] = encoder.rank(QUERY, ["one sentence"], explain=True)
    [part] = item["explanation"]
    with pytest.warns(UserWarning, match="blank"):
        engine_score = encoder.score_encoded(encoder.encode([(QUERY, "")]))[0, 0]
    assert part["contribution"] == pytest.approx(
        encoder.score([(QUERY, "one sentence")])[0, 0] - engine_score, abs=1e-5
    )
