"""Whatever JSON arrives, the server answers with JSON and does not blame itself."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plackett.dialects.requests import OPTIONS
from serving_app import serving

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)
ANY = st.recursive(
    SCALARS | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "mode", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)
TEXTS = st.lists(st.text(max_size=20) | st.just("\udfff"), max_size=4)
NAMES = [
    *OPTIONS,
    *("query", "documents", "texts", "input", "passages", "inputs", "prompt", "rank_fields", "source_sentence"),
    *("queries", "text_1", "text_2", "data_1", "data_2", "add_special_tokens", "strange\r\nname"),
]
BODIES = st.dictionaries(st.sampled_from(NAMES), ANY | TEXTS, max_size=8)
RANKING = st.builds(lambda body, query, texts: {**body, "query": query, "texts": texts}, BODIES, st.text(), TEXTS)
PATHS = [
    "/",
    "/rerank",
    "/v1/rerank",
    "/v1/reranking",
    "/v1/ranking",
    "/score",
    "/predict",
    "/invocations",
    "/tokenize",
]


@pytest.fixture(scope="module")
def client(bert):
    with serving(bert) as made:
        yield made


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), BODIES | RANKING | ANY)
def test_any_json_gets_an_answer_in_json(client, path, body):
    reply = client.send("POST", path, content=json.dumps(body).encode())
    assert reply.status_code in (200, 400, 404, 422), reply.text
    assert json.loads(reply.content, parse_constant=lambda name: pytest.fail(name)) is not None
    if reply.status_code != 200:
        assert len(reply.content) < 5000
