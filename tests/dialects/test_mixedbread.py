"""Mixedbread: what its clients send, and what they need."""

from plackett.dialects import RerankRequest, recognise
from plackett.dialects.mixedbread import MIXEDBREAD
from wire import ANSWER, QUERY, TEXTS, USAGE


def test_a_request():
    body = {"query": QUERY, "input": TEXTS, "model": "m", "top_k": 2, "return_input": True, "rank_fields": None}
    assert recognise(body) is MIXEDBREAD
    assert MIXEDBREAD.parse(body) == RerankRequest.of(QUERY, TEXTS, model="m", top_n=2, return_documents=True)


def test_a_reply():
    reply = MIXEDBREAD.reply(RerankRequest.of(QUERY, TEXTS, top_n=1, return_documents=True), ANSWER)
    assert reply == {
        "id": "a1",
        "object": "list",
        "created": 5,
        "model": "tiny",
        "data": [{"index": 0, "score": 0.75, "input": "fish and mice"}],
        "usage": USAGE,
    }


def test_a_question():
    assert MIXEDBREAD.ask(RerankRequest.of(QUERY, TEXTS, top_n=2)) == {"query": QUERY, "input": TEXTS, "top_k": 2}
