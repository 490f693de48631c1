import asyncio
import threading

import pytest

from plackett.serving.aside import LARGE, aside
from serving_app import serving
from tiny import QUERY


@pytest.mark.parametrize(("characters", "here"), [(0, True), (LARGE - 1, True), (LARGE, False)])
def test_large_work_leaves_the_event_loop(characters, here):
    async def call():
        return await aside(characters, threading.get_ident) == threading.get_ident()

    assert asyncio.run(call()) is here


def test_a_large_request_is_read_and_written_in_threads(bert, monkeypatch):
    """The event loop neither parses the body, nor prepares the pairs, nor builds the reply."""
    threads = set()

    def noting(function):
        def call(*args, **kwargs):
            threads.add(threading.get_ident())
            return function(*args, **kwargs)

        return call

    from plackett.serving import replies, reranking, service

    monkeypatch.setattr(reranking, "read_json", noting(reranking.read_json))
    monkeypatch.setattr(replies, "write_json", noting(replies.write_json))
    monkeypatch.setattr(service, "_without_blanks", noting(service._without_blanks))
    with serving(bert) as client:
        reply = client.post("/rerank", {"query": QUERY, "documents": ["a list of words " * 10] * 1200})
    assert len(reply.json()["results"]) == 1200
    assert threads
    assert threading.get_ident() not in threads
