"""Measures come from ir-measures; here: ties, missing candidates, cut-offs, and that both runs are measured alike."""

import math
from dataclasses import replace

import ir_measures
import numpy as np
import pytest

from plackett import CrossEncoder
from plackett.data import lists_as_collection
from plackett.engines.base import FakeEngine
from plackett.errors import DataError, SettingError
from plackett.evaluation import compare, compare_run, evaluate, evaluate_per_query, mean_of, with_holm
from plackett.ranking import cut
from plackett.records import Collection, LabeledList, Origin, Qrel, ScoredDoc
from plackett.retrieval.reranking import rerank

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
    assert comparison.measures["RR@10"].first_stage == pytest.approx((1 / 4 + 1) / 2)
    assert comparison.measures["RR@10"].reranked == pytest.approx(1.0)  # d3 is the longest of four
    assert comparison.measures["RR@10"].difference == pytest.approx(1 - (1 / 4 + 1) / 2)
    assert comparison.queries == 2
    shallow = compare(longest_first, collection, depth=2)
    assert (
        shallow.measures["RR@10"].first_stage == shallow.measures["RR@10"].reranked == pytest.approx(1 / 2)
    )  # d3 is below the cut


def test_a_collection_without_candidates_is_an_error(collection, longest_first):
    empty = Collection("empty", collection.queries, collection.corpus, collection.qrels, [])
    with pytest.raises(DataError, match="no candidates"):
        compare(longest_first, empty, depth=4)


# trec_eval's rules on a run with ties, a negative grade, an unjudged document and a judged one that was not retrieved.
GRADED = [Qrel("q", doc_id, grade) for doc_id, grade in zip("abcdef", [3, 2, 0, -1, 1, 2], strict=True)]
TIED = [
    ScoredDoc("q", doc_id, score)
    for doc_id, score in [("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 5.0), ("e", 1.0), ("x", 1.5)]
]
ORDER = "dcbxea"  # by score, equal scores by id, both descending
GRADES = {"a": 3, "b": 2, "e": 1, "f": 2}


def textbook(cutoff):
    """Measures of ORDER, written out from their definitions."""
    ranked = [GRADES.get(doc_id, 0) for doc_id in ORDER]
    hits = [grade > 0 for grade in ranked]
    ideal = sorted(GRADES.values(), reverse=True)
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    return {
        f"nDCG@{cutoff}": dcg(ranked[:cutoff]) / dcg(ideal[:cutoff]),
        f"RR@{cutoff}": max([1 / (rank + 1) for rank, hit in enumerate(hits[:cutoff]) if hit], default=0.0),
        "AP": sum(precisions) / len(GRADES),
        f"P@{cutoff}": sum(hits[:cutoff]) / cutoff,
        f"R@{cutoff}": sum(hits[:cutoff]) / len(GRADES),
        f"Judged@{cutoff}": sum(doc_id in "abcdef" for doc_id in ORDER[:cutoff]) / len(ORDER[:cutoff]),
        f"P(rel=2)@{cutoff}": sum(grade >= 2 for grade in ranked[:cutoff]) / cutoff,
    }


@pytest.mark.parametrize("cutoff", [1, 2, 3, 5, 10])
def test_measures_with_ties_and_grades_are_those_of_their_definitions(cutoff):
    expected = textbook(cutoff)
    assert evaluate(TIED, GRADED, list(expected)) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.* is deprecated and will be removed in Python 3.14")  # of ast, in ir_measures
def test_random_runs_have_ir_measures_own_numbers_where_nothing_is_tied():
    rng = np.random.default_rng(0)
    qrels = [Qrel(f"q{q}", f"d{d}", int(rng.integers(-1, 4))) for q in range(30) for d in range(0, 40, 2)]
    run = [ScoredDoc(f"q{q}", f"d{d}", float(score)) for q in range(30) for d, score in enumerate(rng.random(40))]
    names = ["nDCG@10", "RR@10", "AP", "R@100", "P@5", "Judged@10", "AP(rel=2)", "nDCG", "Success@1"]
    own = ir_measures.calc([ir_measures.parse_measure(name) for name in names], qrels, run)
    assert evaluate(run, qrels, names) == pytest.approx({str(m): value for m, value in own.aggregated.items()})
    values = evaluate_per_query(run, qrels, names)
    assert {(str(metric.measure), metric.query_id): metric.value for metric in own.per_query} == pytest.approx(
        {(name, query_id): value for name, of_query in values.items() for query_id, value in of_query.items()}
    )


def test_scores_that_only_a_double_tells_apart_are_no_tie():
    near = [ScoredDoc("q", "a", 1.0 + 1e-12), ScoredDoc("q", "b", 1.0)]
    assert evaluate(near, [Qrel("q", "a", 1)], ["RR@10"]) == {"RR@10": 1.0}


def test_paths_are_read_as_trec_files(tmp_path):
    (tmp_path / "run.trec").write_text("q Q0 c 1 3.0 x\nq Q0 b 2 2.0 x\nq Q0 a 3 1.0 x\n")
    (tmp_path / "qrels.txt").write_text("q 0 a 2\nq 0 b 1\nq 0 c 0\nr 0 d 1\n")
    paths = tmp_path / "run.trec", str(tmp_path / "qrels.txt")
    assert evaluate(*paths) == evaluate(RUN, QRELS)
    assert evaluate_per_query(*paths) == evaluate_per_query(RUN, QRELS)
    assert list(evaluate_per_query(*paths)["AP"]) == ["q", "r"]


def test_all_unknown_measures_are_named_at_once():
    with pytest.raises(SettingError) as caught:
        evaluate(RUN, QRELS, ["nDCG@10", "nDGC@10", "RR@", "P", "alpha_nDCG@10", "AP(foo=1)"])
    named = str(caught.value).partition(";")[0]
    assert all(repr(name) in named for name in ("nDGC@10", "RR@", "P", "alpha_nDCG@10", "AP(foo=1)"))
    assert "'nDCG@10'" not in named
    with pytest.raises(SettingError, match="none given"):
        evaluate(RUN, QRELS, [])


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ([*RUN, ScoredDoc("q", "b", 9.0)], "'b' twice for the query 'q'"),
        ([*RUN, ScoredDoc("q", "d", math.nan)], "'d' for the query 'q' the score nan"),
        ([*RUN, ScoredDoc("q", "d", math.inf)], "inf, which is not finite"),
    ],
)
def test_a_run_that_is_none_is_an_error(run, named):
    with pytest.raises(DataError, match=named):
        evaluate(run, QRELS)


def test_no_judgements_are_an_error():
    with pytest.raises(DataError, match="no judgements"):
        evaluate(RUN, [])


def test_queries_that_lack_candidates_or_judgements_are_said(caplog):
    evaluate([*RUN, ScoredDoc("s", "a", 1.0)], QRELS)
    assert [record.message for record in caplog.records] == [
        "1 judged query has no candidates and scores 0",
        "1 query of the run has no judgements and is ignored",
    ]
    caplog.clear()
    evaluate([*RUN, *(ScoredDoc(key, "a", 1.0) for key in "stu")], [*QRELS, Qrel("v", "d", 1)])
    assert [record.message for record in caplog.records] == [
        "2 judged queries have no candidates and score 0",
        "3 queries of the run have no judgements and are ignored",
    ]


def test_a_comparison_counts_queries_without_candidates_and_unjudged_ones(collection, longest_first):
    wider = replace(
        collection,
        qrels=[*collection.qrels, Qrel("s", "d1", 1)],
        run=[*collection.run, ScoredDoc("unjudged", "d1", 1.0)],  # nor is its text known: it is not scored
    )
    comparison = compare(longest_first, wider, depth=4)
    assert (comparison.queries, comparison.without_candidates, comparison.unjudged) == (3, 1, 1)
    assert comparison.measures["AP"].per_query["s"] == (0.0, 0.0)


def test_a_note_says_that_no_candidate_is_relevant(collection, longest_first):
    note = "No candidate is judged relevant, so every order scores 0: check the labels and the ids."
    for relevant in ("q", "elsewhere"):
        qrels = [Qrel(relevant, "nowhere", 1), Qrel("q", "d3", 0), Qrel("r", "d0", 0)]
        assert note in compare(longest_first, replace(collection, qrels=qrels), depth=4).notes()
    assert note not in compare(longest_first, collection, depth=4).notes()


@pytest.mark.parametrize(("ids", "named"), [(3, "for 3 of .* d0, d1, d2$"), (6, "for 6 of .* d3, d4, …$")])
def test_ids_that_the_corpus_lacks_are_counted_and_named(collection, longest_first, ids, named):
    fewer = {doc_id: text for doc_id, text in collection.corpus.items() if int(doc_id[1:]) >= ids}
    with pytest.raises(DataError, match=named):
        compare(longest_first, replace(collection, corpus=fewer), depth=6)


def test_recall_and_the_best_order_bound_what_a_reranker_can_do(collection, longest_first):
    qrels = [Qrel("q", "d3", 1), Qrel("q", "d5", 2), Qrel("q", "gone", 1), Qrel("r", "d0", 1)]
    comparison = compare(longest_first, replace(collection, qrels=qrels), depth=4)
    assert comparison.recall == pytest.approx((1 / 3 + 1) / 2)  # d3 of three; d5 is below the cut
    assert comparison.measures["nDCG@10"].perfect_order == pytest.approx((dcg([1]) / dcg([2, 1, 1]) + 1) / 2)
    assert comparison.measures["AP"].perfect_order == pytest.approx((1 / 3 + 1) / 2)
    assert comparison.measures["AP"].reranked <= comparison.measures["AP"].perfect_order


def test_a_comparison_holds_its_queries_and_their_significance(collection, longest_first):
    comparison = compare(longest_first, collection, depth=4)
    assert comparison.measures["RR@10"].per_query == {"q": (1 / 4, 1.0), "r": (1.0, 1.0)}
    found = comparison.measures["RR@10"].significance
    assert (found.helped, found.hurt, found.unchanged) == (1, 0, 1)
    assert found.p_value == found.p_holm == 1.0  # one changed query could have gone either way
    assert found.ci95 == (0.0, 0.75)


def test_a_reranking_keeps_of_the_first_candidates_and_another_run_its_own(collection, longest_first):
    reranked = rerank(longest_first, collection, depth=6)
    for depth in (1, 2, 4, 6):
        cut_afterwards = compare_run(collection, reranked, depth=depth)  # of one scoring
        assert cut_afterwards.measures == compare(longest_first, collection, depth=depth).measures
    dense = [ScoredDoc("q", "elsewhere", 2.0), ScoredDoc("q", "d3", 1.0)]
    assert compare_run(collection, dense, depth=2).measures["RR@10"].reranked == pytest.approx((1 / 2 + 0) / 2)
    assert compare_run(collection, dense, depth=1).measures["RR@10"].reranked == 0.0


def test_equal_scores_at_the_cut_are_cut_as_they_are_measured():
    tied = [ScoredDoc("q", doc_id, 1.0) for doc_id in "abcd"]
    assert [scored.doc_id for scored in cut(tied, 2)] == ["d", "c"]


def test_the_mean_weighs_collections_alike(collection, longest_first):
    one = compare(longest_first, collection, depth=4)
    other = compare(longest_first, replace(collection, name="other", qrels=collection.qrels[:1]), depth=4)
    mean = mean_of([one, other])
    assert mean.queries == 3
    assert mean.mean_of == ("small", "other")
    for measure, values in mean.measures.items():
        differences = [item.measures[measure].difference for item in (one, other)]
        assert values.difference == pytest.approx(sum(differences) / 2)
        low, high = values.significance.ci95
        assert low <= values.difference <= high


def test_several_systems_are_corrected_together(collection, longest_first):
    one = compare(longest_first, collection, depth=4)
    ap = one.measures["AP"]
    systems = [
        replace(one, measures={"AP": replace(ap, significance=replace(ap.significance, p_value=p_value))})
        for p_value in (0.01, 0.04, 0.03)
    ]
    assert [item.measures["AP"].significance.p_holm for item in with_holm(systems)] == pytest.approx([0.03, 0.06, 0.06])


def listed(labels):
    """A file of lists whose documents have these labels, measured as it is."""
    lists = [
        LabeledList(f"query {n}", tuple(f"text {i}" for i in range(len(row))), row) for n, row in enumerate(labels)
    ]
    collection = lists_as_collection("my.jsonl", lists)
    return compare_run(collection, collection.run, depth=10)


@pytest.mark.parametrize(
    ("labels", "noted"),
    [([(1, 0, 0), (2, 1, 0)], True), ([(1, 0, 0), (0, 1, 0)], False), ([(1, 0), (1, 2)], False), ([(0, 0)], False)],
)
def test_a_file_that_puts_positives_first_is_named(labels, noted):
    comparison = listed(labels)
    assert any("positives first" in note for note in comparison.notes()) == noted
    elsewhere = replace(comparison, origin=replace(comparison.origin, first_stage="BM25"))
    assert not any("positives first" in note for note in elsewhere.notes())


def test_the_facts_of_a_comparison_are_its_figures_and_what_repeats_them(collection, longest_first):
    origin = Origin("hf://datasets/a/b/c", "commit", "BM25", {"qrels": "q.tsv"})
    comparison = compare(longest_first, replace(collection, origin=origin), depth=4, measures=["AP", "P@1"])
    facts = comparison.facts()
    assert (facts.collection, facts.queries, facts.depth, facts.primary) == ("small", 2, 4, "AP")
    assert (facts.source, facts.revision) == ("hf://datasets/a/b/c", "commit")
    for name, values in facts.measures.items():
        expected = comparison.measures[name]
        assert (values.first_stage, values.reranked) == (expected.first_stage, expected.reranked)
        assert values.difference == values.reranked - values.first_stage
        assert (values.ci95, values.p_value) == (expected.significance.ci95, expected.significance.p_value)
    assert facts.parameters == {
        "semantics": "trec_eval",
        "measures": ["AP", "P@1"],
        "depth": 4,
        "always_rerank_positives": False,
        "first_stage": "BM25",
        "qrels": "q.tsv",
    }
    assert mean_of([comparison, comparison]).facts().parameters["collections"] == ["small", "small"]
