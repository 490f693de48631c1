"""The remote engine: the scores of the model behind the server, whatever its dialect."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from plackett import CheckpointError, CrossEncoder, RemoteError, SettingError
from plackett.engines.remote.engine import CONNECTIONS
from rerank_server import PATHS, length_of, running_server, scores_of
from tiny import DOCUMENTS, PAIRS, QUERY

pytestmark = pytest.mark.timeout(60)

LOGITS = ["tei", "tei-without-info", "vllm", "infinity", "llama.cpp"]
PROBABILITIES = ["cohere-v1", "cohere-v2", "jina", "tei-copy"]


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
        (lambda items: [items[0] | {"score": float("nan")}, *items[1:]], "the score nan, which is not a finite"),
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
        with pytest.raises(RemoteError, match=f"127.0.0.1:[0-9]+ returned {message}"):
            remote.score([("a", "b"), ("a", "c"), ("a", "d")])


def test_one_failure_ends_the_other_requests():
    pairs = [("query", f"document {number}") for number in range(400)]
    with running_server("tei", length_of, most=2) as server:
        remote = CrossEncoder(server.url)
        server.faults = [500]
        with pytest.raises(RemoteError, match="status 500"):
            remote.score(pairs)
        assert len(server.asked) < 150, "requests that had not begun are not made"


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


@pytest.mark.process
def test_the_client_is_imported_for_an_address_only():
    code = "import sys, plackett.cross_encoder, plackett.cli.group; print('httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
