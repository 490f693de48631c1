"""Jina: what its clients send, and what they need."""

from plackett.dialects import Problem, RerankRequest
from plackett.dialects.jina import JINA
from wire import ANSWER, QUERY, TEXTS


def test_a_request_of_haystack_with_objects():
    body = {"model": "m", "query": {"text": QUERY}, "documents": [{"text": text} for text in TEXTS], "top_n": None}
    assert JINA.parse(body).pairs == [(QUERY, text) for text in TEXTS]


def test_a_reply_has_results_and_usage():
    reply = JINA.reply(RerankRequest.of(QUERY, TEXTS, top_n=1), ANSWER)
    assert reply["results"] == [{"index": 0, "relevance_score": 0.75}]
    assert reply["usage"]["total_tokens"] == 21


def test_an_error_has_a_detail():
    assert JINA.error(Problem(401, "no key"))["detail"] == "no key"


def test_a_question():
    request = RerankRequest.of(QUERY, TEXTS, model="m", top_n=2, return_documents=True)
    assert JINA.ask(request) == {
        "model": "m",
        "query": QUERY,
        "documents": TEXTS,
        "top_n": 2,
        "return_documents": True,
    }
