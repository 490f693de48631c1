"""The remote engine: sends texts to a rerank server and returns raw logits."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.activations import ACTIVATIONS
from plackett.checkpoints.model import Model
from plackett.engines.base import Parts
from plackett.engines.remote.connection import Address, Connection
from plackett.engines.remote.probe import Server, find_server, read_reply
from plackett.errors import SettingError
from plackett.tokenization.batches import TextPairs, WindowedPairs, token_batches
from plackett.tokenization.windows import Refuse, refuse_pair

CONNECTIONS = 4  # concurrent requests
BYTES = 1_000_000  # of padded text in a request, half of TEI's limit


class TextTokenizer:
    """Passes texts through unchanged: the server tokenises them."""

    def encode(
        self, pairs: Sequence[tuple[str, str]], refuse: Refuse = refuse_pair, _lists: Sequence[object] | None = None
    ) -> WindowedPairs:
        """Return the pairs in input order."""
        return WindowedPairs.whole(TextPairs(pairs))

    def spans(self, pair: tuple[str, str]) -> list[tuple[int, int]]:
        """Return the whole document, because where the server cuts it is unknown."""
        return [(0, len(pair[1]))]

    def instructed(self, instruction: str) -> "TextTokenizer":
        """Raise SettingError, because the server chooses its instruction."""
        raise SettingError(f"instruction={instruction!r} cannot be set for a server, which runs with its own settings")


class RemoteEngine:
    """Gets the scores of pairs from a server, query by query, in requests as large as it accepts."""

    token_budget = 1024
    """Pairs per call of `score`."""

    def __init__(self, connection: Connection, server: Server) -> None:
        self._connection = connection
        self._server = server
        self._free = threading.BoundedSemaphore(CONNECTIONS)

    def score(self, batch: TextPairs) -> NDArray[np.float32]:
        """Return raw logits, float32 (pairs, 1). RemoteError if the server does not deliver them."""
        logits = np.zeros((len(batch), 1), np.float32)
        requests = [part for pairs in _by_query(batch) for part in self._parts(batch, pairs)]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for part, found in zip(requests, pool.map(lambda part: self._ask(batch, part), requests), strict=True):
                logits[part, 0] = found
        return logits

    def _parts(self, batch: TextPairs, pairs: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Split the pairs of one query into requests of documents of similar length, because servers pad them."""
        sizes = np.array([len(batch.texts[pair][1].encode()) for pair in pairs], np.int64)
        return [pairs[part] for part in token_batches(sizes, BYTES, self._server.most_texts)]

    def _ask(self, batch: TextPairs, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        [query, *_], documents = zip(*(batch.texts[pair] for pair in pairs), strict=True)
        with self._free:  # shared by all threads that use this engine
            reply = self._connection.post(self._server.path, self._server.question(query, documents))
        return read_reply(self._connection, reply, self._server.logits, len(pairs))


def connect(url: str, activation: str | None) -> Parts:
    """Connect to the server at `url` and find out its dialect.

    Its model has one label, and a sigmoid turns its logits into scores unless `activation` overrides that.
    """
    if activation is not None and activation not in ACTIVATIONS:
        raise SettingError.unknown("activation", activation, ACTIVATIONS)
    connection = Connection(Address.parse(url))
    server = find_server(connection)
    said = f"{connection.address.base} {server.says}"
    model = Model(connection.address.host, activation=activation or "sigmoid", digest=lambda: said)
    return Parts(model, TextTokenizer(), RemoteEngine(connection, server))


def _by_query(batch: TextPairs) -> list[NDArray[np.int64]]:
    pairs: dict[str, list[int]] = {}
    for index, (query, _) in enumerate(batch.texts):
        pairs.setdefault(query, []).append(index)
    return [np.array(indices, np.int64) for indices in pairs.values()]
