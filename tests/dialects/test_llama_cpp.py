"""llama.cpp: what its clients send, and what they need."""

from plackett.dialects import RerankRequest
from plackett.dialects.llama_cpp import LLAMA_CPP
from wire import ANSWER, QUERY, TEXTS


def test_a_request():
    body = {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 2}
    assert LLAMA_CPP.parse(body) == RerankRequest.of(QUERY, TEXTS, model="m", top_n=2)


def test_a_reply_has_results():
    reply = LLAMA_CPP.reply(RerankRequest.of(QUERY, TEXTS, top_n=1), ANSWER)
    assert reply["results"] == [{"index": 0, "relevance_score": 0.75}]


def test_a_question_for_logits_needs_no_field():
    assert LLAMA_CPP.ask(RerankRequest.of(QUERY, TEXTS, activation="identity")) == {
        "query": QUERY,
        "documents": TEXTS,
    }
