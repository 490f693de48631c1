"""Differential tests against sentence-transformers' own evaluators, on random data, ties included."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peers import evaluation, sentence_transformers
from plackett import CrossEncoder
from plackett.data.nanobeir import read_nanobeir
from plackett.engines.base import FakeEngine
from plackett.evaluation.sentence_transformers import (
    evaluate_reference,
    reference_figures,
    reference_metrics,
    samples,
    with_reference_mean,
    write_reference_csv,
)
from plackett.records import Collection, Qrel, ScoredDoc
from tiny import TEXTS


def values(measures):
    """The metrics as the evaluators return them."""
    found = {name: value.reranked for name, value in measures.items()}
    return found | {f"base_{name}": value.first_stage for name, value in measures.items()}


CARD = SimpleNamespace(set_evaluation_metrics=lambda *_, **__: None)


def random_collection(seed, *, queries=12, equal_texts=False):
    """Queries with and without retrieved positives, lists of different lengths."""
    rng = np.random.default_rng(seed)
    texts = list(dict.fromkeys(TEXTS))  # words that the tokenizer knows: those it does not know would look alike
    corpus = {f"d{i}": texts[i if i % 9 or not equal_texts else 1] for i in range(120)}
    qrels, run = [], []
    for q in range(queries):
        candidates = rng.permutation(120)[: rng.integers(2, 60)]
        run += [ScoredDoc(f"q{q}", f"d{d}", -float(rank)) for rank, d in enumerate(candidates)]
        pool = candidates if q % 5 else np.setdiff1d(np.arange(120), candidates)
        positives = {int(d) for d in rng.choice(pool, min(len(pool), int(rng.integers(1, 6))), replace=False)}
        positives |= {int(d) for d in rng.integers(0, 120, 2)} if q % 3 == 0 else set()
        qrels += [Qrel(f"q{q}", f"d{d}", 1) for d in sorted(positives)]
        qrels += [Qrel(f"q{q}", f"d{d}", 0) for d in range(3) if d not in positives]
    return Collection("NanoNQ", {f"q{q}": f"query {q}" for q in range(queries)}, corpus, qrels, run)


def reference_samples(collection, depth):
    """What CrossEncoderNanoBEIREvaluator makes of a collection, with the positives in the order of the judgements."""
    found = []
    for query_id, query in collection.queries.items():
        ranked = [scored.doc_id for scored in collection.run if scored.query_id == query_id][:depth]
        positives = [q.doc_id for q in collection.qrels if q.query_id == query_id and q.relevance > 0]
        texts = {"positive": positives, "documents": ranked}
        found.append({"query": query} | {key: [collection.corpus[i] for i in ids] for key, ids in texts.items()})
    return found


@pytest.mark.peer
@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("levels", [2, 5, 30, None])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_the_reranking_evaluator(seed, levels, always):
    collection = random_collection(seed, equal_texts=True)
    rng = np.random.default_rng(100 + seed)
    queries = samples(collection, depth=40, always_rerank_positives=always)
    scores = [
        (rng.random(len(sample.documents)) if levels is None else rng.integers(0, levels, len(sample.documents)) / 7)
        .astype(np.float32)
        for sample in queries
    ]  # fmt: skip
    given = np.concatenate([s for s, sample in zip(scores, queries, strict=True) if any(sample.relevant)])
    told = {}

    def predict(pairs, **_):
        told["pairs"] = [tuple(pair) for pair in pairs]
        return given

    evaluator = evaluation.CrossEncoderRerankingEvaluator(
        reference_samples(collection, 40), always_rerank_positives=always, write_csv=False
    )
    expected = evaluator(SimpleNamespace(predict=predict, model_card_data=CARD))
    scored = [sample for sample in queries if any(sample.relevant)]
    assert told["pairs"] == [(sample.query, document) for sample in scored for document in sample.documents]
    assert values(reference_metrics(scores, queries)) == pytest.approx(expected, abs=1e-9)
    assert levels is None or expected["ndcg@10"] > 0


@pytest.mark.peer
@pytest.mark.parametrize("always", [True, False])
def test_a_model_gets_the_numbers_that_sentence_transformers_gives_it(bert, always):
    collection = random_collection(7, queries=8)
    evaluator = evaluation.CrossEncoderRerankingEvaluator(
        reference_samples(collection, 20), always_rerank_positives=always, write_csv=False
    )
    expected = evaluator(sentence_transformers.CrossEncoder(str(bert), device="cpu"))
    found = evaluate_reference(CrossEncoder(bert), collection, depth=20, always_rerank_positives=always)
    assert values(found.measures) == pytest.approx(expected, abs=1e-6)


def test_constant_scores_show_the_three_ways_of_ties(bert):
    """A reranker that gives one score to all: the numbers that docs/evaluate.md warns of."""
    encoder = CrossEncoder(bert, engine=FakeEngine(lambda length: 0))
    corpus = {f"d{i}": f"text {i}" for i in range(10)}
    run = [ScoredDoc("q", f"d{i}", -float(i)) for i in range(10)]
    collection = Collection("c", {"q": "query"}, corpus, [Qrel("q", "d4", 1)], run)
    metrics = values(evaluate_reference(encoder, collection).measures)
    assert metrics["map"] == pytest.approx(1 / 10)
    assert metrics["mrr@10"] == pytest.approx(1 / 10)
    assert metrics["ndcg@10"] == pytest.approx(np.mean(1 / np.log2(np.arange(2, 12))))
    assert metrics["base_mrr@10"] == pytest.approx(1 / 5)


@pytest.mark.parametrize("function", [len, lambda ids: -len(ids)], ids=["positive", "negative"])
def test_empty_documents_come_last_whatever_the_sign_of_the_scores(bert, function):
    encoder = CrossEncoder(bert, engine=FakeEngine(function), activation="identity")
    corpus = {"d0": " ", "d1": "apple", "d2": "an apple and a pear"}
    run = [ScoredDoc("q", doc_id, -float(place)) for place, doc_id in enumerate(corpus)]
    collection = Collection("c", {"q": "query"}, corpus, [Qrel("q", "d0", 1)], run)
    metrics = values(evaluate_reference(encoder, collection).measures)
    assert metrics["base_mrr@10"] == 1
    assert metrics["mrr@10"] == pytest.approx(1 / 3)


NAMES = ("NanoMSMARCO", "NanoNQ")


def write_new_layout(folder, one_id_a_row):
    for number, name in enumerate(NAMES):
        collection = random_collection(number, queries=6)
        ranked = {}
        for scored in collection.run:
            ranked.setdefault(scored.query_id, []).append(scored.doc_id)
        positives = {}
        for qrel in collection.qrels:
            if qrel.relevance:
                positives.setdefault(qrel.query_id, []).append(qrel.doc_id)
        tables = {
            "corpus": [{"_id": key, "text": text} for key, text in collection.corpus.items()],
            "queries": [{"_id": key, "text": text} for key, text in collection.queries.items()],
            "qrels": [
                {"query-id": query_id, "corpus-id": value}
                for query_id, ids in positives.items()
                for value in (ids if one_id_a_row else [ids])
            ],
            "bm25": [{"query-id": query_id, "corpus-ids": ids} for query_id, ids in ranked.items()],
        }  # fmt: skip
        for subset, rows in tables.items():
            (folder / subset).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), folder / subset / f"{name}-00000-of-00001.parquet")
    lines = ["---", "configs:"]
    for subset in ("corpus", "queries", "qrels", "bm25"):
        lines += [f"- config_name: {subset}", "  data_files:"]
        lines += [f"  - split: {name}\n    path: {subset}/{name}-*" for name in NAMES]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


@pytest.mark.peer
@pytest.mark.parametrize("one_id_a_row", [True, False])
def test_nanobeir_has_the_evaluators_keys_numbers_and_files(bert, tmp_path, run, monkeypatch, one_id_a_row):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "NanoBEIR-en"
    write_new_layout(folder, one_id_a_row)
    evaluator = evaluation.CrossEncoderNanoBEIREvaluator(["msmarco", "nq"], dataset_id=str(folder), rerank_k=30)
    expected = evaluator(sentence_transformers.CrossEncoder(str(bert), device="cpu"), str(tmp_path / "theirs"))
    encoder = CrossEncoder(bert)
    found = with_reference_mean([evaluate_reference(encoder, item, depth=30) for item in read_nanobeir(folder)])
    assert reference_figures(found) == pytest.approx(expected, abs=1e-6)
    assert "NanoBEIR_R30_mean_ndcg@10" in expected
    write_reference_csv(tmp_path / "ours", found)
    write_reference_csv(tmp_path / "ours", found)
    names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "ours").iterdir())
    for name in names:
        theirs, ours = (
            list(csv.reader((tmp_path / side / name).read_text().splitlines())) for side in ("theirs", "ours")
        )
        assert ours[0] == theirs[0]
        assert len(ours) == 3
        assert [float(cell) for cell in ours[1]] == pytest.approx([float(cell) for cell in theirs[1]], abs=1e-6)
    code, output, errors = run(
        "evaluate", bert, "--data", folder, "--semantics", "reference", "--depth", 30, "--output", tmp_path / "x.json",
        "--output", tmp_path / "command",
    )  # fmt: skip
    assert code == 0, errors
    assert json.loads((tmp_path / "x.json").read_text()) == pytest.approx(expected, abs=1e-6)
    assert sorted(path.name for path in (tmp_path / "command").iterdir()) == names
    key = "NanoBEIR_R30_mean_ndcg@10"
    line = next(line for line in output.splitlines() if line.startswith(key))
    difference = expected[key] - expected["NanoBEIR_R30_mean_base_ndcg@10"]
    assert line.split()[1:] == [f"{expected[key]:.4f}", f"({difference:+.4f})"]
