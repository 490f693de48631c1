"""A server as a process of its own, on loopback, over raw sockets: what only the transport shows."""

import json
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

import plackett
from server_process import started

pytestmark = pytest.mark.process

QUERY = "what do cats eat"
BODY = {"query": QUERY, "documents": ["steel prices", "cats eat mice", "a train"]}
HEAVY = {"query": QUERY, "documents": [f"cats eat {number} mice " * 60 for number in range(400)]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = ("--header-timeout", "1", "--body-timeout", "2", "--max-body-bytes", "4000000")
    with started(tmp_path_factory.mktemp("server"), *limits) as made:
        yield made


def received(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def head(length, path="/rerank"):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n".encode()


def test_the_scores_are_those_of_the_library_without_torch(server):
    status, reply = server.request("POST", "/v1/rerank", BODY)
    logits = plackett.CrossEncoder().score([(QUERY, text) for text in BODY["documents"]])[:, 0].astype(np.float64)
    scores = [item["relevance_score"] for item in sorted(reply["results"], key=lambda item: item["index"])]
    assert status == 200
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_the_remote_engine_reads_it(server):
    pairs = [(QUERY, text) for text in BODY["documents"]]
    remote = plackett.CrossEncoder(f"http://127.0.0.1:{server.port}")
    np.testing.assert_allclose(remote.score(pairs), plackett.CrossEncoder().score(pairs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sent", [b"POST /rerank HTT", head(10), head(10) + b'\r\n{"q'])
def test_half_a_request_is_closed(server, sent):
    with server.connect() as connection:
        connection.sendall(sent)
        assert b" 408 " in received(connection).split(b"\r\n")[0]


def test_a_connection_that_sends_nothing_is_closed(server):
    with server.connect() as connection:
        assert received(connection) == b""


def test_bytes_one_by_one_give_no_more_time(server):
    with server.connect() as connection:
        connection.sendall(b"POST /rerank HTTP/1.1\r\n")
        stop = threading.Event()

        def drip():
            try:
                while not stop.wait(0.1):
                    connection.sendall(b"X-A: b\r\n")
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert b" 408 " in received(connection)
        finally:
            stop.set()
            dripping.join()


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
def test_a_head_that_is_too_large_is_refused(server, end):
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + end)
        assert b" 431 " in received(connection).split(b"\r\n")[0]


@pytest.mark.parametrize("sent", [b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_not_http_is_refused(server, sent):
    with server.connect() as connection:
        connection.sendall(sent)
        assert b" 400 " in received(connection).split(b"\r\n")[0]


def test_a_length_beside_chunks_is_refused(server):
    with server.connect() as connection:
        connection.sendall(head(5) + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        reply = received(connection)
        assert b" 400 " in reply.split(b"\r\n")[0]


def test_a_body_that_is_too_large_is_refused_whether_announced_or_not(server):
    size = 6_000_000
    chunked = b"POST /rerank HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start, body in (
        (head(size) + b"\r\n", b"a" * size),
        (chunked, b"".join(b"10000\r\n" + b"a" * 65536 + b"\r\n" for _ in range(90)) + b"0\r\n\r\n"),
    ):
        with server.connect() as connection:
            connection.sendall(start + body)
            assert b" 413 " in connection.recv(65536).split(b"\r\n")[0]


def test_a_client_that_waits_for_permission_gets_a_refusal_instead(server):
    with server.connect() as connection:
        connection.sendall(head(6_000_000) + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_closed_its_sending_side_gets_its_reply(server):
    body = json.dumps(HEAVY | {"documents": HEAVY["documents"][:40]}).encode()
    with server.connect() as connection:
        connection.sendall(head(len(body)) + b"\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        reply = received(connection)
    assert b"HTTP/1.1 200 OK" in reply
    assert len(json.loads(reply.rpartition(b"\r\n\r\n")[2])["results"]) == 40


@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_requests_sent_at_once_get_replies_after_the_sending_side_is_closed(server, count):
    body = json.dumps(BODY).encode()
    with server.connect() as connection:
        connection.sendall((head(len(body)) + b"\r\n" + body) * count)
        connection.shutdown(socket.SHUT_WR)
        assert received(connection).count(b"HTTP/1.1 200 OK") == count


def test_the_target_of_a_request_may_be_a_url(server):
    with server.connect() as connection:
        connection.sendall(b"GET HTTP://127.0.0.1:1/tei/health?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert received(connection).endswith(b'{"status":"ok"}')


def test_work_of_clients_that_left_is_dropped(server):
    body = json.dumps(HEAVY | {"documents": HEAVY["documents"][:30]}).encode()
    left = server.metric("plackett_left")
    for _ in range(3):  # which the queue has room for
        with server.connect() as connection:
            connection.sendall(head(len(body)) + b"\r\n" + body)
    server.wait_until(lambda: server.metric("plackett_left") == left + 3)
    assert server.metric("plackett_queue_tokens") == 0
    assert server.request("POST", "/rerank", BODY)[0] == 200


def test_requests_at_once_get_their_own_scores(server):
    expected = {
        word: server.request("POST", "/rerank", {"query": word, "texts": ["cats", "mice"]}) for word in "abcdef"
    }
    found = {word: [] for word in expected}

    def ask(word):
        for _ in range(4):
            found[word].append(server.request("POST", "/rerank", {"query": word, "texts": ["cats", "mice"]}))

    threads = [threading.Thread(target=ask, args=(word,)) for word in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for word, replies in found.items():
        scores = [[item["score"] for item in reply[1]] for reply in replies]
        np.testing.assert_allclose(scores, [[item["score"] for item in expected[word][1]]] * 4, rtol=1e-5)


def test_sigterm_finishes_what_was_accepted_and_exits_with_0(tmp_path):
    """Many documents in small batches: on any machine, most are left when the signal arrives."""
    limits = ("--drain-timeout", "250", "--request-timeout", "250", "--batch-tokens", "1")
    with started(tmp_path, *limits) as server:
        replies = []
        body = {"query": QUERY, "documents": [f"cats eat {number} mice" for number in range(1500)]}
        asking = threading.Thread(target=lambda: replies.append(server.request("POST", "/rerank", body)))
        asking.start()
        server.wait_until(lambda: server.metric("te_queue_size") == 1 or replies)
        server.process.send_signal(signal.SIGTERM)
        asking.join()
        assert server.process.wait(250) == 0
        [(status, reply)] = replies
        assert (status, len(reply["results"])) == (200, 1500)


def test_draining_ends_at_its_limit(tmp_path):
    with started(tmp_path, "--drain-timeout", "0") as server:
        body = json.dumps(HEAVY).encode()
        with server.connect() as connection:
            connection.sendall(head(len(body)) + b"\r\n" + body)
            server.wait_until(lambda: server.metric("te_queue_size") == 1)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(60) == 0
            reply = received(connection)
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in reply


def test_sighup_loads_again_while_requests_are_served(tmp_path):
    with started(tmp_path) as server:
        server.process.send_signal(signal.SIGHUP)
        while not server.metric("plackett_reloads"):
            assert server.request("POST", "/rerank", BODY)[0] == 200
        assert server.request("POST", "/rerank", BODY)[0] == 200


def test_a_model_that_is_not_there_ends_the_server_with_one_line(tmp_path):
    command = [sys.executable, "-m", "plackett", "serve", "--port", "0", "--model", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "none" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_address_in_use_is_one_line(server):
    command = [sys.executable, "-m", "plackett", "serve", "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert str(server.port) in done.stderr
    assert len(done.stderr.splitlines()) == 1
