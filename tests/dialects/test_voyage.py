"""Voyage: what its clients send, and what they need."""

import pytest

from plackett.dialects import RerankRequest, recognise
from plackett.dialects.voyage import VOYAGE
from wire import ANSWER, QUERY, TEXTS


@pytest.mark.parametrize(
    ("fields", "dialect"),
    [
        ({"top_k": 2, "truncation": True}, "voyage"),
        ({"top_k": 2}, "voyage"),
        ({"truncation": False}, "voyage"),
        ({"top_k": 2, "top_n": None}, "voyage"),
        ({"top_k": 2, "top_n": 2}, "cohere"),
        ({"top_k": None}, "cohere"),
    ],
)
def test_it_is_told_by_top_k_or_truncation(fields, dialect):
    assert recognise({"query": QUERY, "documents": TEXTS, **fields}).name == dialect


def test_a_request_of_voyageai():
    body = {"query": QUERY, "documents": TEXTS, "model": "m", "top_k": 2, "truncation": False}
    assert VOYAGE.parse(body) == RerankRequest.of(QUERY, TEXTS, model="m", top_n=2, truncate=False)


def test_a_reply_has_its_items_under_both_names():
    reply = VOYAGE.reply(RerankRequest.of(QUERY, TEXTS, top_n=1), ANSWER)
    assert reply["data"] == reply["results"] == [{"index": 0, "relevance_score": 0.75}]
    assert reply["usage"]["total_tokens"] == 21


def test_a_question():
    asked = VOYAGE.ask(RerankRequest.of(QUERY, TEXTS, top_n=2))
    assert asked == {"query": QUERY, "documents": TEXTS, "top_k": 2, "truncation": True}
