"""Requests with known scores: every response is compared with the library."""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plackett import CrossEncoder
from plackett.workflows.demo.pydocs import read_objects

QUERIES, DOCUMENTS, SIZE = 40, 60, 20
MEASURED = 8  # queries with all documents, to measure the library
TOLERANCE = 1e-3  # of int8, whose scores depend a little on the batch; a wrong document is off by far more


@dataclass(frozen=True)
class Question:
    """A request in TEI's format with the logits of its documents, or none if they are not known."""

    body: bytes
    logits: tuple[float, ...]

    def is_answered_by(self, body: bytes) -> bool:
        """Return whether a response contains the score of every document once, best first."""
        items = json.loads(body)
        if sorted(item["index"] for item in items) != list(range(len(self.logits))):
            return False
        scores = [item["score"] for item in items]
        expected = [self.logits[item["index"]] for item in items]
        return scores == sorted(scores, reverse=True) and bool(np.allclose(scores, expected, TOLERANCE, TOLERANCE))


@dataclass(frozen=True)
class Workload:
    """Pairs of texts with their logits, and the library that computed them."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    logits: tuple[tuple[float, ...], ...]
    encoder: CrossEncoder

    def library_rate(self) -> float:
        """Measure how many pairs the library scores per second now, in one call."""
        pairs = [(query, document) for query in self.queries[:MEASURED] for document in self.documents]
        began = time.perf_counter()
        self.encoder.score(pairs)
        return len(pairs) / (time.perf_counter() - began)

    def question(self, rng: random.Random, size: int = SIZE) -> Question:
        """Return a request with distinct documents."""
        query, chosen = rng.randrange(len(self.queries)), rng.sample(range(len(self.documents)), size)
        texts = [self.documents[index] for index in chosen]
        return Question(_body(self.queries[query], texts), tuple(self.logits[query][index] for index in chosen))


def heavy(documents: int = 100) -> Question:
    """Return a request with long documents, whose scores are not checked."""
    return Question(_body("what is this", [f"part {number} of a long text " * 60 for number in range(documents)]), ())


def make_workload(model: str | None) -> Workload:
    """Choose texts, and score all pairs."""
    objects = random.Random(0).sample(read_objects(), QUERIES + DOCUMENTS)
    queries = tuple(item.query for item in objects[:QUERIES])
    documents = tuple(item.document for item in objects[QUERIES:])
    pairs = [(query, document) for query in queries for document in documents]

    encoder = CrossEncoder(model)
    logits = encoder.score(pairs)[:, 0].reshape(QUERIES, DOCUMENTS)
    return Workload(queries, documents, tuple(tuple(map(float, row)) for row in logits), encoder)


def _body(query: str, texts: Sequence[str]) -> bytes:
    return json.dumps({"query": query, "texts": list(texts), "raw_scores": True}).encode()
