"""What the tests of the remote engine share."""

import os

import pytest

from plackett import CrossEncoder
from plackett.engines.remote import connection
from plackett.engines.remote.connection import Limits
from rerank_server import running_server, scores_of


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No key, no proxy, and no pauses."""
    for name in [connection.KEY, *(name for name in os.environ if name.lower().endswith("_proxy"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection, "LIMITS", Limits(sleep=lambda seconds: None))


@pytest.fixture(scope="session")
def local(bert):
    return CrossEncoder(bert)


@pytest.fixture
def tei(local):
    with running_server("tei", scores_of(local)) as server:
        yield server
