"""The rules for requests that all dialects share."""

import pytest

from plackett.dialects import Document, RerankRequest, SpanOptions
from plackett.dialects.requests import read_request
from plackett.errors import InputError, RequestError
from wire import QUERY, TEXTS

BODY = {"query": QUERY, "documents": TEXTS}


def refusal(body):
    with pytest.raises(RequestError) as caught:
        read_request(body)
    assert isinstance(caught.value, InputError)
    return caught.value.field, caught.value.status


@pytest.mark.parametrize("name", ["documents", "texts", "input", "passages"])
def test_documents_have_several_names(name):
    assert read_request({"query": QUERY, name: TEXTS}) == RerankRequest.of(QUERY, TEXTS)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"top_n": 2}, {"top_n": 2}),
        ({"top_k": 2}, {"top_n": 2}),
        ({"top_k": 2, "top_n": 1}, {"top_n": 1}),
        ({"top_k": 2, "top_n": None}, {"top_n": 2}),
        ({"return_documents": True}, {"return_documents": True}),
        ({"return_text": True}, {"return_documents": True}),
        ({"raw_scores": True}, {"activation": "identity"}),
        ({"use_activation": False}, {"activation": "identity"}),
        ({"raw_scores": False, "use_activation": True}, {}),
        ({"raw_scores": False, "use_activation": False}, {"activation": "identity"}),
        ({"raw_scores": False, "activation": "calibrated"}, {"activation": "calibrated"}),
        ({"raw_scores": True, "activation": "calibrated"}, {"activation": "identity"}),
        ({"truncate": False}, {"truncate": False}),
        ({"truncation": False}, {"truncate": False}),
        ({"truncate": "NONE"}, {"truncate": False}),
        ({"truncation_direction": "Left"}, {"truncation_side": "left"}),
        ({"truncate_prompt_tokens": 9}, {"max_tokens": 9}),
        ({"truncate_prompt_tokens": -1}, {}),
        ({"max_tokens_per_doc": 4096}, {"max_tokens_per_doc": 4096}),
        ({"max_tokens_per_query": 0}, {}),
        ({"min_score": 0}, {"min_score": 0.0}),
        ({"priority": -3}, {"priority": -3}),
        ({"relevant_spans": {"mode": "enabled", "threshold": 0.5}}, {"relevant_spans": SpanOptions(0.5)}),
        ({"relevant_spans": {"mode": "enabled", "threshold": None}}, {"relevant_spans": SpanOptions(0.1)}),
        ({"user": "me", "kwargs": "{}", "return_len": None}, {"ignored": ("kwargs", "user")}),
        ({"rank_fields": []}, {}),
    ],
    ids=str,
)
def test_settings_by_any_of_their_names(fields, options):
    assert read_request(BODY | fields) == RerankRequest.of(QUERY, TEXTS, **options)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": 5}, "model"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": True}, "top_n"),
        ({"top_k": -1}, "top_k"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"raw_scores": 1}, "raw_scores"),
        ({"truncate": "MIDDLE"}, "truncate"),
        ({"truncation_side": "middle"}, "truncation_side"),
        ({"min_score": float("nan")}, "min_score"),
        ({"min_score": 10**400}, "min_score"),
        ({"min_score": True}, "min_score"),
        ({"priority": 1.5}, "priority"),
        ({"relevant_spans": True}, "relevant_spans"),
        ({"relevant_spans": {"mode": "on"}}, "relevant_spans"),
        ({"relevant_spans": {"mode": "enabled", "max_spans": 0}}, "relevant_spans.max_spans"),
        ({"rank_fields": "a", "documents": [{"b": "c"}]}, "documents[0]"),
        ({"rank_fields": [1]}, "rank_fields[0]"),
        ({"query": 5}, "query"),
        ({"query": {"image": "x"}}, "query"),
        ({"query": None}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": {"a": "b"}}, "documents"),
        ({"documents": ["a", 5]}, "documents[1]"),
        ({"documents": ["a", None]}, "documents[1]"),
        ({"documents": ["a", "b", "half \ud83d"]}, "documents[2]"),
        ({"documents": [{"text": "a", "other": "half \ud83d"}]}, "documents[0]"),
        ({"documents": [{"text": "a", "other": float("inf")}]}, "documents[0]"),
        ({"query": "half \ude00"}, "query"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_its_index(fields, field):
    assert refusal(BODY | fields) == (field, 422)


def test_an_object_nested_too_deeply_is_refused():
    deep: object = "a"
    for _ in range(100_000):
        deep = [deep]
    assert refusal(BODY | {"documents": [{"text": "a", "deep": deep}]}) == ("documents[0]", 422)


def test_an_empty_list_is_400():
    assert refusal(BODY | {"documents": []}) == ("documents", 400)


@pytest.mark.parametrize("name", ["max_tokens_per_doc", "max_tokens_per_query"])
def test_a_negative_limit_is_a_bad_request_as_for_vllm(name):
    with pytest.raises(RequestError) as refused:
        read_request({"query": "q", "documents": ["a"], name: -1})
    assert (refused.value.field, refused.value.status) == (name, 400)


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_what_is_no_object_is_422(body):
    assert refusal(body) == ("", 422)


def test_blank_texts_are_read():
    assert read_request({"query": "", "documents": ["", " "]}).pairs == [("", ""), ("", " ")]


@pytest.mark.parametrize(
    ("rank_fields", "text"),
    [
        (None, "body"),
        (["title", "text"], "Title\nbody"),
        (["text", "title"], "body\nTitle"),
        (["missing", "tags"], '["a", "ü"]'),
    ],
)
def test_the_text_of_an_object_is_its_rank_fields_in_their_order(rank_fields, text):
    source = {"title": "Title", "text": "body", "tags": ["a", "ü"]}
    read = read_request({"query": QUERY, "documents": [source], "rank_fields": rank_fields})
    assert read.documents == (Document(text, source),)
