"""Cohere v1 and v2: what their clients send, and what they need."""

from dataclasses import replace

import numpy as np
import pytest

from plackett.dialects import Answer, Document, Problem, RerankRequest, Span, SpanOptions, recognise
from plackett.dialects.cohere import COHERE
from wire import ANSWER, QUERY, TEXTS, USAGE


def test_a_request_of_langchain_to_v2():
    body = {"model": "m", "query": QUERY, "documents": TEXTS, "top_n": 3, "max_tokens_per_doc": None}
    assert recognise(body) is COHERE
    assert COHERE.parse(body) == RerankRequest.of(QUERY, TEXTS, model="m", top_n=3)


def test_a_request_to_v1_with_objects_and_rank_fields():
    cat = {"title": "Cats", "text": "They eat fish.", "year": 2020}
    body = {"query": QUERY, "documents": [cat, "steel"], "rank_fields": ["year", "title"], "max_chunks_per_doc": 1}
    read = COHERE.parse(body)
    assert read.documents == (Document("2020\nCats", cat), Document("steel"))
    assert read.ignored == ("max_chunks_per_doc",)


def test_a_reply_has_what_every_client_of_documents_reads():
    assert COHERE.reply(RerankRequest.of(QUERY, TEXTS), ANSWER) == {
        "id": "a1",
        "object": "rerank",
        "created": 5,
        "model": "tiny",
        "results": [
            {"index": 0, "relevance_score": 0.75},
            {"index": 2, "relevance_score": 0.5},
            {"index": 1, "relevance_score": 0.125},
        ],
        "usage": USAGE,
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 21, "output_tokens": 0},
        },
    }


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2)])
def test_a_hundred_documents_are_billed_as_one_search(documents, units):
    zeros = np.zeros(documents, np.float32)
    reply = COHERE.reply(RerankRequest.of(QUERY, ["x"] * documents), Answer(zeros, zeros, "tiny", tokens=1))
    assert reply["meta"]["billed_units"] == {"search_units": units}


def test_a_document_comes_back_as_an_object_and_whole():
    source = {"text": "fish", "url": "x"}
    documents = (Document("fish", source), Document("steel"), Document("milk"))
    reply = COHERE.reply(RerankRequest((QUERY,), documents, return_documents=True), ANSWER)
    assert [item["document"] for item in reply["results"]] == [source, {"text": "milk"}, {"text": "steel"}]


def test_relevant_spans_are_those_of_the_document():
    body = {"query": QUERY, "documents": TEXTS, "relevant_spans": {"mode": "enabled", "max_spans": 2}}
    request = COHERE.parse(body)
    assert request.relevant_spans == SpanOptions(threshold=0.1, max_spans=2)
    answer = replace(ANSWER, spans={2: [Span(0, 4, 0.5), Span(5, 7, 0.25)], 1: []})
    assert [item.get("relevant_spans") for item in COHERE.reply(request, answer)["results"]] == [
        None,
        [{"start": 0, "end": 4, "score": 0.5}, {"start": 5, "end": 7, "score": 0.25}],
        None,
    ]
    disabled = COHERE.parse(body | {"relevant_spans": {"mode": "disabled"}})
    assert disabled.relevant_spans is None


def test_an_error_serves_cohere_jina_and_openai():
    assert COHERE.error(Problem(422, "top_n must be a whole number", field="top_n", id="e1")) == {
        "id": "e1",
        "message": "top_n must be a whole number",
        "detail": "top_n must be a whole number",
        "error": {
            "message": "top_n must be a whole number",
            "type": "invalid_request_error",
            "param": "top_n",
            "code": 422,
        },
    }
    assert COHERE.error(Problem(503, "busy"))["error"]["type"] == "server_error"


def test_a_question_has_no_field_that_cohere_refuses():
    request = RerankRequest.of(QUERY, TEXTS, model="rerank-v3.5", activation="identity", truncate=False)
    assert COHERE.ask(request) == {"query": QUERY, "documents": TEXTS, "model": "rerank-v3.5"}
