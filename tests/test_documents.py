"""Documents that are mappings: their fields are read, and they come back."""

import pytest

from plackett import CrossEncoder, InputError, SettingError
from tiny import DOCUMENTS, QUERY


@pytest.fixture(scope="module")
def model(bert):
    return CrossEncoder(bert)


ARTICLES = [
    {"id": 7 + number, "title": f"part {number}", "body": body, "url": f"/{number}"}
    for number, body in enumerate(DOCUMENTS)
]


def scores(ranked):
    return [(item["corpus_id"], item["score"]) for item in ranked]


@pytest.mark.parametrize("text", ["title, body", ("title", "body")])
def test_the_named_fields_are_read_and_the_documents_come_back(model, text):
    ranked = model.rank(QUERY, ARTICLES, text=text, return_documents=True, top_k=4)
    texts = [f"{article['title']} {article['body']}" for article in ARTICLES]
    expected = model.rank(QUERY, texts, return_documents=True, top_k=4)
    assert scores(ranked) == scores(expected)
    assert [item["text"] for item in ranked] == [item["text"] for item in expected]
    assert all(item["document"] is ARTICLES[item["corpus_id"]] for item in ranked)
    assert [item["id"] for item in ranked] == [7 + item["corpus_id"] for item in ranked]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"text": "some words"}, "some words"),
        ({"contents": "some words", "docid": "x"}, "some words"),
        ({"title": "A title", "text": "some words"}, "A title some words"),
        ({"title": None, "document": "some words"}, "some words"),
    ],
)
def test_usual_names_need_not_be_given(model, document, text):
    [ranked] = model.rank(QUERY, [document], return_documents=True)
    assert ranked["text"] == text
    assert ranked.get("id") == document.get("docid")


def test_texts_and_mappings_may_be_mixed(model):
    ranked = model.rank_many([QUERY] * 2, [[DOCUMENTS[0], {"text": DOCUMENTS[1]}], [{"text": DOCUMENTS[2]}]])
    assert [sorted("document" in item for item in items) for items in ranked] == [[False, True], [True]]


@pytest.mark.parametrize(
    ("document", "text", "named"),
    [
        ({"body": "x"}, None, ["document 1", "body"]),
        ({"body": "x"}, "title, body", ["document 1", "title", "body"]),
        ({"body": None}, "body", ["document 1", "body"]),
        ({"body": 3}, "body", ["document 1", "body", "int"]),
        ({}, "body", ["document 1", "body"]),
    ],
)
def test_errors_name_the_document_and_the_field(model, document, text, named):
    documents = [{"title": "t", "text": "t", "body": "t"}, document]
    with pytest.raises(InputError) as error:
        model.rank(QUERY, documents, text=text)
    assert all(name in str(error.value) for name in named)
    kept = model.rank_many([QUERY], [documents], text=text, errors="return")
    assert list(kept.errors) == [(0, 1)]
    assert [item["corpus_id"] for item in kept.lists[0]] == [0]


@pytest.mark.parametrize("text", ["", "title,,body", [""], [3]])
def test_names_that_are_none_are_refused(model, text):
    with pytest.raises(SettingError):
        model.rank(QUERY, ARTICLES, text=text)
