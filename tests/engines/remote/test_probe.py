"""Finding out how a server is asked, and what its scores are."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett import CrossEncoder, RemoteError
from plackett.engines.remote.connection import Address, Connection, Reply
from plackett.engines.remote.probe import ANSWERS, find_server, gives_logits
from rerank_server import length_of, running_server

pytestmark = pytest.mark.timeout(60)


def test_a_server_without_a_reranker_is_an_error(tei, monkeypatch):
    with (
        running_server("jina", length_of) as server,
        pytest.raises(RemoteError, match=f"{server.url}/other has no /rerank"),
    ):
        CrossEncoder(f"{server.url}/other/rerank")
    info = {"model_type": {"classifier": {}}, "model_id": "x"}
    monkeypatch.setattr("rerank_server.Handler.info", lambda self: info)
    with pytest.raises(RemoteError, match="classifier"):
        CrossEncoder(tei.url)


def test_a_model_that_must_be_named_is_asked_for():
    with (
        running_server("cohere-v2", length_of) as server,
        pytest.raises(RemoteError, match=r"#NAME \(it says: model is required\)"),
    ):
        CrossEncoder(server.url)


# What a score is.


def test_saturation_makes_ties_that_keep_the_order_of_the_input():
    with running_server(
        "jina", lambda pairs: [500.0 if "yes" in document else -2.0 for _, document in pairs]
    ) as server:
        ranked = CrossEncoder(server.url).rank("q", ["no", "yes 1", "yes 2"])
    assert [item["corpus_id"] for item in ranked] == [1, 2, 0]
    assert [item["score"] for item in ranked][:2] == [1.0, 1.0]


def test_scores_that_leave_the_scale_are_an_error():
    with running_server("jina", length_of) as server:
        remote = CrossEncoder(server.url)
        server.spoil = lambda items: [item | {"relevance_score": 1.5} for item in items]
        with pytest.raises(RemoteError, match=r"the score 1\.5, although"):
            remote.score([("a", "b")])


def test_logits_are_told_from_probabilities():
    """Over many models of random logits, and servers that compute each answer in half precision anew."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        logits = rng.normal(rng.normal(0, 4), 3, len(ANSWERS))
        noisy = logits * (1 + rng.normal(0, 0.002, len(ANSWERS)))
        sigmoids, again = (1 / (1 + np.exp(-values)) for values in (logits, noisy))
        assert gives_logits(logits, again), "the words were heard"
        assert gives_logits(logits, noisy) == bool(logits.min() < 0 or logits.max() > 1), "always raw"
        assert not gives_logits(sigmoids, again), "the words were not heard"


def test_llama_cpp_is_known_by_its_name_where_its_logits_could_be_probabilities():
    with running_server("llama.cpp", lambda pairs: [0.25] * len(pairs)) as server:
        assert CrossEncoder(server.url).score([("a", "b")])[0, 0] == 0.25


# Foreign replies.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["index", "score", "relevance_score", "reranker"]), inner, max_size=3)
    ),
    max_leaves=8,
)
bodies = (
    json_values
    | st.dictionaries(st.sampled_from(["results", "data", "model_type", "max_client_batch_size"]), json_values)
    | st.lists(st.floats(-1, 2), min_size=3, max_size=3).map(
        lambda scores: [{"index": index, "score": score} for index, score in enumerate(scores)]
    )
)
replies = st.builds(
    Reply,
    status=st.sampled_from([200, 200, 200, 307, 400, 404, 422, 429, 500]),
    body=bodies,
    says=st.sampled_from(["", "missing field `texts`", "model is required"]),
    server=st.sampled_from(["", "llama.cpp"]),
    location=st.just(""),
    wait=st.just(0.0),
)


@given(replies=st.lists(replies, min_size=1, max_size=8))
def test_any_replies_are_a_server_or_one_clear_error(replies):
    """The replies are given in turn, over and over."""
    turn = itertools.cycle(replies)
    scripted = Connection(Address.parse("http://host"))
    scripted._send = lambda *question: next(turn)
    try:
        server = find_server(scripted)
    except RemoteError as error:
        assert "host" in str(error)  # noqa: PT017
    else:
        assert server.most_texts > 0
        assert server.question("q", ["a"])["query"] == "q"
