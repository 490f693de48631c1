"""Infinity: what its clients send, and what they need."""

from plackett.dialects import Document, RerankRequest
from plackett.dialects.infinity import INFINITY
from wire import ANSWER, QUERY, TEXTS


def test_a_request_of_infinity_client():
    body = {"query": QUERY, "documents": TEXTS, "return_documents": False, "raw_scores": False}
    body["model"] = "default/not-specified"
    assert INFINITY.parse(body) == RerankRequest.of(QUERY, TEXTS, model="default/not-specified")


def test_a_document_comes_back_as_a_string():
    documents = (Document("fish", {"text": "fish"}), Document("steel"), Document("milk"))
    reply = INFINITY.reply(RerankRequest((QUERY,), documents, return_documents=True), ANSWER)
    assert reply["object"] == "rerank"
    assert [item["document"] for item in reply["results"]] == ["fish", "milk", "steel"]


def test_a_question_for_logits():
    request = RerankRequest.of(QUERY, TEXTS, activation="identity")
    assert INFINITY.ask(request) == {"query": QUERY, "documents": TEXTS, "raw_scores": True}
