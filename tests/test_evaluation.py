"""Measures come from ir-measures; here: ties, missing candidates, cut-offs, and that both runs are measured alike."""

import math
from dataclasses import replace

import ir_measures
import numpy as np
import pytest

from plackett import CrossEncoder
from plackett.engines import FakeEngine
from plackett.errors import DataError, SettingError
from plackett.evaluation import compare, evaluate, rerank, table
from plackett.records import Collection, Qrel, ScoredDoc

QRELS = [Qrel("q", "a", 2), Qrel("q", "b", 1), Qrel("q", "c", 0), Qrel("r", "d", 1)]
RUN = [ScoredDoc("q", "c", 3.0), ScoredDoc("q", "b", 2.0), ScoredDoc("q", "a", 1.0)]


def dcg(gains):
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def test_measures_are_the_textbook_ones_and_a_query_without_candidates_counts_as_zero():
    values = evaluate(RUN, QRELS)
    # trec_eval's nDCG takes the grade itself as the gain.
    assert values["nDCG@10"] == pytest.approx(dcg([0, 1, 2]) / dcg([2, 1, 0]) / 2)
    assert values["RR@10"] == pytest.approx(1 / 2 / 2)
    assert values["AP"] == pytest.approx((1 / 2 + 2 / 3) / 2 / 2)


def test_ties_in_a_run_are_broken_by_document_id_descending():
    tied = [ScoredDoc("q", doc_id, 1.0) for doc_id in "abc"]
    assert evaluate(tied, QRELS[:3], ["RR@10"]) == {"RR@10": pytest.approx(1 / 2)}  # c, b, a


def test_ir_measures_own_records_are_accepted():
    own = [ir_measures.Qrel(*qrel) for qrel in QRELS], [ir_measures.ScoredDoc(*scored) for scored in RUN]
    assert evaluate(own[1], own[0]) == evaluate(RUN, QRELS)


@pytest.mark.parametrize("name", ["nDGC@10", "", "nDCG@", "import os"])
def test_an_unknown_measure_is_named(name):
    with pytest.raises(SettingError, match="nDCG@10"):
        evaluate(RUN, QRELS, [name])


@pytest.fixture
def collection():
    corpus = {f"d{i}": "word " * (i + 1) for i in range(6)}
    run = [ScoredDoc("q", f"d{i}", 10.0 - i) for i in range(6)] + [ScoredDoc("r", "d0", 1.0)]
    return Collection(
        "small", {"q": "a question", "r": "another"}, corpus, [Qrel("q", "d3", 1), Qrel("r", "d0", 1)], run
    )


@pytest.fixture
def longest_first(bert):
    """An encoder for which a longer document is a better one."""
    return CrossEncoder(bert, engine=FakeEngine(len))


def test_the_reranked_run_holds_the_first_candidates_with_the_encoders_logits(collection, longest_first):
    reranked = rerank(longest_first, collection, depth=3)
    assert {(scored.query_id, scored.doc_id) for scored in reranked} == {
        ("q", "d0"),
        ("q", "d1"),
        ("q", "d2"),
        ("r", "d0"),
    }
    pairs = [(collection.queries[scored.query_id], collection.corpus[scored.doc_id]) for scored in reranked]
    np.testing.assert_array_equal([scored.score for scored in reranked], longest_first.score(pairs)[:, 0])


def test_empty_documents_come_last(collection, longest_first):
    holes = {**collection.corpus, "d0": " ", "d1": ""}
    reranked = rerank(longest_first, replace(collection, corpus=holes), depth=4)
    best_first = sorted((scored for scored in reranked if scored.query_id == "q"), key=lambda scored: -scored.score)
    assert {scored.doc_id for scored in best_first[2:]} == {"d0", "d1"}


def test_both_runs_are_cut_at_the_depth_and_measured_alike(collection, longest_first):
    comparison = compare(longest_first, collection, depth=4)
    assert comparison.first_stage["RR@10"] == pytest.approx((1 / 4 + 1) / 2)
    assert comparison.reranked["RR@10"] == pytest.approx(1.0)  # d3 is the longest of four
    assert comparison.difference("RR@10") == pytest.approx(1 - (1 / 4 + 1) / 2)
    assert comparison.queries == 2
    shallow = compare(longest_first, collection, depth=2)
    assert shallow.first_stage["RR@10"] == shallow.reranked["RR@10"] == pytest.approx(1 / 2)  # d3 is below the cut


def test_the_table_shows_every_figure(collection, longest_first):
    comparison = compare(longest_first, collection, depth=4)
    lines = table(comparison).splitlines()
    assert lines[0].startswith("small: 2 queries")
    for line, measure in zip(lines[2:], comparison.reranked, strict=True):
        name, first, reranked, difference = line.split()
        assert name == measure
        assert float(reranked) - float(first) == pytest.approx(float(difference), abs=2e-4)


def test_a_collection_without_candidates_is_an_error(collection, longest_first):
    empty = Collection("empty", collection.queries, collection.corpus, collection.qrels, [])
    with pytest.raises(DataError, match="no candidates"):
        compare(longest_first, empty, depth=4)
