"""vLLM's /rerank: what its clients send, and what they need."""

import pytest

from plackett.dialects import RerankRequest
from plackett.dialects.vllm import VLLM
from plackett.errors import RequestError
from wire import ANSWER, QUERY, TEXTS


def test_a_request_with_token_limits():
    body = {"query": QUERY, "documents": TEXTS, "top_n": 0, "max_tokens_per_doc": 0, "max_tokens_per_query": 64}
    body |= {"truncate_prompt_tokens": -1, "truncation_side": "left", "use_activation": False, "instruction": "rank"}
    expected = RerankRequest.of(
        QUERY, TEXTS, max_tokens_per_query=64, truncation_side="left", activation="identity", instruction="rank"
    )
    assert VLLM.parse(body) == expected


def test_documents_may_be_one_string():
    assert VLLM.parse({"query": QUERY, "documents": "fish"}).pairs == [(QUERY, "fish")]


@pytest.mark.parametrize("top_n", [-1, False, "3", 2.0])
def test_no_number_of_documents_is_refused(top_n):
    with pytest.raises(RequestError) as caught:
        VLLM.parse({"query": QUERY, "documents": TEXTS, "top_n": top_n})
    assert caught.value.field == "top_n"


def test_a_document_comes_back_as_an_object():
    reply = VLLM.reply(RerankRequest.of(QUERY, TEXTS, return_documents=True, top_n=1), ANSWER)
    assert reply["results"] == [{"index": 0, "relevance_score": 0.75, "document": {"text": "fish and mice"}}]


def test_a_question_for_logits():
    request = RerankRequest.of(QUERY, TEXTS, activation="identity", max_tokens=100)
    assert VLLM.ask(request) == {
        "query": QUERY,
        "documents": TEXTS,
        "truncate_prompt_tokens": 100,
        "use_activation": False,
    }
