import asyncio
import json
import logging
import re
from dataclasses import replace

import numpy as np
import pytest
import tokenizers

from plackett.dialects import DIALECTS, RerankRequest, requests
from plackett.engines.remote.probe import RAW
from plackett.errors import CheckpointError
from plackett.explanations import sentences
from plackett.serving.dispatch import PREFIXES
from plackett.serving.scheduling import CHUNK, Job
from plackett.serving.service import BLANK
from plackett.serving.texts import TextReader
from serving_app import encoder, models, serving
from tiny import DOCUMENTS, QUERY

SHARED = ("id", "message", "detail", "error")


@pytest.fixture(scope="module")
def client(bert):
    with serving(bert) as made:
        yield made


@pytest.fixture(scope="module")
def expected(bert):
    """Logits of the library itself."""
    return encoder(bert).score([(QUERY, document) for document in DOCUMENTS])[:, 0].astype(np.float64)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def by_index(items, name):
    return [item[name] for item in sorted(items, key=lambda item: item["index"])]


# Bodies that clients sent, and what each of them reads.
CALLS = {
    "tei": ("/rerank", {"query": QUERY, "texts": DOCUMENTS}, lambda r: by_index(r, "score")),
    "tei of LiteLLM": (
        "/rerank",
        {"query": QUERY, "texts": DOCUMENTS, "return_text": True, "raw_scores": False, "truncation_direction": "Right"},
        lambda r: by_index(r, "score"),
    ),
    "cohere v1": (
        "/v1/rerank",
        {"model": "rerank-v3.5", "query": QUERY, "documents": DOCUMENTS},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "cohere v2 of LangChain": (
        "/v2/rerank",
        {"model": "m", "query": QUERY, "documents": DOCUMENTS, "max_tokens_per_doc": None},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "jina of Haystack": (
        "/v1/rerank",
        {"model": "jina", "query": QUERY, "documents": DOCUMENTS, "top_n": None},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "xinference": (
        "/v1/rerank",
        {"model": "m", "query": QUERY, "documents": DOCUMENTS, "return_len": None, "kwargs": "{}"},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "voyage": (
        "/v1/rerank",
        {"query": QUERY, "documents": DOCUMENTS, "model": "rerank-2", "top_k": 8, "truncation": True},
        lambda r: by_index(r["data"], "relevance_score"),
    ),
    "mixedbread": (
        "/v1/reranking",
        {"query": QUERY, "input": DOCUMENTS, "model": "m", "top_k": 8, "return_input": False},
        lambda r: by_index(r["data"], "score"),
    ),
    "infinity": (
        "/infinity/rerank",
        {"model": "m", "query": QUERY, "documents": DOCUMENTS, "raw_scores": False, "return_documents": True},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "vllm score": ("/score", {"text_1": QUERY, "text_2": DOCUMENTS}, lambda r: by_index(r["data"], "score")),
    "llama.cpp": (
        "/reranking",
        {"query": QUERY, "documents": DOCUMENTS},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "sentence similarity": ("/", {"inputs": {"source_sentence": QUERY, "sentences": DOCUMENTS}}, lambda r: r),
    "zeroentropy": (
        "/models/rerank",
        {"model": "zerank-2", "query": QUERY, "documents": DOCUMENTS, "latency": "fast"},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
    "isaacus": (
        "/v1/rerankings",
        {"model": "kanon-2-reranker", "query": QUERY, "texts": DOCUMENTS, "is_iql": False, "scoring_method": "auto"},
        lambda r: by_index(r["results"], "score"),
    ),
    "deepinfra of LiteLLM": (
        "/inference/Qwen/Qwen3-Reranker-0.6B",
        {"queries": [QUERY] * len(DOCUMENTS), "documents": DOCUMENTS},
        lambda r: r["scores"],
    ),
    "tei predict": (
        "/predict",
        {"inputs": [[QUERY, document] for document in DOCUMENTS]},
        lambda r: [item[0]["score"] for item in r],
    ),
    "tei predict at /invocations": (
        "/invocations",
        {"inputs": [[QUERY, document] for document in DOCUMENTS]},
        lambda r: [item[0]["score"] for item in r],
    ),
    "tei at the root": ("/", {"query": QUERY, "texts": DOCUMENTS}, lambda r: by_index(r, "score")),
    "vllm at /invocations": (
        "/invocations",
        {"query": QUERY, "documents": DOCUMENTS},
        lambda r: by_index(r["results"], "relevance_score"),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_client_gets_the_scores_of_the_library(client, expected, name):
    path, body, read = CALLS[name]
    reply = client.post(path, body)
    assert reply.status_code == 200, reply.text
    np.testing.assert_allclose(read(reply.json()), sigmoid(expected), rtol=1e-12)


@pytest.mark.parametrize("prefix", ["", "/nim"])
@pytest.mark.parametrize("path", ["/v1/ranking", "/v1/retrieval/nvidia/some-model/reranking"])
def test_nim_gets_logits(client, expected, prefix, path):
    body = {"query": {"text": QUERY}, "passages": [{"text": text} for text in DOCUMENTS]}
    reply = client.post(prefix + path, body).json()
    np.testing.assert_array_equal(np.float32(by_index(reply["rankings"], "logit")), np.float32(expected))


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_reads_what_the_server_replies(client, expected, name):
    """The remote engine's side of each dialect, which is tested against real servers."""
    dialect = DIALECTS[name]
    prefix = next(prefix for prefix, names in PREFIXES.items() if name in names)
    request = replace(RerankRequest.of(QUERY, DOCUMENTS), activation="identity")
    reply = client.post(f"/{prefix}{dialect.paths[0]}", {**dialect.question(request), **RAW})
    scores = dialect.scores(reply.json(), len(DOCUMENTS))
    if name != "sentence_similarity":
        scores = scores.astype(np.float32)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_documents_are_best_first_and_cut(client, expected):
    items = client.post("/v2/rerank", {"query": QUERY, "documents": DOCUMENTS, "top_n": 3}).json()["results"]
    assert [item["index"] for item in items] == np.argsort(-expected, kind="stable")[:3].tolist()
    assert all("document" not in item for item in items)


def test_only_a_prefix_tells_infinity_from_vllm(client):
    body = {"query": QUERY, "documents": ["a"], "return_documents": True, "model": "m", "top_n": 1}
    assert client.post("/infinity/rerank", body).json()["results"][0]["document"] == "a"
    for path in ("/rerank", "/vllm/rerank"):
        assert client.post(path, body).json()["results"][0]["document"] == {"text": "a"}


def test_blank_documents_are_below_all_others(client):
    reply = client.post("/rerank", {"query": QUERY, "texts": ["", "a", " \n", "b"], "raw_scores": True}).json()
    assert [item["index"] for item in reply][2:] == [0, 2]
    assert reply[2]["score"] == reply[3]["score"] < reply[1]["score"]
    reply = client.post("/rerank", {"query": QUERY, "texts": ["", " "]}).json()
    assert [item["index"] for item in reply] == [0, 1]


@pytest.mark.parametrize("invisible", ["\0", "\x07\x1b", "\u200b\ufeff", "\xad"])
def test_documents_of_invisible_characters_are_blank(client, invisible):
    reply = client.post("/rerank", {"query": QUERY, "texts": [invisible, "a"], "raw_scores": True}).json()
    assert [item["index"] for item in reply] == [1, 0]
    assert reply[1]["score"] <= BLANK


def test_fields_without_effect_are_named_in_a_header(client):
    body = {"query": QUERY, "documents": ["a"], "overlap_tokens": 80, "x\r\ny: z": 1, "ключ": 2}
    assert client.post("/rerank", body).headers["warning"].count("overlap_tokens") == 1
    assert "\n" not in client.post("/rerank", body).headers["warning"]
    assert "warning" not in client.post("/rerank", {"query": QUERY, "documents": ["a"]}).headers


RANKED = {"top_n": 1, "min_score": 0.5, "return_documents": True, "relevant_spans": {"mode": "enabled"}}


@pytest.mark.parametrize(
    ("path", "body", "ignored"),
    [
        ("/score", {"text_1": QUERY, "text_2": ["a", "b"], **RANKED}, sorted(RANKED)),
        ("/inference/some/model", {"queries": [QUERY] * 2, "documents": ["a", "b"], **RANKED}, sorted(RANKED)),
        ("/", {"inputs": {"source_sentence": QUERY, "sentences": ["a", "b"]}, **RANKED}, sorted(RANKED)),
        ("/predict", {"inputs": [[QUERY, "a"], [QUERY, "b"]], **RANKED}, sorted(RANKED)),
        (
            "/v1/ranking",
            {"query": {"text": QUERY}, "passages": [{"text": "a"}], "return_documents": True, "raw_scores": False},
            ["raw_scores", "return_documents"],
        ),
    ],
)
def test_what_a_format_cannot_return_is_named_and_not_computed(client, path, body, ignored):
    plain = {name: value for name, value in body.items() if name not in ignored}
    reply, expected = client.post(path, body), client.post(path, plain)
    assert reply.headers["warning"] == f'299 plackett "ignored fields: {", ".join(ignored)}"'
    different = {"id", "created", "request_id"}  # of each reply
    found, other = (
        {name: value for name, value in answer.items() if name not in different} if isinstance(answer, dict) else answer
        for answer in (reply.json(), expected.json())
    )
    assert found == other
    assert "warning" not in expected.headers


def test_the_warning_is_short_however_many_fields_there_are(client):
    body = {"query": QUERY, "documents": ["a"], **{f"field{number}": 1 for number in range(10_000)}}
    assert len(client.post("/rerank", body).headers["warning"]) < 600


def test_documents_without_the_named_fields_are_scored_by_their_text(client):
    documents = [{"title": "a list", "text": "x"}, {"title": None, "text": "sort words"}, "sort words"]
    body = {"query": QUERY, "documents": documents, "rank_fields": ["title"]}
    scores = by_index(client.post("/v1/rerank", body).json()["results"], "relevance_score")
    assert scores[1] == scores[2] != scores[0]
    for wrong in (0, False, {}, [1]):
        assert client.post("/v1/rerank", {**body, "rank_fields": wrong}).status_code == 422
    body = {"query": QUERY, "documents": [*documents, {"name": "a"}], "rank_fields": ["title"]}
    assert client.post("/v1/rerank", body).json()["error"]["param"] == "documents[3]"


def test_a_long_query_is_cut_once_for_all_documents_of_a_chunk(bert, monkeypatch):
    cut = []
    original = TextReader._cut

    def spy(self, text, *options):
        cut.append(text)
        return original(self, text, *options)

    monkeypatch.setattr(TextReader, "_cut", spy)
    query = "sort words " * 1000
    with serving(bert) as client:
        assert client.post("/rerank", {"query": query, "documents": ["a"] * CHUNK}).status_code == 200
    assert cut.count(query) == 1


def test_what_encoders_do_not_read_is_named(client):
    body = {"query": QUERY, "documents": ["a"], "instruction": "i"}
    assert "instruction" in client.post("/v2/rerank", body).headers["warning"]


@pytest.mark.parametrize("path", ["/predict", "/", "/invocations"])
def test_predict_reads_the_same_settings(client, path):
    body = {"inputs": [QUERY, "a"], "overlap_tokens": 80, "raw_scores": None, "truncation_direction": "Right"}
    reply = client.post(path, body)
    assert (reply.status_code, reply.headers["warning"].count("overlap_tokens")) == (200, 1)
    assert "truncation_direction" not in reply.headers["warning"]
    wrong = client.post(path, {**body, "raw_scores": "yes"})
    assert (wrong.status_code, set(wrong.json())) == (422, {"error", "error_type"})


STORY = "  Return a list. 🙂 The method sort puts words in order.  It sorts in place! A parser reads options. "
SPANS = {"query": QUERY, "documents": ["dictionary", "", STORY], "return_documents": True}


def spans_by_hand(bert, document):
    """Sentences without the white space around them, by what leaving each out costs."""
    found = []
    score = lambda text: float(encoder(bert).score([(QUERY, text)])[0, 0])  # noqa: E731
    for start, end in sentences(document):
        drop = score(document) - score(document[:start] + document[end:])
        inner = document[start:end].strip()
        first = start + document[start:end].index(inner)
        value = sigmoid(score(document)) * (2 * sigmoid(max(drop, 0)) - 1)
        found.append((value, first, first + len(inner)))
    return sorted((item for item in found if item[0] > 0), reverse=True)


@pytest.mark.parametrize(("threshold", "most"), [(0.0, None), (0.05, None), (0.0, 1), (1.0, None)])
def test_relevant_spans_are_the_sentences_that_count(client, bert, threshold, most):
    options = {"mode": "enabled", "threshold": threshold, "max_spans": most}
    results = client.post("/v2/rerank", {**SPANS, "relevant_spans": options}).json()["results"]
    spans = {item["index"]: item.get("relevant_spans", []) for item in results}
    expected = [item for item in spans_by_hand(bert, STORY) if item[0] >= threshold][:most]
    assert [(item["start"], item["end"]) for item in spans[2]] == [(start, end) for _, start, end in expected]
    np.testing.assert_allclose([item["score"] for item in spans[2]], [item[0] for item in expected], rtol=1e-6)
    assert spans[1] == []
    assert all("relevant_spans" not in item for item in results if not spans[item["index"]])


def test_there_are_no_spans_unless_they_are_enabled(client):
    for options in ({}, {"relevant_spans": None}, {"relevant_spans": {"mode": "disabled"}}):
        reply = client.post("/v2/rerank", {**SPANS, **options})
        assert not any("relevant_spans" in item for item in reply.json()["results"])
        assert "warning" not in reply.headers


def test_spans_lie_in_the_part_that_is_read(client):
    long = "The method sort puts words in order. " * 40
    body = {"query": QUERY, "documents": [long], "relevant_spans": {"mode": "enabled", "threshold": 0}}
    for side, kept in (("right", (0, 160)), ("left", (len(long) - 160, len(long)))):
        reply = client.post("/v2/rerank", {**body, "max_tokens_per_doc": 30, "truncation_side": side}).json()
        spans = reply["results"][0]["relevant_spans"]
        assert all(kept[0] <= span["start"] < span["end"] <= kept[1] for span in spans)


def test_only_the_first_results_are_explained(bert):
    documents = [STORY, *DOCUMENTS]
    ranked = encoder(bert).rank(QUERY, documents, top_k=len(documents), return_documents=True, explain=True)
    helped = next(item["text"] for item in ranked if any(part["contribution"] > 0 for part in item["explanation"]))
    with serving(bert, max_explained=1) as client:
        body = {"query": QUERY, "documents": [helped] * 3, "relevant_spans": {"mode": "enabled", "threshold": 0}}
        results = client.post("/v2/rerank", body).json()["results"]
        assert ["relevant_spans" in item for item in results] == [True, False, False]


@pytest.mark.parametrize(("side", "kept"), [("right", slice(0, 3)), ("left", slice(-3, None))])
def test_documents_are_shortened_to_tokens(client, bert, side, kept):
    document = "a parser for command line options " * 40
    tokenizer = tokenizers.Tokenizer.from_file(str(bert / "tokenizer.json"))
    spans = tokenizer.encode(document, add_special_tokens=False).offsets[kept]
    [wanted] = encoder(bert).score([(QUERY, document[spans[0][0] : spans[-1][1]])])[:, 0]
    body = {"query": QUERY, "texts": [document], "max_tokens_per_doc": 3, "truncation_side": side, "raw_scores": True}
    assert np.float32(client.post("/rerank", body).json()[0]["score"]) == wanted


def test_a_limit_on_pairs_cuts_the_document_and_keeps_the_query(client, bert):
    document = "a parser for command line options " * 40
    tokenizer = tokenizers.Tokenizer.from_file(str(bert / "tokenizer.json"))
    around = len(tokenizer.encode(QUERY, ""))
    end = tokenizer.encode(document, add_special_tokens=False).offsets[1][1]
    [wanted] = encoder(bert).score([(QUERY, document[:end])])[:, 0]
    body = {"query": QUERY, "documents": [document], "use_activation": False}
    [item] = client.post("/rerank", {**body, "truncate_prompt_tokens": around + 2}).json()["results"]
    assert np.float32(item["relevance_score"]) == wanted
    assert client.post("/rerank", {**body, "truncate_prompt_tokens": around}).json()["usage"]["total_tokens"] == around


def test_a_pair_that_is_too_long_is_named_if_it_may_not_be_cut(client):
    reply = client.post("/rerank", {"query": QUERY, "texts": ["", "a", DOCUMENTS[5]], "truncate": False})
    assert reply.status_code == 422
    assert "document 2" in reply.json()["error"]


def test_an_endless_query_is_read_as_far_as_the_model_does(client, bert):
    query = "sort words " * 20_000
    reply = client.post("/rerank", {"query": query, "texts": ["a list"], "raw_scores": True}).json()
    assert np.float32(reply[0]["score"]) == encoder(bert).score([(query, "a list")])[0, 0]


REFUSED = {
    "no JSON": ("/rerank", b"{", {}, 400),
    "NaN": ("/rerank", b'{"query": "q", "documents": ["a"], "x": NaN}', {}, 400),
    "twice": ("/rerank", b'{"query": "q", "query": "r", "documents": ["a"]}', {}, 400),
    "a list": ("/rerank", b"[]", {}, 422),
    "no query": ("/rerank", b'{"documents": ["a"]}', {}, 422),
    "blank query": ("/rerank", b'{"query": " ", "documents": ["a"]}', {}, 422),
    "empty list": ("/rerank", b'{"query": "q", "documents": []}', {}, 400),
    "too many": ("/rerank", json.dumps({"query": "q", "documents": ["a"] * 101}).encode(), {}, 422),
    "too many pairs": ("/predict", json.dumps({"inputs": [["q", "a"]] * 101}).encode(), {}, 422),
    "too many sentences": (
        "/rerank",
        json.dumps({"query": "q", "passages": [""] * 101}).encode(),
        {},
        422,
    ),
    "too long": ("/rerank", json.dumps({"query": "q", "documents": ["a" * 100_001]}).encode(), {}, 422),
    "too large": ("/rerank", b'"' + b"a" * 400_000 + b'"', {}, 413),
    "a form": ("/rerank", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "compressed": ("/rerank", b"{}", {"Content-Encoding": "gzip"}, 415),
    "other charset": ("/rerank", b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415),
    "half character": ("/rerank", b'{"query": "q", "documents": ["a", "\\ud83d"]}', {}, 422),
    "unknown activation": ("/rerank", b'{"query": "q", "documents": ["a"], "activation": "x"}', {}, 422),
    "no calibration": ("/rerank", b'{"query": "q", "documents": ["a"], "activation": "calibrated"}', {}, 422),
    "limit beyond the model": ("/score", b'{"text_1":"q","text_2":"a","truncate_prompt_tokens":9999}', {}, 400),
    "negative limit": ("/score", b'{"text_1":"q","text_2":"a","max_tokens_per_doc":-1}', {}, 400),
    "bad timeout": ("/rerank", b'{"query": "q", "documents": ["a"]}', {"X-Request-Timeout": "soon"}, 400),
    "no time": ("/rerank", b'{"query": "q", "documents": ["a"]}', {"X-Request-Timeout": "0"}, 400),
    "bad priority": ("/rerank", b'{"query": "q", "documents": ["a"]}', {"X-Priority": "soon"}, 400),
    "pair of one": ("/predict", b'{"inputs": [["a"]]}', {}, 422),
    "unknown path": ("/nowhere", b"{}", {}, 404),
}


@pytest.fixture(scope="module")
def strict(bert):
    with serving(bert, max_documents=100, max_characters=100_000, max_body_bytes=300_000) as made:
        yield made


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_cannot_be_served_gets_a_short_error(strict, name):
    path, body, headers, status = REFUSED[name]
    reply = strict.send("POST", path, content=body, headers={"Content-Type": "application/json", **headers})
    assert reply.status_code == status, reply.text
    assert len(reply.content) < 1000
    if path == "/predict":
        assert set(reply.json()) == {"error", "error_type"}
    else:
        assert set(reply.json()) == set(SHARED)
        assert reply.json()["id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"inputs": [""] * 101}),
        ("/tokenize", {"prompt": [""] * 101}),
        ("/", {"inputs": {"source_sentence": "q", "sentences": [""] * 101}}),
        ("/score", {"text_1": [""] * 101, "text_2": [""] * 101}),
        ("/v1/reranking", {"query": "q", "input": [""] * 101}),
    ],
)
def test_texts_are_counted_before_they_are_read(strict, monkeypatch, path, body):
    monkeypatch.setattr(requests, "_check_encodable", None)  # called for each text
    assert strict.post(path, body).status_code == 422


def test_a_body_in_chunks_is_counted_while_it_is_read(strict):
    sent = []

    async def chunks():
        for _ in range(1000):
            sent.append(1)
            yield b"a" * 10_000

    assert strict.send("POST", "/rerank", content=chunks()).status_code == 413


def test_bodies_in_memory_are_bounded(bert):
    async def both(client):
        arrived, go = asyncio.Event(), asyncio.Event()

        async def slow():
            yield b'{"query": "q", '
            arrived.set()
            await go.wait()
            yield b'"documents": ["a"]}'

        first = asyncio.create_task(client._send("POST", "/rerank", content=slow()))
        await arrived.wait()
        await asyncio.sleep(0)
        second = await client._send("POST", "/rerank", json={"query": "q", "documents": ["a"]})
        go.set()
        return await first, second

    with serving(bert, max_buffered_bytes=30) as client:
        first, second = client.run(both(client))
        assert (first.status_code, second.status_code) == (200, 429)
        assert int(second.headers["retry-after"]) >= 1
        assert client.service.buffer.held == 0


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8; a=b", 'application/json;charset="UTF-8"', ""]
)
def test_content_types_of_json(client, content_type):
    body = b'{"query": "q", "documents": ["a"]}'
    assert client.send("POST", "/rerank", content=body, headers={"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_chooses_the_errors_too(bert, prefix):
    keys = {"error", "error_type"} if prefix == "tei" else set(SHARED)
    with serving(bert, api_key="key") as closed:
        unknown = closed.post(f"/{prefix}/rerank", {})
        headers = {"Authorization": "Bearer key"}
        replies = [
            closed.send(method, f"/{prefix}/{path}", content=body, headers=headers)
            for method, path, body in (("POST", "rerank", b"{"), ("POST", "nowhere", b"{}"), ("GET", "rerank", b""))
        ]
    assert [reply.status_code for reply in (unknown, *replies)] == [401, 400, 404, 405]
    assert all(set(reply.json()) == keys for reply in (unknown, *replies))


def test_errors_of_tei_have_its_shape(client):
    for body in (b'{"texts": []}', b'{"texts": ["a"], NaN}', b'{"texts": ["a"]}'):
        assert set(client.send("POST", "/rerank", content=body).json()) == {"error", "error_type"}
    empty, unread = (
        client.send("POST", "/rerank", content=body).json() for body in (b'{"query": "q", "texts": []}', b'{"texts":')
    )
    assert (empty["error_type"], unread["error_type"]) == ("Empty", "Validation")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_alone_is_the_base_url_of_a_client(bert, prefix):
    with serving(bert, api_key="sesame") as client:
        assert client.get(f"/{prefix}").json() == {"status": "ok"}
        body = {"inputs": {"source_sentence": QUERY, "sentences": ["a"]}}
        found, expected = (
            client.post(path, body, headers={"Authorization": "sesame"}).status_code
            for path in (f"/{prefix}", f"/{prefix}/")
        )
        assert found == expected == (200 if prefix == "tei" else 405)


def test_browsers_get_a_page_and_clients_the_health(client):
    page = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    for accept in ("*/*", "application/json"):
        assert client.get("/", headers={"Accept": accept}).json() == {"status": "ok"}
    assert client.get("/tei/", headers={"Accept": "text/html"}).json() == {"status": "ok"}


def test_other_methods_are_refused_with_those_allowed(client):
    reply = client.get("/rerank")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert client.send("HEAD", "/health").status_code == 200
    assert set(client.send("DELETE", "/").headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_a_key_is_required_on_everything_but_health(bert):
    with serving(bert, api_key="sesame") as client:
        for path in ("/health", "/ready", "/ping", "/", "/infinity/health"):
            assert client.get(path).status_code == 200
        for path in ("/info", "/v1/models", "/metrics", "/openapi.json", "/nowhere"):
            assert client.get(path).status_code == 401
        reply = client.post("/rerank", {"query": "q", "documents": ["a"]}, headers={"Authorization": "Bearer other"})
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
        for value in ("Bearer sesame", "bearer  sesame", "sesame"):
            assert client.get("/info", headers={"Authorization": value}).status_code == 200


def test_without_a_key_any_is_accepted(client):
    assert client.get("/info", headers={"Authorization": "Bearer anything"}).status_code == 200


def test_the_key_is_checked_before_the_body_is_read(bert):
    async def body():
        raise AssertionError("read")
        yield b""

    async def call(client):
        messages = []

        async def send(message):
            messages.append(message)

        async def receive():
            raise AssertionError("read")

        scope = {"type": "http", "method": "POST", "path": "/rerank", "headers": [], "query_string": b""}
        await client.app(scope, receive, send)
        return messages[0]["status"]

    with serving(bert, api_key="sesame") as client:
        assert client.run(call(client)) == 401


def test_models_are_found_by_name(bert):
    with serving(bert, "one", "two") as client:
        body = {"query": "q", "documents": ["a"]}
        assert client.post("/rerank", body).json()["model"] == "one"
        assert client.post("/rerank", {**body, "model": "two"}).json()["model"] == "two"
        reply = client.post("/rerank", {**body, "model": "three"})
        assert (reply.status_code, reply.json()["error"]["param"]) == (404, "model")
        assert client.post("/rerank", {"query": "q", "texts": ["a"], "model": "three"}).status_code == 200
        assert [item["id"] for item in client.get("/v1/models").json()["data"]] == ["one", "two"]
        [item, _] = client.get("/models").json()["data"]
        assert item["owned_by"] == "infinity"
        assert {"stats", "backend"} <= item.keys()


def test_before_the_models_are_loaded(bert):
    with serving(bert) as client:
        client.service.loaded = None
        assert client.get("/health").status_code == 200
        for reply in (client.get("/ready"), client.post("/rerank", {"query": "q", "documents": ["a"]})):
            assert reply.status_code == 503
            assert int(reply.headers["retry-after"]) >= 1


def test_a_full_queue_does_not_change_readiness(bert):
    with serving(bert, queue_tokens=1) as client:
        batcher = client.service.batcher
        batcher.close()  # nothing is scored any more
        batcher.add(Job(object(), None, np.array([1000]), lambda error: None))
        assert client.get("/ready").status_code == 200
        reply = client.post("/rerank", {"query": "q", "documents": ["a"]})
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1
        assert 'plackett_refused{priority="normal"} 1.0' in client.get("/metrics").text


def test_a_deadline_frees_the_work(bert):
    with serving(bert) as client:
        client.service.batcher.close()
        headers = {"X-Request-Timeout": "0.01"}
        assert client.post("/rerank", {"query": "q", "documents": ["a"]}, headers=headers).status_code == 504
        assert client.service.batcher.queued == client.service.batcher.waiting == 0


def test_an_error_of_the_engine_fails_its_request_only(bert):
    def broken(token_ids):
        if len(token_ids) > 40:
            raise MemoryError
        return 1.0

    with serving(bert, function=broken) as client:
        reply = client.post("/rerank", {"query": "q", "documents": ["words " * 80]})
        assert reply.status_code == 500
        assert client.post("/rerank", {"query": "q", "documents": ["a"]}).status_code == 200


def test_nan_of_the_engine_is_an_error(bert):
    with serving(bert, function=lambda token_ids: np.nan) as client:
        assert client.post("/rerank", {"query": "q", "documents": ["a"]}).status_code == 500


def test_models_are_loaded_again_behind_the_key(bert):
    swapped = []

    def load(settings):
        swapped.append(settings)
        return models(bert, "new")

    key = {"Authorization": "Bearer sesame"}
    with serving(bert, api_key="sesame", load=load) as client:
        assert client.post("/admin/reload", headers=key).json() == {"models": ["new"]}
        assert client.post("/admin/reload").status_code == 401
    with serving(bert, load=load) as client:
        assert client.post("/admin/reload").status_code == 403
    assert len(swapped) == 1


def test_a_failed_reload_keeps_the_models(bert):
    def load(settings):
        raise OSError("gone")

    with serving(bert, api_key="sesame", load=load) as client:
        key = {"Authorization": "Bearer sesame"}
        reply = client.post("/admin/reload", headers=key)
        assert reply.status_code == 500
        assert "gone" not in reply.text
        assert client.post("/rerank", {"query": "q", "documents": ["a"]}, headers=key).status_code == 200


def test_a_folder_that_cannot_be_read_is_one_line_of_the_log(bert, caplog):
    def load(settings):
        raise CheckpointError("models/mine has no config.json")

    with serving(bert, api_key="sesame", load=load) as client:
        client.post("/admin/reload", headers={"Authorization": "Bearer sesame"})
    [record] = caplog.records
    assert "models/mine has no config.json" in record.getMessage()
    assert not record.exc_info


def test_a_request_in_progress_keeps_its_model_over_a_reload(bert):
    async def both(client):
        request = asyncio.create_task(client._send("POST", "/rerank", json={"query": "q", "documents": ["a"] * 200}))
        await asyncio.sleep(0)
        await client.life.reload()
        return await request

    with serving(bert, load=lambda settings: models(bert, "new")) as client:
        assert client.run(both(client)).status_code == 200
        assert client.post("/rerank", {"query": "q", "documents": ["a"]}).json()["model"] == "new"


def test_the_log_has_no_texts(bert, caplog):
    logger = logging.getLogger("plackett.serving.access")
    logger.propagate = True
    with serving(bert) as client, caplog.at_level(logging.INFO, logger=logger.name):
        client.post("/rerank", {"query": "geheim", "documents": ["secret"]}, headers={"X-Request-Id": "mine-1"})
    line = json.loads(caplog.records[-1].message)
    assert (line["id"], line["path"], line["status"], line["documents"]) == ("mine-1", "/rerank", 200, 1)
    assert "geheim" not in caplog.text
    assert "secret" not in caplog.text


def test_metrics_have_the_names_of_tei(client):
    client.post("/rerank", {"query": "q", "texts": ["a"]})
    client.post("/predict", {"inputs": ["q", "a"]})
    names = {line.split("{")[0].split(" ")[0] for line in client.get("/metrics").text.splitlines()}
    assert {
        "te_request_count",
        "te_request_success",
        "te_predict_count",
        "te_predict_duration_count",
        "te_request_duration_bucket",
        "te_queue_size",
        "te_batch_next_size_sum",
        "plackett_queue_tokens",
        "plackett_batch_fill_count",
    } <= names


def test_probes_and_refusals_are_not_in_the_durations(bert):
    with serving(bert) as client:
        for _ in range(3):
            client.post("/rerank", {"query": "q", "texts": ["a"]})
        client.post("/rerank", {"query": "q", "texts": []})
        client.service.loaded = None
        client.get("/ready")
        lines = client.get("/metrics").text.splitlines()
    assert [line for line in lines if re.match(r"te_request_(count|success|failure|duration_count)\b", line)] == [
        "te_request_duration_count 3.0",
        'te_request_count{method="/rerank"} 4.0',
        'te_request_success{method="/rerank"} 3.0',
        'te_request_failure{err="400"} 1.0',
    ]


def test_info_is_that_of_tei(client, bert):
    info = client.get("/info").json()
    assert "reranker" in info["model_type"]
    assert (info["max_input_length"], info["max_client_batch_size"]) == (96, 10_000)


def test_tokens(client):
    text = "Sort  a list!"
    [[first, *inner, last]] = client.post("/tokenize", {"inputs": text}).json()
    for token in (first, last):
        assert (token["special"], token["start"], token["stop"]) == (True, None, None)
    for token in inner:
        assert (token["special"], token["text"]) == (False, text[token["start"] : token["stop"]])
    assert "".join(token["text"] for token in inner) == "Sortalist!"
    ids = client.post("/tokenize", {"prompt": "sort a list", "add_special_tokens": False}).json()
    assert ids["count"] == len(ids["tokens"]) > 0


def test_tokens_are_those_of_the_named_model(bert):
    with serving(bert, "one", "two") as client:
        client.service.models.by_name["two"].reader.max_length = 7
        body = {"prompt": "sort a list", "model": "two"}
        assert client.post("/tokenize", body).json()["max_model_len"] == 7
        assert client.post("/tokenize", {**body, "model": 2}).status_code == 422


def test_the_document_describes_every_path(client):
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.")
    assert {path for dialect in DIALECTS.values() for path in dialect.paths} <= described["paths"].keys()
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_a_page_of_a_named_origin_may_send_its_key(bert):
    asked = {"Origin": "http://page", "Access-Control-Request-Method": "POST"}
    with serving(bert, cors_origins=("http://page",), api_key="sesame") as client:
        allowed = client.send(
            "OPTIONS", "/rerank", headers={**asked, "Access-Control-Request-Headers": "authorization"}
        )
        assert allowed.status_code == 200
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
        refused = client.post("/rerank", {}, headers={"Origin": "http://page"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://page")
        assert client.send("OPTIONS", "/rerank").status_code == 401


def test_other_origins_are_refused_unless_named(bert):
    for origins in ((), ("http://page",)):
        with serving(bert, cors_origins=origins) as client:
            reply = client.get("/health", headers={"Origin": "http://page"})
            assert ("access-control-allow-origin" in reply.headers) is bool(origins)
