"""A listwise model, served: a request's documents are one list, and scores are the library's."""

import asyncio

import numpy as np
import pytest

from layouts import listwise
from plackett import CrossEncoder
from plackett.serving.models import Models, ServedModel
from serving_app import serving

QUERY = "sort a list"
DOCUMENTS = ["the list is sorted", "dogs and cats", "", "words about sorting " * 30, "no"]
FILLED = [document for document in DOCUMENTS if document]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return CrossEncoder(listwise(tmp_path_factory.mktemp("lists") / "jina-reranker-v3"))


@pytest.fixture(scope="module")
def client(model):
    served = ServedModel("lists", model, "sigmoid")
    served.warm_up()  # as a server does; torch's first call in another thread may differ by 1e-5 here
    with serving(model.checkpoint.folder, found=Models({"lists": served})) as made:
        yield made


def ranked(model, query, documents, **settings):
    return {documents[item["corpus_id"]]: item["score"] for item in model.rank(query, documents, **settings)}


def scores(reply, documents):
    assert reply.status_code == 200, reply.text
    return {documents[item["index"]]: item["relevance_score"] for item in reply.json()["results"]}


def test_a_request_is_a_list(client, model):
    body = {"model": "lists", "query": QUERY, "documents": DOCUMENTS}
    found = scores(client.post("/v1/rerank", body), DOCUMENTS)
    assert found.pop("") < min(found.values())
    assert found == pytest.approx(ranked(model, QUERY, FILLED), abs=1e-6)


def test_requests_at_once_do_not_change_each_other(client, model):
    lists = [FILLED, FILLED[::-1], FILLED[:2], FILLED[1:] * 30]
    send = [client._send("POST", "/v1/rerank", json={"query": QUERY, "documents": list(each)}) for each in lists]

    async def together():
        return await asyncio.gather(*send)

    for reply, documents in zip(client.run(together()), lists, strict=True):
        found = [item["relevance_score"] for item in reply.json()["results"]]
        expected = [item["score"] for item in model.rank(QUERY, documents)]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pairs_are_lists_of_one(client, model):
    reply = client.post("/predict", {"inputs": [[QUERY, document] for document in FILLED]})
    expected = model.predict([(QUERY, document) for document in FILLED])
    np.testing.assert_allclose([item[0]["score"] for item in reply.json()], expected, atol=1e-6)


def test_an_instruction_of_a_request(client, model):
    body = {"query": QUERY, "documents": FILLED, "instruction": "Find cats"}
    reply = client.post("/v1/rerank", body)
    assert "instruction" not in str(reply.headers)
    assert scores(reply, FILLED) == pytest.approx(ranked(model, QUERY, FILLED, instruction="Find cats"), abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", {"documents": FILLED, "truncate_prompt_tokens": 64}),
        ("/rerank", {"texts": FILLED, "truncation_direction": "Left"}),
        ("/rerank", {"texts": ["words " * 5000], "truncate": False}),
    ],
)
def test_settings_of_pairs_are_refused(client, path, body):
    assert client.post(path, {"query": QUERY, **body}).status_code in (400, 413, 422)


def test_tokens_per_document_cut_documents(client, model):
    body = {"query": QUERY, "documents": FILLED, "max_tokens_per_doc": 5}
    found = scores(client.post("/v2/rerank", {"model": "lists", **body}), FILLED)
    long = FILLED[2]
    assert abs(found[long] - ranked(model, QUERY, FILLED)[long]) > 1e-6
    assert len(client.post("/tokenize", {"inputs": "a list"}).json()[0]) > 0
