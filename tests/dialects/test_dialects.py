"""Properties of every dialect: both sides understand each other, and foreign JSON is read or refused."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plackett import RemoteError
from plackett.dialects import DIALECTS, Answer, Document, Problem, RerankRequest, Span, SpanOptions, recognise
from plackett.dialects.base import RAW
from plackett.dialects.cohere import COHERE
from plackett.dialects.requests import OPTIONS
from plackett.dialects.responses import LONGEST
from plackett.errors import RequestError
from wire import ANSWER, QUERY, TEXTS

ALL = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
# Dialects that only a path or a prefix selects, and those that their requests look like.
ALIKE = {
    **dict.fromkeys(["jina", "infinity", "vllm", "llama_cpp"], "cohere"),
    "isaacus": "tei",
    "deepinfra": "vllm_score",
}
QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
count = st.none() | st.integers(1, 10**6)
plain_requests = st.builds(
    RerankRequest,
    queries=texts.map(lambda text: (text,)),
    documents=st.lists(texts.map(Document), min_size=1, max_size=6).map(tuple),
    model=st.none() | texts,
    top_n=count,
    return_documents=st.booleans(),
    activation=st.sampled_from([None, RAW]),
    truncate=st.booleans(),
    truncation_side=st.sampled_from([None, "left", "right"]),
    max_tokens=count,
    max_tokens_per_doc=count,
    max_tokens_per_query=count,
    instruction=st.none() | texts,
    priority=st.none() | st.integers(),
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
names = st.sampled_from([*OPTIONS, "query", "documents", "texts", "input", "passages", "rank_fields", "inputs", "text"])
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=4), inner, max_size=6),
    max_leaves=12,
)
json_objects = st.dictionaries(names | st.text(max_size=4), json_values, max_size=8)


def over_the_wire(value):
    """What the other side reads of a value: strict JSON, encoded."""
    return json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())


# Both sides.


@QUICK
@given(request=plain_requests)
def test_a_server_reads_what_its_client_asks(request):
    for name, dialect in DIALECTS.items():
        body = over_the_wire(dialect.ask(request))
        read = dialect.parse(body)

        assert read.pairs == request.pairs, name
        assert read.raw == (name == "nim" or (request.raw and bool(dialect.raw))), name
        assert read.ignored == (), name
        assert dialect.ask(read) == body, f"{name}: every field that was sent has been read"


@QUICK
@given(logits=arrays(np.float32, st.integers(1, 6), elements=st.floats(-100, 100, width=32)), document=st.booleans())
def test_a_client_reads_what_its_server_replies(logits, document):
    request = RerankRequest.of("q", [f"document {index}" for index in range(len(logits))], return_documents=document)
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    for dialect, scores in itertools.product(DIALECTS.values(), (logits, probabilities)):
        body = over_the_wire(dialect.reply(request, Answer(logits, scores, model="tiny", tokens=3)))
        read = dialect.scores(body, len(logits)).astype(scores.dtype)
        np.testing.assert_array_equal(read, scores, dialect.name)


@ALL
def test_a_request_is_told_from_those_of_other_dialects(dialect):
    body = dialect.ask(RerankRequest.of(QUERY, TEXTS, top_n=2))
    assert recognise(body).name == ALIKE.get(dialect.name, dialect.name)


@ALL
def test_null_is_absent(dialect):
    body = dialect.ask(RerankRequest.of(QUERY, TEXTS))
    nulls = {name: None for name in [*OPTIONS, "rank_fields", "texts", "documents", "input", "passages", "inputs"]}
    assert dialect.parse(nulls | body) == dialect.parse(body)
    assert recognise(nulls | body) is recognise(body)


@ALL
def test_a_document_that_was_not_asked_for_is_absent(dialect):
    reply = json.dumps(dialect.reply(RerankRequest.of(QUERY, TEXTS), ANSWER))
    assert '"document"' not in reply
    assert TEXTS[0] not in reply
    assert "null" not in reply


def test_an_entry_is_all_that_a_dialect_needs(monkeypatch):
    """One that takes its texts as `candidates`."""

    def parse(body):
        return COHERE.parse({"query": body["query"], "documents": body["candidates"]})

    entry = replace(COHERE, name="mine", recognises=lambda body: "candidates" in body, parse=parse)
    monkeypatch.setitem(DIALECTS, "mine", entry)
    assert recognise({"query": "q", "candidates": ["a"]}) is entry
    assert recognise({"query": "q", "documents": ["a"]}) is COHERE


# Foreign JSON.


def outcome(error, function, *arguments):
    """What `function` returns, or the `error` that it raises."""
    try:
        return function(*arguments)
    except error as caught:
        return caught


@QUICK
@given(body=json_values | json_objects)
def test_any_json_is_read_or_refused(body):
    for dialect in DIALECTS.values():
        read = outcome(RequestError, dialect.parse, body)
        if isinstance(read, RequestError):
            assert read.status in {400, 422}
            assert len(str(read)) < 300
        else:
            assert len(read.pairs) == len(read.documents) > 0


@QUICK
@given(change=st.dictionaries(names, json_values, max_size=3))
def test_any_change_of_a_request_is_replied_to_or_refused(change):
    for dialect in DIALECTS.values():
        read = outcome(RequestError, dialect.parse, dialect.ask(RerankRequest.of(QUERY, TEXTS)) | change)
        if isinstance(read, RequestError):
            over_the_wire(dialect.error(Problem.of(read)))
        else:
            zeros = np.zeros(len(read.documents), np.float32)
            over_the_wire(dialect.reply(replace(read, return_documents=True), Answer(zeros, zeros, "tiny", tokens=1)))


@ALL
def test_an_error_never_holds_the_request(dialect):
    asked = dialect.ask(RerankRequest.of(QUERY, TEXTS))
    values = ("top-secret", ["top-secret", {"top-secret": "top-secret"}], {"top-secret": ["top-secret"]})
    for name, value in itertools.product([*OPTIONS, *asked, "rank_fields"], values):
        read = outcome(RequestError, dialect.parse, asked | {name: value})
        assert not isinstance(read, RequestError) or "top-secret" not in json.dumps(dialect.error(Problem.of(read)))


@QUICK
@given(body=json_values, size=st.integers(1, 4))
def test_any_response_is_read_or_refused(body, size):
    responses = (body, {"results": body}, {"data": body}, [{"index": 0, "score": body}])
    for dialect, response in itertools.product(DIALECTS.values(), responses):
        scores = outcome(RemoteError, dialect.scores, response, size)
        if isinstance(scores, RemoteError):
            assert len(str(scores)) < 200
        else:
            assert scores.shape == (size,)
            assert np.isfinite(scores).all()


@ALL
def test_an_error_is_short_and_a_string(dialect):
    body = over_the_wire(dialect.error(Problem(422, "x" * 10**6, field="documents[3]", id="e1")))
    assert len(json.dumps(body)) < 4 * LONGEST
    assert isinstance(body["error"] if isinstance(body["error"], str) else body["error"]["message"], str)


# What the server decides before a dialect is chosen.


@pytest.mark.parametrize("body", [{}, {"query": "q"}, {"documents": None}, {"nonsense": 1}])
def test_what_no_dialect_recognises_is_refused_by_cohere_s(body):
    dialect = recognise(body)
    assert dialect.name == "cohere"
    with pytest.raises(RequestError) as caught:
        dialect.parse(body)
    assert caught.value.field in {"query", "documents"}


def test_every_dialect_has_its_name_and_paths():
    for name, dialect in DIALECTS.items():
        assert dialect.name == name
        assert all(path.startswith("/") for path in dialect.paths)
        assert dialect.paths


def test_relevant_spans_are_a_list_of_records():
    answer = replace(ANSWER, spans={0: [Span(0, 4, 0.5)]})
    request = RerankRequest.of(QUERY, TEXTS, relevant_spans=SpanOptions())
    for name, dialect in DIALECTS.items():
        assert ("relevant_spans" in json.dumps(dialect.reply(request, answer))) is (
            name not in ("vllm_score", "sentence_similarity", "deepinfra")
        )
