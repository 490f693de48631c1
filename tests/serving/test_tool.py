"""`plackett mcp`, called by the official client."""

import os
import sys

import anyio
import numpy as np
import pytest

import plackett

mcp = pytest.importorskip("mcp")
pytestmark = [pytest.mark.peer, pytest.mark.process]

QUERY = "what do cats eat"
DOCUMENTS = ["steel prices rose", "cats eat mice and birds", "the train is late"]


def called(*calls):
    """The tools of the server, and the results of calls, in one session."""
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    async def session():
        command = StdioServerParameters(command=sys.executable, args=["-m", "plackett", "mcp"], env=environment())
        async with Client(stdio_client(command)) as client:
            return (await client.list_tools()).tools, [await client.call_tool("rerank", call) for call in calls]

    return anyio.run(session)


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("PLACKETT_")}


def test_the_official_client_ranks_documents():
    [tool], [whole, first, wrong] = called(
        {"query": QUERY, "documents": DOCUMENTS},
        {"query": QUERY, "documents": DOCUMENTS, "top_k": 1},
        {"query": " ", "documents": DOCUMENTS},
    )
    assert (tool.name, tool.annotations.read_only_hint) == ("rerank", True)
    assert tool.input_schema["required"] == ["query", "documents"]

    expected = plackett.CrossEncoder().rank(QUERY, DOCUMENTS)
    ranked = whole.structured_content["result"]
    assert [item["index"] for item in ranked] == [item["corpus_id"] for item in expected]
    assert [item["text"] for item in ranked] == [DOCUMENTS[item["index"]] for item in ranked]
    np.testing.assert_allclose([item["score"] for item in ranked], [item["score"] for item in expected], rtol=1e-5)
    assert first.structured_content["result"] == ranked[:1]
    assert wrong.is_error
