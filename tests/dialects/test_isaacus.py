"""Isaacus: what its client sends, and what it needs."""

from plackett.dialects import RerankRequest
from plackett.dialects.isaacus import ISAACUS
from wire import ANSWER, QUERY, TEXTS


def test_a_request():
    body = {"model": "m", "query": QUERY, "texts": TEXTS, "top_n": 2, "is_iql": False, "scoring_method": "auto"}
    ignored = ("is_iql", "scoring_method")
    assert ISAACUS.parse(body) == RerankRequest.of(QUERY, TEXTS, model="m", top_n=2, ignored=ignored)


def test_a_reply():
    reply = ISAACUS.reply(RerankRequest.of(QUERY, TEXTS, top_n=1), ANSWER)
    assert reply == {"results": [{"index": 0, "score": 0.75}], "usage": {"input_tokens": ANSWER.tokens}}
