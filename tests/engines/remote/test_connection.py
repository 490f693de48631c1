"""One server over HTTP: pauses that end, one clear error for each refusal, and a key that goes nowhere else."""

import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett import CrossEncoder, RemoteError, SettingError
from plackett.engines.remote import connection
from plackett.engines.remote.connection import Address, Connection, Limits
from rerank_server import length_of, running_server

pytestmark = pytest.mark.timeout(60)


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
        (429, "is overloaded"),
        ((429, {"Retry-After": "3600"}, "later"), r"is overloaded.*\(it says: later\)"),
        ((503, {}, '{"error": "loading", "error_type": "Unhealthy"}'), r"status 503\) \(it says: loading\)"),
        ("drop", "the connection"),
        ((500, {}, '{"error": {"message": "out of memory"}}'), r"status 500\) \(it says: out of memory\)"),
        ((424, {}, '{"error": "score is NaN", "error_type": "Backend"}'), "status 424.*score is NaN"),
        ((413, {}, "length limit exceeded"), "shorten the documents"),
        ((422, {}, '{"detail": [{"msg": "too long"}]}'), r"status 422\) \(it says: .*too long"),
        ((401, {}, ""), "PLACKETT_API_KEY"),
        ((403, {}, "no"), "PLACKETT_API_KEY"),
        ((404, {}, "no"), "has no /v2/rerank, /v1/rerank, /rerank"),
        ((200, {}, "<html>welcome</html>"), "no list of scores; is it a rerank server"),
        ((200, {}, ""), "no list of scores"),
        ((200, {}, "[" * 100_000), "no list of scores"),
        ((200, {"Content-Encoding": "gzip"}, "not gzip"), "gzip|decod|header"),
        ((200, {"Content-Length": "5000", "Connection": "close"}, "[{"), "the connection"),
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


def test_a_slow_server_is_given_up():
    with running_server("tei", length_of) as server:
        server.faults = [("slow", 0.3)]
        asked = Connection(Address.parse(server.url), Limits(answer=0.1))
        with pytest.raises(RemoteError, match="did not respond within"):
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
        with pytest.raises(RemoteError, match="did not finish its response within"):
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


# The key, and where it goes.


def test_the_key_is_sent_and_never_shown(monkeypatch, caplog):
    monkeypatch.setenv(connection.KEY, " top-secret\n")
    with caplog.at_level(logging.DEBUG), running_server("tei", length_of) as server:
        server.key = "top-secret"
        remote = CrossEncoder(server.url)
        remote.score([("a", "b")])
        assert server.asked[0][2]["Authorization"] == "Bearer top-secret"
        server.key = "another"
        with pytest.raises(RemoteError, match=r"PLACKETT_API_KEY.*\[key\]") as caught:
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
        with pytest.raises(RemoteError, match=f"{other.url}/rerank;") as caught:
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
        ("http://me:secret@localhost", "localhost .* password"),
    ],
)
def test_what_is_no_address_is_refused(url, message):
    with pytest.raises(SettingError, match=message) as caught:
        CrossEncoder(url)
    assert "secret" not in str(caught.value)


def test_a_key_that_cannot_be_one_is_refused(monkeypatch, tei):
    monkeypatch.setenv(connection.KEY, "schlüssel")
    with pytest.raises(SettingError, match="PLACKETT_API_KEY") as caught:
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


# Foreign text.


@given(st.one_of(st.text(), st.text().map("http://".__add__), st.from_regex(r"https?://[^/]*(/\w*)*(#.*)?")))
def test_any_text_is_an_address_or_refused(url):
    try:
        address = Address.parse(url)
    except SettingError:
        return
    assert address.host
    assert address.paths
    assert address.url("/x").startswith(f"{address.base}/x")


@given(st.text() | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(format_datetime))
def test_any_retry_after_is_a_pause(header):
    assert connection._pause(header) >= 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["message", "error", "detail"]), inner),
    ),
    st.text(),
)
def test_any_error_is_quoted_in_one_short_line(body, text):
    words = connection._message(body, text)
    assert len(words) <= connection.SHOWN + 1
    assert len(words.splitlines()) <= 1
