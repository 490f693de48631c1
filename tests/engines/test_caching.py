"""A cache changes no score, computes no pair twice, and is damaged by nothing."""

import os
import pickle
import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest

from plackett import CrossEncoder
from plackett.engines import caching
from plackett.engines.caching import CachedEngine, ScoreCache
from plackett.errors import DataError
from plackett.tokenization.batches import TextPairs
from tiny import DOCUMENTS, PAIRS, QUERY


@pytest.fixture(params=["memory", "file"])
def place(request, tmp_path):
    return "memory" if request.param == "memory" else tmp_path / "scores.sqlite"


class Counting:
    """An engine that notes what it computes: three labels, by the lengths of texts."""

    token_budget = 100

    def __init__(self):
        self.seen = []

    def score(self, batch):
        self.seen += batch.texts
        return np.array([[len(q), len(d), 0.5] for q, d in batch.texts], np.float32).reshape(-1, 3)


def test_only_what_is_new_is_computed(place):
    engine = Counting()
    cache = ScoreCache(place)
    cached = CachedEngine(engine, cache, "model")
    first = TextPairs([("a", "b"), ("a", "bc"), ("a", "b")])
    second = TextPairs([("a", "bcd"), ("ab", "c"), ("a", "bc")])
    np.testing.assert_array_equal(cached.score(first), [[1, 1, 0.5], [1, 2, 0.5], [1, 1, 0.5]])
    np.testing.assert_array_equal(cached.score(second), [[1, 3, 0.5], [2, 1, 0.5], [1, 2, 0.5]])
    assert sorted(engine.seen) == [("a", "b"), ("a", "bc"), ("a", "bcd"), ("ab", "c")]
    assert (cache.hits, cache.misses) == (1, 5)
    assert "1 hits, 5 misses, 16.7%" in repr(cache)
    assert cached.score(TextPairs([])).shape == (0, 3)


def test_other_models_have_other_entries(place):
    cache, engines = ScoreCache(place), (Counting(), Counting())
    for engine, name in zip(engines, ("one", "two"), strict=True):
        CachedEngine(engine, cache, name).score(TextPairs([("a", "b")]))
    assert [engine.seen for engine in engines] == [[("a", "b")]] * 2


@pytest.mark.parametrize("options", [{}, {"long_documents": "windows"}])
def test_scores_order_windows_and_explanations_stay(bert, place, options):
    plain, cached = CrossEncoder(bert, **options), CrossEncoder(bert, cache=place, **options)
    asked = {"return_windows": True, "explain": True, "return_documents": True}
    for _ in range(2):
        found, expected = cached.rank(QUERY, DOCUMENTS, **asked), plain.rank(QUERY, DOCUMENTS, **asked)
        assert [item["corpus_id"] for item in found] == [item["corpus_id"] for item in expected]
        assert [item["window"] for item in found] == [item["window"] for item in expected]
        assert [item["score"] for item in found] == pytest.approx([item["score"] for item in expected], abs=1e-5)
    misses = cached.cache.misses
    cached.predict([(QUERY, text) for text in DOCUMENTS])
    assert cached.cache.misses == misses
    assert plain.cache is None


def test_a_file_is_kept_for_the_next_process(bert, tmp_path):
    first = CrossEncoder(bert, cache=tmp_path / "scores.sqlite")
    scores = first.predict(PAIRS)
    second = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(second.predict(PAIRS), scores)
    assert (second.cache.hits, second.cache.misses) == (len(PAIRS), 0)


def test_threads_share_a_cache(place):
    cache, engine = ScoreCache(place), Counting()
    batch = TextPairs([("q", "d" * length) for length in range(200)])
    threads = [threading.Thread(target=CachedEngine(engine, cache, "m").score, args=[batch]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(CachedEngine(engine, cache, "m").score(batch)[:, 1], np.arange(200))
    assert cache.hits + cache.misses == 1000


def test_the_oldest_make_room_in_memory(monkeypatch):
    monkeypatch.setattr(caching, "MOST", 3)
    engine = Counting()
    cached = CachedEngine(engine, ScoreCache(), "m")
    for length in (1, 2, 3, 4, 4, 1):
        cached.score(TextPairs([("q", "d" * length)]))
    assert [len(text) for _, text in engine.seen] == [1, 2, 3, 4, 1]


def test_scores_that_are_not_finite_are_not_kept(place):
    class Broken(Counting):
        def score(self, batch):
            return super().score(batch) * np.nan

    cache = ScoreCache(place)
    assert np.isnan(CachedEngine(Broken(), cache, "m").score(TextPairs([("a", "b")]))[0, 0])
    assert np.isfinite(CachedEngine(Counting(), cache, "m").score(TextPairs([("a", "b")]))).all()


@pytest.mark.parametrize("content", [b"no database " * 100, None])
def test_a_file_that_is_no_cache_is_named(bert, tmp_path, content):
    place = tmp_path / "scores"
    if content is None:
        place.mkdir()
    else:
        place.write_bytes(content)
    with pytest.raises(DataError) as error:
        CrossEncoder(bert, cache=place)
    assert str(place) in str(error.value)
    if content is not None:
        assert place.read_bytes() == content


def test_a_file_that_was_taken_away_is_an_error_not_a_wrong_score(tmp_path):
    place = tmp_path / "scores.sqlite"
    cached = CachedEngine(Counting(), ScoreCache(place), "m")
    with closing(sqlite3.connect(place)) as database:
        database.execute("DROP TABLE scores")
    with pytest.raises(DataError) as error:
        cached.score(TextPairs([("a", "b")]))
    assert str(place) in str(error.value)
    assert os.path.exists(place)
