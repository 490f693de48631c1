"""Filters against expectations written by hand, a real teacher, going on after a kill."""

import json
import math

import numpy as np
import pytest

from plackett import CrossEncoder
from plackett.data import read_lists
from plackett.engines.base import FakeEngine
from plackett.errors import DataError, ScoreError, SettingError
from plackett.retrieval.hard_negatives import MiningSettings, false_negatives, hard_negatives, mine

# Filters ------------------------------------------------------------------------------------------------------------

SCORES = np.array([4.0, 1.0, 2.5, -3.0, 2.0], np.float32)
POSITIVES = np.array([6.0, 3.0], np.float32)


@pytest.mark.parametrize(
    ("margins", "expected"),
    [
        ({}, []),
        ({"margin": 0.0}, [0]),  # above the lowest positive, 3
        ({"margin": 0.5}, [0]),  # 2.5 is not above 3 - 0.5
        ({"margin": 0.75}, [0, 2]),
        ({"margin": 1.5}, [0, 2, 4]),
        ({"relative_margin": 0.0}, [0]),
        ({"relative_margin": 0.05}, [0, 2]),  # sigmoid(3) is 0.9526, times 0.95 is 0.9050; of 2.5, 2 it is 0.924, 0.881
        ({"relative_margin": 0.1}, [0, 2, 4]),  # 0.857
        ({"margin": 1.5, "relative_margin": 0.05}, [0, 2, 4]),
    ],
)
def test_false_negatives_stand_too_near_to_the_lowest_positive(margins, expected):
    assert np.flatnonzero(false_negatives(SCORES, POSITIVES, MiningSettings(**margins))).tolist() == expected


def test_the_relative_margin_is_of_probabilities_so_negative_logits_do_not_turn_it_round():
    settings = MiningSettings(relative_margin=0.05)
    scores = np.array([-2.0, -2.04, -2.1, -1.0, -90.0, 90.0], np.float32)
    # sigmoid(-2) is 0.1192, times 0.95 is 0.1132; of -2.04 it is 0.1151, of -2.1 0.1091
    dropped = false_negatives(scores, np.array([-2.0], np.float32), settings)
    assert dropped.tolist() == [True, True, False, True, False, True]


NONE = np.zeros(6, bool)
HARDNESS = np.array([0.1, 0.9, 0.5, 0.9, 0.2, 0.7])


def test_the_hardest_come_first_ties_in_order_and_what_is_dropped_stays_out():
    settings = MiningSettings(negatives=3)
    assert hard_negatives(HARDNESS, NONE, settings, query_id="q") == [1, 3, 5]
    assert hard_negatives(HARDNESS, HARDNESS == 0.9, settings, query_id="q") == [5, 2, 4]
    assert hard_negatives(HARDNESS, HARDNESS > 0, settings, query_id="q") == []


def test_a_random_draw_depends_on_the_seed_and_the_query_and_reaches_every_candidate():
    def draw(seed, query_id):
        settings = MiningSettings(negatives=2, draw="random", seed=seed)
        return hard_negatives(HARDNESS, HARDNESS == 0.5, settings, query_id=query_id)

    assert draw(0, "q") == draw(0, "q")
    draws = [tuple(draw(seed, query_id)) for seed in range(20) for query_id in "qr"]
    assert {index for pair in draws for index in pair} == {0, 1, 3, 4, 5}
    assert len(set(draws)) == 10  # all pairs of five, each once: hardest first
    assert all(HARDNESS[first] >= HARDNESS[second] for first, second in draws)
    assert any(draw(seed, "q") != draw(seed, "r") for seed in range(5))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"negatives": 0}, "negatives"),
        ({"min_rank": 0}, "min_rank"),
        ({"min_rank": 9, "max_rank": 8}, "min_rank 9, max_rank 8"),
        ({"max_rank": 101}, "max_rank 101 and depth 100"),
        ({"depth": 0}, "depth"),
        ({"margin": -1.0}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"relative_margin": 1.0}, "relative_margin"),
        ({"relative_margin": 95.0}, "relative_margin"),
        ({"draw": "hardst"}, "did you mean 'hardest'"),
    ],
)
def test_settings_that_do_not_fit_are_errors(settings, named):
    with pytest.raises(SettingError, match=named):
        MiningSettings(**settings)


# Files --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def beir(tmp_path):
    """`beir(corpus, queries, qrels)`: a folder, whose qrels are (query, document, relevance)."""

    def beir(corpus, queries, qrels):
        folder = tmp_path / "data"
        (folder / "qrels").mkdir(parents=True)
        for name, texts in (("corpus", corpus), ("queries", queries)):
            lines = (json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items())
            (folder / f"{name}.jsonl").write_text("".join(lines))
        (folder / "qrels" / "train.tsv").write_text("".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in qrels))
        return folder

    return beir


# The less words a document has, the higher BM25 puts it: "apple" finds d1 d2 d3 ... in this order.
APPLES = {f"d{i}": "apple" + " word" * i for i in range(1, 9)}


@pytest.fixture
def apples(beir):
    return beir(APPLES, {"q": "apple"}, [("q", "d2", 1), ("q", "d5", 3), ("q", "d3", 0), ("q", "gone", 1)])


def mined(data, output, teacher=None, **settings):
    result = mine(data, output, MiningSettings(**settings), teacher=teacher)
    return [json.loads(line) for line in output.read_text().splitlines()], result


def test_a_list_has_the_positives_best_grade_first_then_the_negatives_in_bm25s_order(apples, tmp_path):
    [row], result = mined(apples, tmp_path / "lists.jsonl", negatives=4)
    assert row == {
        "qid": "q",
        "query": "apple",
        "docs": [APPLES[name] for name in ("d5", "d2", "d1", "d3", "d4", "d6")],
        "labels": [3, 1, 0, 0, 0, 0],
        "docids": ["d5", "d2", "d1", "d3", "d4", "d6"],
    }
    [item] = read_lists(tmp_path / "lists.jsonl")
    assert (item.query, item.documents, item.labels) == (row["query"], tuple(row["docs"]), tuple(row["labels"]))
    assert (result.report.lists, result.report.short_lists, list(result.empty)) == (1, 0, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "lists.jsonl"]


def test_the_rank_window_counts_bm25s_ranks_positives_included(apples, tmp_path):
    [row], result = mined(apples, tmp_path / "lists.jsonl", min_rank=3, max_rank=6)
    assert row["docids"] == ["d5", "d2", "d3", "d4", "d6"]
    assert result.report.short_lists == 1


def test_texts_that_stand_twice_are_dropped(beir, tmp_path):
    corpus = APPLES | {"copy of d2": APPLES["d2"], "copy of d4": APPLES["d4"]}
    [row], result = mined(beir(corpus, {"q": "apple"}, [("q", "d2", 1)]), tmp_path / "lists.jsonl")
    assert len(row["docs"]) == len(set(row["docs"])) == 8
    assert result.report.duplicates == 2


def test_queries_without_a_positive_or_a_negative_are_skipped_and_counted(beir, tmp_path):
    queries = {"q": "apple", "no positive": "apple", "no negative": "zebra", "judged 0": "apple"}
    qrels = [("q", "d1", 1), ("no positive", "empty", 1), ("no negative", "d1", 1), ("judged 0", "d1", 0)]
    rows, result = mined(beir(APPLES | {"empty": " "}, queries, qrels), tmp_path / "lists.jsonl")
    assert [row["qid"] for row in rows] == ["q"]
    assert (result.report.without_positive, result.report.without_negative) == (2, 1)
    summary = str(result)
    assert "lists: 1 of 4 queries" in summary
    assert "skipped queries: 3, 2 without a positive in the corpus, 1 without a negative" in summary
    assert "relevant documents without text: 1, first empty" in summary


def test_no_list_at_all_is_an_error_that_leaves_nothing(beir, tmp_path):
    with pytest.raises(DataError, match="no lists to train on: skipped queries: 1, 0 without a positive"):
        mined(beir(APPLES, {"q": "zebra"}, [("q", "d1", 1)]), tmp_path / "lists.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# Teachers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_length(bert):
    """A teacher whose logit is the number of tokens, less 10."""
    return CrossEncoder(bert, engine=FakeEngine(lambda ids: len(ids) - 10.0))


def test_a_teacher_orders_the_negatives_and_drops_false_ones(apples, by_length, tmp_path):
    [row], result = mined(apples, tmp_path / "lists.jsonl", by_length, negatives=3)
    assert row["docids"] == ["d5", "d2", "d8", "d7", "d6"]
    scores = by_length.score([("apple", text) for text in row["docs"]])[:, 0]
    assert row["teacher_scores"] == scores.tolist()
    assert row["labels"] == [3, 1, 0, 0, 0]
    assert result.report.false_negatives == 0
    # The lowest positive is d2: what is longer goes, and so does what is within the margin.
    [row], result = mined(apples, tmp_path / "lists.jsonl", by_length, negatives=3, margin=0.5)
    assert row["docids"] == ["d5", "d2", "d1"]
    assert result.report.false_negatives == 5
    assert "dropped candidates: 5 presumed false negatives" in str(result)


def test_a_teacher_that_drops_all_leaves_the_query_out(apples, bert, tmp_path):
    same = CrossEncoder(bert, engine=FakeEngine(lambda ids: 0.0))
    with pytest.raises(DataError, match="1 without a negative; dropped candidates: 6"):
        mined(apples, tmp_path / "lists.jsonl", same, margin=0.1)


def test_teacher_labels_are_the_real_models_scores_and_survive_reading(apples, bert, tmp_path):
    teacher = CrossEncoder(bert)
    [row], _ = mined(apples, tmp_path / "lists.jsonl", teacher, teacher_labels=True)
    [item] = read_lists(tmp_path / "lists.jsonl")
    assert row["labels"] == row["teacher_scores"] == list(item.labels)
    expected = teacher.score([(item.query, text) for text in item.documents])[:, 0]
    np.testing.assert_allclose(item.labels, expected, rtol=1e-4, atol=1e-5)  # other batches, other last bits
    assert np.all(np.diff(item.labels[2:]) <= 0)
    assert len(row["docids"]) == 8


@pytest.mark.parametrize("settings", [{"margin": 1.0}, {"relative_margin": 0.1}, {"teacher_labels": True}])
def test_what_needs_a_teacher_says_so(apples, tmp_path, settings):
    with pytest.raises(SettingError, match=f"{next(iter(settings))} cannot be used without a teacher"):
        mined(apples, tmp_path / "lists.jsonl", **settings)


def test_a_teacher_with_several_labels_is_refused(apples, tiny, tmp_path):
    with pytest.raises(SettingError, match="3 labels"):
        mined(apples, tmp_path / "lists.jsonl", CrossEncoder(tiny("bert", 3)))


@pytest.mark.parametrize(("name", "error"), [("data", DataError), ("x.parquet", SettingError), ("x.gz", SettingError)])
def test_an_output_that_cannot_be_is_refused_at_once(apples, tmp_path, name, error):
    with pytest.raises(error, match=name):
        mined(apples, tmp_path / name)


# Going on after a kill ----------------------------------------------------------------------------------------------

WORDS = ["apple", "pear", "plum", "list", "sort", "file", "path", "word", "json", "text"]


@pytest.fixture
def orchard(beir):
    """300 queries, five chunks, of which a few are skipped."""
    corpus = {f"d{i}": " ".join(WORDS[(i * step) % 10] for step in (1, 3, 7)) + f" number{i}" for i in range(120)}
    queries = {f"q{i}": f"{WORDS[i % 10]} {WORDS[i * 3 % 10]} number{i % 120}" for i in range(300)}
    qrels = [(f"q{i}", f"d{i % 120}" if i % 11 else "gone", 1) for i in range(300)]
    return beir(corpus, queries, qrels)


HOW = {"negatives": 4, "depth": 20, "draw": "random", "margin": 0.05}


@pytest.fixture
def whole(orchard, bert, tmp_path):
    """The bytes and the report of a mining that nothing interrupts."""
    _, result = mined(orchard, tmp_path / "whole.jsonl", CrossEncoder(bert), **HOW)
    return (tmp_path / "whole.jsonl").read_bytes(), result.report


class KilledError(Exception):
    pass


def stop_after(bert, chunks):
    """A teacher that dies after so many chunks; its scores are the real model's."""
    teacher = CrossEncoder(bert)
    score, left = teacher.score, iter(range(chunks))

    def scored(pairs):
        if next(left, None) is None:
            raise KilledError
        return score(pairs)

    vars(teacher)["score"] = scored
    return teacher


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["none", "half a line more", "half a line less", "half an entry", "no entry"])
def test_an_interrupted_mining_goes_on_to_the_same_bytes(orchard, bert, whole, tmp_path, damage):
    output, partial = tmp_path / "lists.jsonl", tmp_path / "lists.jsonl.partial"
    journal = tmp_path / "lists.jsonl.partial.journal"
    with pytest.raises(KilledError):
        mined(orchard, output, stop_after(bert, 3), **HOW)
    entries = journal.read_bytes().splitlines(keepends=True)
    assert len(entries) == 4  # the settings and three chunks
    if damage == "half a line more":
        partial.write_bytes(partial.read_bytes() + b'{"qid": "q2')
    elif damage == "half a line less":
        partial.write_bytes(partial.read_bytes()[:-30])
    elif damage == "half an entry":
        journal.write_bytes(b"".join(entries)[:-10])
    elif damage == "no entry":
        journal.write_bytes(entries[0])
    _, result = mined(orchard, output, CrossEncoder(bert), **HOW)
    assert (output.read_bytes(), result.report) == whole
    lost = {"none": 1, "half a line more": 1, "no entry": len(entries)}.get(damage, 2)
    assert result.went_on_after == 64 * (len(entries) - lost)
    assert (f"continued after {result.went_on_after} queries" in str(result)) == (result.went_on_after > 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "lists.jsonl", "whole.jsonl"]


@pytest.mark.slow
def test_a_partial_output_of_other_settings_data_or_teacher_is_not_gone_on_with(orchard, bert, tiny, tmp_path):
    output = tmp_path / "lists.jsonl"
    with pytest.raises(KilledError):
        mined(orchard, output, stop_after(bert, 3), **HOW)
    before = (tmp_path / "lists.jsonl.partial").read_bytes()
    with pytest.raises(SettingError, match=r"was started with negatives 4 \(now 5\), seed 0 \(now 1\); .* delete"):
        mined(orchard, output, CrossEncoder(bert), **HOW | {"negatives": 5, "seed": 1})
    with pytest.raises(SettingError, match="teacher bert"):
        mined(orchard, output, CrossEncoder(tiny("electra")), **HOW)
    with (orchard / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "new", "text": "apple"}\n')
    with pytest.raises(SettingError, match="data data"):
        mined(orchard, output, CrossEncoder(bert), **HOW)
    assert (tmp_path / "lists.jsonl.partial").read_bytes() == before
    (tmp_path / "lists.jsonl.partial.journal").unlink()
    with pytest.raises(SettingError, match="has no record of its settings"):
        mined(orchard, output, CrossEncoder(bert), **HOW)
    (tmp_path / "lists.jsonl.partial").unlink()
    _, result = mined(orchard, output, CrossEncoder(bert), **HOW)
    assert result.went_on_after == 0


def test_a_broken_teacher_leaves_no_partial_output_that_is_empty(apples, bert, tmp_path):
    with pytest.raises(ScoreError):
        mined(apples, tmp_path / "lists.jsonl", CrossEncoder(bert, engine=FakeEngine(lambda ids: math.nan)))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
