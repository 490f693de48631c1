"""Hugging Face sentence similarity: what huggingface_hub sends, and what it needs."""

import pytest

from plackett.dialects import Problem, RerankRequest, recognise
from plackett.dialects.sentence_similarity import SENTENCE_SIMILARITY
from plackett.errors import RequestError
from wire import ANSWER, QUERY, TEXTS

BODY = {"inputs": {"source_sentence": QUERY, "sentences": TEXTS}}


def test_a_request():
    assert recognise(BODY) is SENTENCE_SIMILARITY
    assert SENTENCE_SIMILARITY.parse(BODY) == RerankRequest.of(QUERY, TEXTS)
    assert SENTENCE_SIMILARITY.parse(BODY | {"raw_scores": True, "parameters": {}}) == RerankRequest.of(
        QUERY, TEXTS, activation="identity", ignored=("parameters",)
    )


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        (["a"], "inputs"),
        ({}, "source_sentence"),
        ({"source_sentence": "a"}, "sentences"),
        ({"source_sentence": "a", "sentences": ["b", 1]}, "sentences[1]"),
    ],
)
def test_what_is_missing_or_wrong_is_named(inputs, field):
    with pytest.raises(RequestError) as caught:
        SENTENCE_SIMILARITY.parse({"inputs": inputs})
    assert caught.value.field == field


def test_a_reply_keeps_the_order_of_the_input():
    assert SENTENCE_SIMILARITY.reply(RerankRequest.of(QUERY, TEXTS), ANSWER) == [0.75, 0.125, 0.5]


def test_an_error_is_a_string():
    assert SENTENCE_SIMILARITY.error(Problem(422, "no")) == {"error": "no"}


def test_a_question():
    assert SENTENCE_SIMILARITY.ask(RerankRequest.of(QUERY, TEXTS)) == BODY
