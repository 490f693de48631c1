"""DeepInfra: what LiteLLM sends, and what it needs."""

import pytest

from plackett.dialects import RerankRequest
from plackett.dialects.base import Document
from plackett.dialects.deepinfra import DEEPINFRA
from plackett.errors import RemoteError, RequestError
from wire import ANSWER, QUERY, TEXTS


def test_a_request():
    body = {"queries": [QUERY] * len(TEXTS), "documents": TEXTS, "service_tier": "default"}
    expected = RerankRequest((QUERY,) * len(TEXTS), tuple(map(Document, TEXTS)), ignored=("service_tier",))
    assert DEEPINFRA.parse(body) == expected


def test_two_queries_for_three_documents():
    with pytest.raises(RequestError, match="as many as documents"):
        DEEPINFRA.parse({"queries": [QUERY] * 2, "documents": TEXTS})


def test_a_reply():
    reply = DEEPINFRA.reply(RerankRequest.of(QUERY, TEXTS), ANSWER)
    assert reply == {
        "scores": [float(score) for score in ANSWER.scores],
        "input_tokens": ANSWER.tokens,
        "request_id": "a1",
        "inference_status": {"status": "succeeded", "tokens_input": ANSWER.tokens},
    }


def test_a_reply_without_scores():
    with pytest.raises(RemoteError, match="no list of scores"):
        DEEPINFRA.scores({"data": [0.5]}, 1)
