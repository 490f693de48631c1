"""The remote engine: the scores of the model behind the server, whatever it speaks; each refusal is one clear error."""

import logging
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest

from plackett import CheckpointError, CrossEncoder, RemoteError, SettingError
from plackett.engines.remote import connection
from plackett.engines.remote.connection import Address, Connection, Limits
from plackett.engines.remote.engine import CONNECTIONS
from plackett.engines.remote.probe import ANSWERS, gives_logits
from rerank_server import PATHS, running_server
from tiny import DOCUMENTS, PAIRS, QUERY

pytestmark = pytest.mark.timeout(60)

LOGITS = ["tei", "tei-without-info", "vllm", "infinity", "llama.cpp"]
PROBABILITIES = ["cohere-v1", "cohere-v2", "jina", "tei-copy"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No key, no proxy, and no pauses."""
    for name in [connection.KEY, *(name for name in os.environ if name.lower().endswith("_proxy"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection, "LIMITS", Limits(sleep=lambda seconds: None))


@pytest.fixture(scope="module")
def local(bert):
    return CrossEncoder(bert)


@pytest.fixture
def tei(local):
    with running_server("tei", scores_of(local)) as server:
        yield server


def scores_of(encoder):
    return lambda pairs: encoder.score(pairs)[:, 0]


def length_of(pairs):
    """A stand-in for a model, that tells texts apart."""
    return [(sum(map(ord, query + document)) % 997 - 500) / 100 for query, document in pairs]


def address(server):
    return server.url + ("#tiny" if server.kind == "cohere-v2" else "")


def test_every_kind_of_server_is_tested():
    assert sorted(LOGITS + PROBABILITIES) == sorted(PATHS)


@pytest.mark.parametrize(
    ("kind", "of_logits", "of_scores"),
    [*((kind, 1e-5, 1e-5) for kind in LOGITS), *((kind, 1e-3, 1e-6) for kind in PROBABILITIES)],
)
def test_the_scores_are_those_of_the_model_behind_the_server(local, kind, of_logits, of_scores):
    """Logits that are read back from probabilities lose digits, their sigmoids do not."""
    with running_server(kind, scores_of(local)) as server:
        remote = CrossEncoder(address(server))
        np.testing.assert_allclose(remote.score(PAIRS), local.score(PAIRS), atol=of_logits)
        np.testing.assert_allclose(remote.predict(PAIRS), local.predict(PAIRS), atol=of_scores)


@pytest.mark.parametrize("kind", PATHS)
def test_a_ranking_is_that_of_the_model(local, kind):
    with running_server(kind, scores_of(local)) as server:
        order = [item["corpus_id"] for item in CrossEncoder(address(server)).rank(QUERY, DOCUMENTS)]
    assert order == [item["corpus_id"] for item in local.rank(QUERY, DOCUMENTS)]


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v1", "/v2/", ""])
def test_a_path_is_taken_as_it_is(path):
    with running_server("vllm", length_of) as server:
        remote = CrossEncoder(f"{server.url}{path}?tenant=5")
        remote.score([("a", "b")])
        asked = {asked_at for asked_at, _, _ in server.asked}
    expected = path.rstrip("/") if path.endswith("rerank") else f"{path.rstrip('/')}/rerank" if path else "/v2/rerank"
    assert asked == {f"{expected}?tenant=5"}


def test_tei_is_asked_for_raw_scores_of_texts_that_it_may_cut(tei):
    CrossEncoder(tei.url).score([("a", "b")])
    [(path, body, _)] = tei.asked
    assert (path, body) == ("/rerank", {"query": "a", "texts": ["b"], "raw_scores": True, "truncate": True})


def test_a_model_is_named_after_the_address():
    with running_server("vllm", length_of) as server:
        CrossEncoder(f"{server.url}#org/name").score([("a", "b")])
        assert {body["model"] for _, body, _ in server.asked} == {"org/name"}


@pytest.mark.parametrize(("most", "sizes"), [(7, [7, 7, 6]), (32, [20])])
def test_requests_hold_as_many_texts_as_the_server_takes(most, sizes):
    pairs = [("query", f"document {number}") for number in range(20)]
    with running_server("tei", length_of, most=most) as server:
        remote = CrossEncoder(server.url)
        np.testing.assert_allclose(remote.score(pairs)[:, 0], length_of(pairs), atol=1e-6)
        assert sorted(server.sizes, reverse=True) == sizes


def test_large_texts_are_asked_for_in_several_requests():
    pairs = [("query", "x" * 300_000 + str(number)) for number in range(5)]
    with running_server("tei", length_of) as server:
        np.testing.assert_allclose(CrossEncoder(server.url).score(pairs)[:, 0], length_of(pairs), atol=1e-6)
        assert sorted(server.sizes) == [2, 3]


def test_pairs_of_a_query_are_asked_together_whatever_their_order():
    pairs = [(f"query {number % 3}", f"document {number}") for number in range(30)]
    with running_server("tei", length_of) as server:
        np.testing.assert_allclose(CrossEncoder(server.url).score(pairs)[:, 0], length_of(pairs), atol=1e-6)
        assert sorted((body["query"], len(body["texts"])) for _, body, _ in server.asked) == [
            ("query 0", 10),
            ("query 1", 10),
            ("query 2", 10),
        ]


def test_many_queries_are_ranked_in_one_call(tei, local):
    lists = [DOCUMENTS, DOCUMENTS[:3], DOCUMENTS[2:]]
    ranked = CrossEncoder(tei.url).rank_many([QUERY, "parser", "words"], lists)
    for of_remote, of_local in zip(ranked, local.rank_many([QUERY, "parser", "words"], lists), strict=True):
        assert [item["corpus_id"] for item in of_remote] == [item["corpus_id"] for item in of_local]


def test_threads_share_one_encoder_and_its_connections():
    pairs = [(f"query {number % 5}", f"document {number}") for number in range(100)]
    with running_server("tei", length_of) as server:
        remote = CrossEncoder(server.url)
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _: remote.score(pairs)[:, 0], range(16)):
                np.testing.assert_allclose(found, length_of(pairs), atol=1e-6)
        assert len(server.asked) == 16 * 5
        assert len(server.connections) <= CONNECTIONS, "few at a time, kept and used again"


def test_nothing_is_asked_twice_where_nothing_failed(tei):
    CrossEncoder(tei.url).score(PAIRS)
    assert len(tei.asked) == len({query for query, _ in PAIRS})


# What goes wrong for a while.


@pytest.mark.parametrize("fault", ["drop", 429, 502, 503, 504, (429, {"Retry-After": "0"}, "busy")], ids=str)
def test_what_fails_for_a_while_is_asked_again(fault):
    with running_server("tei", length_of) as server:
        remote = CrossEncoder(server.url)
        server.faults = [fault] * 3
        np.testing.assert_allclose(remote.score([("a", "b")])[:, 0], length_of([("a", "b")]), atol=1e-6)
        assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("retry_after", "naps", "status"),
    [
        ([None, None, None, None], [0.5, 1, 2, 4], 200),
        ([None, None, None, None, None], [0.5, 1, 2, 4], 429),
        (["7", "0.1", "0"], [7, 1, 2], 200),
        (["30", "30", "1"], [30, 30], 429),  # the third pause, 2 s, would be beyond 60 s
        (["30", "28", "0"], [30, 28, 2], 200),
        (["61"], [], 429),
    ],
    ids=str,
)
def test_pauses_are_those_that_the_server_asks_for_and_end(retry_after, naps, status):
    taken: list[float] = []
    with running_server("tei", length_of) as server:
        server.faults = [(429, {"Retry-After": pause} if pause else {}, "busy") for pause in retry_after]
        reply = Connection(Address.parse(server.url), Limits(sleep=taken.append)).post(
            "/rerank", {"query": "a", "texts": ["b"]}
        )
    assert (taken, reply.status) == (naps, status)


def test_retry_after_is_a_number_or_a_date():
    now = datetime.now(UTC)
    assert connection._pause("7") == 7
    assert 27 < connection._pause(format_datetime(now + timedelta(seconds=30), usegmt=True)) <= 30
    assert connection._pause(format_datetime(now - timedelta(seconds=30))) == 0
    assert connection._pause("soon") == connection._pause("") == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (429, "is overloaded, and stayed so"),
        ((429, {"Retry-After": "3600"}, "later"), r"is overloaded.*\(it says: later\)"),
        ((503, {}, '{"error": "loading", "error_type": "Unhealthy"}'), r"status 503\) \(it says: loading\)"),
        ("drop", "drops the connection"),
        ((500, {}, '{"error": {"message": "out of memory"}}'), r"status 500\) \(it says: out of memory\)"),
        ((424, {}, '{"error": "score is NaN", "error_type": "Backend"}'), "status 424.*score is NaN"),
        ((413, {}, "length limit exceeded"), "takes no request of that size"),
        ((422, {}, '{"detail": [{"msg": "too long"}]}'), r"status 422\) \(it says: .*too long"),
        ((401, {}, ""), "wants a key: set PLACKETT_API_KEY"),
        ((403, {}, "no"), "wants a key: set PLACKETT_API_KEY"),
        ((404, {}, "no"), "has no /v2/rerank, /v1/rerank, /rerank: name the whole address"),
        ((200, {}, "<html>welcome</html>"), "answered no list of scores; is it a rerank server"),
        ((200, {}, ""), "answered no list of scores"),
        ((200, {}, "[" * 100_000), "answered no list of scores"),
        ((200, {"Content-Encoding": "gzip"}, "not gzip"), "could not be asked"),
        ((200, {"Content-Length": "5000", "Connection": "close"}, "[{"), "drops the connection"),
    ],
    ids=str,
)
def test_a_refusal_is_one_clear_error(fault, message):
    with running_server("tei", length_of) as server:
        remote = CrossEncoder(server.url)
        server.faults = [fault] * 20
        with pytest.raises(RemoteError, match=message) as caught:
            remote.score([("a", "b")])
        assert "127.0.0.1" in str(caught.value)
        assert len(server.asked) <= 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda items: items[1:], "2 scores for 3 documents"),
        (lambda items: [*items, items[0]], "4 scores for 3 documents"),
        (lambda items: [items[0], items[0], items[2]], "the index . twice"),
        (lambda items: [items[0] | {"index": 3}, *items[1:]], "the index 3 for 3 documents"),
        (lambda items: [items[0] | {"index": -1}, *items[1:]], "the index -1 for 3 documents"),
        (lambda items: [items[0] | {"index": "0"}, *items[1:]], "the index '0' for 3 documents"),
        (lambda items: [items[0] | {"index": True}, *items[1:]], "the index True for 3 documents"),
        (lambda items: [items[0] | {"score": float("nan")}, *items[1:]], "the score nan, which is no finite number"),
        (lambda items: [items[0] | {"score": float("inf")}, *items[1:]], "the score inf"),
        (lambda items: [items[0] | {"score": None}, *items[1:]], "the score None"),
        (lambda items: [items[0] | {"score": "0.5"}, *items[1:]], r"the score 0\.5, which is no"),
        (lambda items: [items[0] | {"score": 10**400}, *items[1:]], "the score 10000"),
        (lambda items: {"results": {}}, "no list of scores"),
        (lambda items: {"error": "overloaded"}, "no list of scores"),
        (lambda items: ["a", "b", "c"], "no list of scores"),
    ],
)
def test_nonsense_is_one_clear_error(spoil, message):
    with running_server("tei", length_of) as server:
        remote = CrossEncoder(server.url)
        server.spoil = spoil
        with pytest.raises(RemoteError, match=f"127.0.0.1:[0-9]+ answered {message}"):
            remote.score([("a", "b"), ("a", "c"), ("a", "d")])


def test_one_failure_ends_the_other_requests():
    pairs = [("query", f"document {number}") for number in range(400)]
    with running_server("tei", length_of, most=2) as server:
        remote = CrossEncoder(server.url)
        server.faults = [500]
        with pytest.raises(RemoteError, match="status 500"):
            remote.score(pairs)
        assert len(server.asked) < 150, "requests that had not begun are not made"


def test_a_slow_server_is_given_up():
    with running_server("tei", length_of) as server:
        server.faults = [("slow", 0.3)]
        asked = Connection(Address.parse(server.url), Limits(answer=0.1))
        with pytest.raises(RemoteError, match="did not answer within"):
            asked.post("/rerank", {"query": "a", "texts": ["b"]})


def test_a_server_that_drips_or_never_ends_is_given_up():
    """Each piece comes in time, the whole does not."""
    stop = threading.Event()

    def drip(listener):
        talk, _ = listener.accept()
        with talk:
            talk.recv(65536)
            talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not stop.wait(0.02):
                try:
                    talk.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        with pytest.raises(RemoteError, match="did not finish its answer within"):
            Connection(Address.parse(f"http://127.0.0.1:{listener.getsockname()[1]}"), Limits(answer=0.2)).get("/")
        stop.set()
        thread.join()


def test_an_endless_answer_is_given_up():
    with running_server("tei", length_of) as server:
        server.faults = [(200, {}, " " * 5000)]
        with pytest.raises(RemoteError, match="more than 1,000 bytes"):
            Connection(Address.parse(server.url), Limits(largest=1000)).post("/rerank", {})


def test_a_server_that_is_not_there_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(RemoteError, match=f"127.0.0.1:{port} cannot be reached"):
        CrossEncoder(f"http://127.0.0.1:{port}")


def test_a_server_without_a_reranker_is_an_error(tei, monkeypatch):
    with (
        running_server("jina", length_of) as server,
        pytest.raises(RemoteError, match=f"{server.url}/other has no /rerank: name the whole address"),
    ):
        CrossEncoder(f"{server.url}/other/rerank")
    info = {"model_type": {"classifier": {}}, "model_id": "x"}
    monkeypatch.setattr("rerank_server.Handler.info", lambda self: info)
    with pytest.raises(RemoteError, match="serves a model of type classifier, which is no reranker"):
        CrossEncoder(tei.url)


def test_a_model_that_must_be_named_is_asked_for():
    with (
        running_server("cohere-v2", length_of) as server,
        pytest.raises(RemoteError, match=r"put it at the end of the address: #NAME \(it says: model is required\)"),
    ):
        CrossEncoder(server.url)


# The key, and where it goes.


def test_the_key_is_sent_and_never_shown(monkeypatch, caplog):
    monkeypatch.setenv(connection.KEY, " top-secret\n")
    with caplog.at_level(logging.DEBUG), running_server("tei", length_of) as server:
        server.key = "top-secret"
        remote = CrossEncoder(server.url)
        remote.score([("a", "b")])
        assert server.asked[0][2]["Authorization"] == "Bearer top-secret"
        server.key = "another"
        with pytest.raises(RemoteError, match=r"does not take the key in PLACKETT_API_KEY.*\[key\]") as caught:
            remote.score([("a", "b")])
    assert "top-secret" not in f"{caught.value}{remote.fingerprint()}{remote.model}{caplog.text}"


def test_no_key_is_no_header(tei):
    CrossEncoder(tei.url).score([("a", "b")])
    assert "Authorization" not in tei.asked[0][2]


def test_a_redirect_is_not_followed(monkeypatch):
    monkeypatch.setenv(connection.KEY, "top-secret")
    with running_server("tei", length_of) as other, running_server("tei", length_of) as server:
        remote = CrossEncoder(server.url)
        server.faults = [(307, {"Location": f"{other.url}/rerank?key=top-secret"}, "")]
        with pytest.raises(
            RemoteError, match=f"sends on to {other.url}/rerank; where you trust that, name it"
        ) as caught:
            remote.score([("a", "b")])
        assert other.asked == []
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://", "is not an address"),
        ("https:///rerank", "is not an address"),
        ("http://localhost:port", "is not an address"),
        ("http://[::1", "is not an address"),
        ("http://me:secret@localhost", "the address of localhost holds a password"),
    ],
)
def test_what_is_no_address_is_refused(url, message):
    with pytest.raises(SettingError, match=message) as caught:
        CrossEncoder(url)
    assert "secret" not in str(caught.value)


def test_a_key_that_cannot_be_one_is_refused(monkeypatch, tei):
    monkeypatch.setenv(connection.KEY, "schlüssel")
    with pytest.raises(SettingError, match="PLACKETT_API_KEY holds characters that no key has") as caught:
        CrossEncoder(tei.url)
    assert "schlüssel" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "base", "paths", "model"),
    [
        ("http://h:1", "http://h:1", ("/v2/rerank", "/v1/rerank", "/rerank"), None),
        ("http://h/tei/", "http://h/tei", ("/v2/rerank", "/v1/rerank", "/rerank"), None),
        ("https://h/v1#org/m@r", "https://h/v1", ("/rerank",), "org/m@r"),
        ("https://h/v3/rerank", "https://h/v3", ("/rerank",), None),
        ("http://[::1]:80/reranking", "http://[::1]:80", ("/reranking",), None),
    ],
)
def test_an_address_is_taken_apart(url, base, paths, model):
    found = Address.parse(url)
    assert (found.base, found.paths, found.model) == (base, paths, model)


# What a server decides itself, and what it has not.


@pytest.mark.parametrize(
    "setting",
    [
        {"engine": "torch"},
        {"device": "cpu"},
        {"precision": "int8"},
        {"threads": 1},
        {"max_length": 5},
        {"revision": "main"},
        {"local_files_only": True},
        {"allow_pickle": True},
        {"long_documents": "windows"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_a_setting_of_the_server_is_refused(tei, setting):
    with pytest.raises(SettingError, match=f"{next(iter(setting))} .*{tei.url}"):
        CrossEncoder(tei.url, **setting)


def test_the_sentences_of_a_whole_document_are_explained(tei, local):
    text = "The parser reads options. It sorts a list of words."
    [ours], [theirs] = (
        encoder.rank(QUERY, [text], return_windows=True, explain=True) for encoder in (CrossEncoder(tei.url), local)
    )
    assert ours["window"] == theirs["window"] == {"start": 0, "end": len(text)}
    assert [part["text"] for part in ours["explanation"]] == [part["text"] for part in theirs["explanation"]]
    np.testing.assert_allclose(
        *([part["contribution"] for part in item["explanation"]] for item in (ours, theirs)), atol=1e-4
    )


def test_the_activation_is_this_side_s(tei, local):
    assert CrossEncoder(tei.url).model.activation == "sigmoid"
    raw = CrossEncoder(tei.url, activation="identity").predict(PAIRS)
    np.testing.assert_allclose(raw, local.score(PAIRS)[:, 0], atol=1e-5)
    with pytest.raises(SettingError, match="unknown activation"):
        CrossEncoder(tei.url, activation="nonsense")


def test_there_is_nothing_to_save(tei, tmp_path):
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1:[0-9]+ is a server"):
        CrossEncoder(tei.url).save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_fingerprint_tells_models_apart(tei, monkeypatch):
    before = CrossEncoder(tei.url).fingerprint()
    assert before == CrossEncoder(tei.url).fingerprint()
    info = {"model_type": {"reranker": {}}, "model_id": "another"}
    monkeypatch.setattr("rerank_server.Handler.info", lambda self: info)
    assert before != CrossEncoder(tei.url).fingerprint()


def test_the_command_takes_an_address(tei, run, local):
    code, out, _ = run("rank", QUERY, *DOCUMENTS, "--model", tei.url, "--top-k", 1)
    [best] = local.rank(QUERY, DOCUMENTS, top_k=1, return_documents=True)
    assert (code, out.split()[0]) == (0, f"{best['score']:.4f}")
    tei.faults = [500]
    code, out, err = run("rank", "q", "d", "--model", tei.url)
    assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_the_client_is_imported_for_an_address_only():
    code = "import sys, plackett, plackett.cli; print('httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


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
        with pytest.raises(RemoteError, match=r"the score 1\.5, though its scores lay between 0 and 1 so far"):
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
