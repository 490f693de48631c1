"""A cache of scores, in memory or in a file, for pairs that are scored repeatedly.

The key is a digest of the model, its engine and precision, and the pair as the model reads it: its token ids or, for a
server, its texts. Documents that are truncated to the same tokens share one entry.
"""

import hashlib
import itertools
import os
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett._sqlite import rows_in
from plackett.engines.base import Engine, lanes_of
from plackett.errors import DataError
from plackett.tokenization.batches import EncodedPairs, TextPairs
from plackett.tokenization.lists import EncodedLists

MEMORY = "memory"
"""The name of a cache in memory."""

MOST = 1_000_000
"""Maximum number of pairs of a cache in memory, about 200 MB. The oldest are dropped first."""


class ScoreCache:
    """Raw logits by digest, in memory or in a file of SQLite, which several threads and processes may share.

    hits and misses count the pairs looked up by this object.
    """

    def __init__(self, place: str | os.PathLike[str] = MEMORY) -> None:
        self.place = str(place)
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._database: sqlite3.Connection | None = None
        self._process = 0
        if self.place != MEMORY:
            self._opened()

    def __repr__(self) -> str:
        looked_up = self.hits + self.misses
        rate = f"{self.hits / looked_up:.1%}" if looked_up else "nothing looked up"
        return f"ScoreCache({self.place!r}: {self.hits:,} hits, {self.misses:,} misses, {rate})"

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the cached values, and count hits and misses."""
        with self._lock:
            if self.place == MEMORY:
                found = {key: self._kept[key] for key in keys if key in self._kept}
            else:
                found = self._selected(keys)
            hits = sum(key in found for key in keys)
            self.hits, self.misses = self.hits + hits, self.misses + len(keys) - hits
        return found

    def keep(self, values: dict[bytes, bytes]) -> None:
        """Store values by key. Raises DataError if the file cannot be written."""
        with self._lock:
            if self.place == MEMORY:
                self._kept.update(values)
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)
                return
            try:
                with self._opened() as database:
                    database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", values.items())
            except sqlite3.Error as error:
                raise DataError(
                    f"the score cache {self.place} cannot be written: {error}; name another file"
                ) from error

    def _selected(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        try:
            return rows_in(self._opened(), "scores", ("key", "logits"), keys)
        except sqlite3.Error as error:
            raise DataError(
                f"the score cache {self.place} cannot be read: {error}; delete the file, or name another"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        """Return the connection of this process, because connections must not be used after a fork."""
        if self._database is None or self._process != os.getpid():
            try:
                self._database = sqlite3.connect(Path(self.place), timeout=60, check_same_thread=False)
                weakref.finalize(self, self._database.close)
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = OFF")  # losing the latest entries of a cache is harmless
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, logits BLOB) WITHOUT ROWID"
                )
            except sqlite3.Error as error:
                raise DataError(f"{self.place} is not a score cache: {error}; name another file") from error
            self._process = os.getpid()
        return self._database


class CachedEngine:
    """An engine that computes only the scores missing in its cache."""

    def __init__(self, engine: Engine, cache: ScoreCache, name: str) -> None:
        self.engine = engine
        self.cache = cache
        self.token_budget = engine.token_budget
        self.lanes = lanes_of(engine)
        self._seed = hashlib.blake2b(name.encode(), digest_size=16).digest()

    def score(self, batch: Any) -> NDArray[np.float32]:
        """Raw logits of the pairs, in their order: float32 (pairs, labels)."""
        keys = [hashlib.blake2b(self._seed + content, digest_size=16).digest() for content in _contents(batch)]
        found = self.cache.find(keys)
        missing = {key: index for index, key in enumerate(keys) if key not in found}
        if missing:
            computed = batch.select(np.array(list(missing.values()), np.int64))
            logits = self.engine.score(computed)
            of_rows = np.split(logits, np.cumsum(computed.counts)[:-1])
            new = {key: row.astype("<f4").tobytes() for key, row in zip(missing, of_rows, strict=True)}
            if np.isfinite(logits).all():
                self.cache.keep(new)
            found |= new
        rows = [
            np.frombuffer(found[key], "<f4").reshape(count, -1) for key, count in zip(keys, batch.counts, strict=True)
        ]
        return np.concatenate(rows).astype(np.float32) if rows else self.engine.score(batch)


def _contents(batch: EncodedPairs | EncodedLists | TextPairs) -> list[bytes]:
    """Return what the model reads of each pair, or of each list, as bytes."""
    if isinstance(batch, TextPairs):
        return [f"{len(query)} {query}{document}".encode() for query, document in batch.texts]
    if isinstance(batch, EncodedLists):
        prompts = [f"{len(content)} ".encode() + content for content in _contents(batch.prompts)]
        return [b"".join(prompts[start:end]) for start, end in itertools.pairwise(batch.cu_lists)]
    bounds = batch.cu_seqlens
    return [
        batch.token_ids[start:end].tobytes() + batch.type_ids[start:end].tobytes()
        for start, end in itertools.pairwise(bounds)
    ]
