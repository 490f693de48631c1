"""TEI: what its clients send, and what they need."""

import pytest

from plackett.dialects import Document, Problem, RerankRequest, recognise
from plackett.dialects.tei import TEI
from plackett.errors import RequestError
from wire import ANSWER, QUERY, TEXTS

REQUEST = RerankRequest.of(QUERY, TEXTS)


def test_a_request_of_litellm():
    body = {"query": QUERY, "texts": TEXTS, "return_text": True, "top_n": 2, "raw_scores": False}
    body["truncation_direction"] = "Right"
    assert recognise(body) is TEI
    assert TEI.parse(body) == RerankRequest.of(QUERY, TEXTS, return_documents=True, top_n=2, truncation_side="right")


def test_texts_may_be_named_documents_and_be_objects():
    read = TEI.parse({"query": QUERY, "documents": [{"text": "milk", "id": 1}]})
    assert read.documents == (Document("milk", {"text": "milk", "id": 1}),)


def test_a_reply_is_a_bare_list_best_first():
    assert TEI.reply(REQUEST, ANSWER) == [
        {"index": 0, "score": 0.75},
        {"index": 2, "score": 0.5},
        {"index": 1, "score": 0.125},
    ]


def test_a_reply_holds_the_texts_if_they_were_asked_for():
    request = RerankRequest.of(QUERY, TEXTS, return_documents=True, top_n=1)
    assert TEI.reply(request, ANSWER) == [{"index": 0, "score": 0.75, "text": "fish and mice"}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "Validation"),
        (413, "Validation"),
        (422, "Validation"),
        (424, "Backend"),
        (429, "Overloaded"),
        (500, "Backend"),
    ],
)
def test_an_error_is_a_string_with_a_type(status, kind):
    assert TEI.error(Problem(status, "no")) == {"error": "no", "error_type": kind}


def test_an_empty_list_is_an_error_of_its_own_type():
    assert TEI.error(Problem(400, "no", field="texts"))["error_type"] == "Empty"


def test_an_empty_list_is_400():
    with pytest.raises(RequestError) as caught:
        TEI.parse({"query": QUERY, "texts": []})
    assert (caught.value.field, caught.value.status) == ("texts", 400)


def test_a_question_states_whether_texts_may_be_cut():
    request = RerankRequest.of(QUERY, TEXTS, activation="identity")
    assert TEI.ask(request) == {"query": QUERY, "texts": TEXTS, "raw_scores": True, "truncate": True}
