"""The table of first stages: BM25, a bi-encoder, and one that a test adds, used by functions and commands."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plackett.bi_encoder import BiEncoder
from plackett.errors import SettingError
from plackett.ranking import stable_order
from plackett.records import Collection, ScoredDoc
from plackett.retrieval import FIRST_STAGES, FirstStageSettings, Splitting, with_first_stage
from plackett.retrieval.dense import Dense, _best
from plackett.retrieval.sources import Sources, first_stage

CORPUS = {
    f"d{i}": text for i, text in enumerate(["the apple", "a pear and a plum", "lists of words", " ", "json files"])
}
QUERIES = {"q": "apple", "r": "sort the list"}
COLLECTION = Collection("c", QUERIES, CORPUS, (), [ScoredDoc("q", "d4", 1.0)])


class ByLength:
    """The longest documents first."""

    description = "longest documents first"

    def __init__(self, corpus):
        self.corpus = corpus

    def run(self, queries, *, depth):
        order = sorted(self.corpus, key=lambda doc_id: -len(self.corpus[doc_id]))[:depth]
        return [ScoredDoc(q, doc_id, float(len(self.corpus[doc_id]))) for q in queries for doc_id in order]


@pytest.fixture
def by_length(monkeypatch):
    monkeypatch.setitem(FIRST_STAGES, "by_length", lambda corpus, settings, show_progress: ByLength(corpus))


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", CORPUS), ("queries", QUERIES)):
        lines = (json.dumps({"_id": key, "text": text}) + "\n" for key, text in texts.items())
        (folder / f"{name}.jsonl").write_text("".join(lines))
    for split in ("train", "test"):
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\nr\td2\t1\n")
    return folder


def test_the_bi_encoder_ranks_by_cosine_and_leaves_empty_documents_out(bert):
    encoder = BiEncoder(bert)
    found = with_first_stage(COLLECTION, FirstStageSettings(name=f"bi_encoder:{bert}"), depth=3)
    documents = {doc_id: text for doc_id, text in CORPUS.items() if text.strip()}
    cosines = encoder.embed(list(QUERIES.values())) @ encoder.embed(list(documents.values())).T
    for row, query_id in zip(cosines, QUERIES, strict=True):
        expected = sorted(zip(documents, row, strict=True), key=lambda item: -item[1])[:3]
        run = [scored for scored in found.run if scored.query_id == query_id]
        assert [scored.doc_id for scored in run] == [doc_id for doc_id, _ in expected]
        assert [scored.score for scored in run] == pytest.approx([float(score) for _, score in expected], abs=1e-6)
    assert found.origin.first_stage == f"bi-encoder ({encoder.description}, cosine)"
    assert Dense(encoder, {}).run(QUERIES, depth=3) == Dense(encoder, CORPUS).run({}, depth=3) == []


def test_the_description_tells_checkpoints_apart(tiny):
    names = ("bert", "electra")
    assert len({BiEncoder(tiny(name)).description for name in names}) == 2
    assert BiEncoder(tiny("bert"), max_length=16).description.endswith("mean pooling, 16 tokens")


@given(arrays(np.float32, st.integers(1, 30), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])), st.integers(1, 40))
def test_the_best_are_the_first_of_the_stable_order(scores, depth):
    assert _best(scores, depth).tolist() == stable_order(scores)[:depth].tolist()


def test_settings_override_the_run_a_collection_comes_with():
    assert first_stage(COLLECTION, 10) is COLLECTION
    ranked = first_stage(COLLECTION, 10, FirstStageSettings())
    assert [scored.doc_id for scored in ranked.run if scored.query_id == "q"] == ["d0"]
    assert ranked.origin.first_stage.startswith("BM25")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("bm52", "did you mean 'bm25'"),
        ("bm25:x", "bm25 takes no argument"),
        ("bi_encoder", "bi_encoder:FOLDER"),
        ("bi_encoder:", "bi_encoder:FOLDER"),
    ],
)
def test_a_name_that_does_not_fit_is_an_error(name, named):
    with pytest.raises(SettingError, match=named):
        FirstStageSettings(name=name).build(CORPUS)


def test_the_splitting_of_bm25_does_not_go_with_a_bi_encoder():
    with pytest.raises(SettingError, match="settings of bm25"):
        FirstStageSettings(name="bi_encoder:x", splitting=Splitting(language="german")).build(CORPUS)


def test_a_first_stage_and_a_run_contradict_each_other(tmp_path):
    with pytest.raises(SettingError, match="--first-stage"):
        Sources(run=tmp_path / "x.trec", first_stage=FirstStageSettings())


def test_files_of_texts_are_searched(beir):
    files = {"queries": beir / "queries.jsonl", "corpus": beir / "corpus.jsonl", "qrels": beir / "qrels" / "test.tsv"}
    [collection] = Sources(**files, first_stage=FirstStageSettings(splitting=Splitting(language="none"))).read(10)
    assert [scored[:2] for scored in collection.run] == [("q", "d0"), ("r", "d0")]
    assert [scored[:2] for scored in Sources(**files).read(10)[0].run] == [("q", "d0")]
    with pytest.raises(SettingError, match="--queries and --corpus"):
        Sources(qrels=files["qrels"], corpus=files["corpus"]).read(10)


def first_stage_in_table(run, beir, bert, measure, *options):
    """What `plackett evaluate` prints for the first stage."""
    code, output, errors = run("evaluate", bert, "--data", beir, "--measures", measure, *options)
    assert code == 0, errors
    [line] = [line for line in output.splitlines() if line.startswith(measure)]
    return float(line.split()[1])


def test_an_entry_of_the_table_works_in_evaluate(run, beir, bert, by_length):
    # Longest first: d1, d2, d4, d0, d3; q's document is d0 at rank 4, r's is d2 at rank 2.
    assert first_stage_in_table(run, beir, bert, "RR@10", "--first-stage", "by_length") == (1 / 4 + 1 / 2) / 2
    [collection] = Sources(data=[str(beir)], first_stage=FirstStageSettings(name="by_length")).read(10)
    assert collection.origin.first_stage == "longest documents first"


def test_an_entry_of_the_table_works_in_mine(run, beir, tmp_path, by_length):
    code, _, errors = run("mine", beir, "--output", tmp_path / "lists.jsonl", "--first-stage", "by_length")
    assert code == 0, errors
    rows = [json.loads(line) for line in (tmp_path / "lists.jsonl").read_text().splitlines()]
    assert [row["docids"] for row in rows] == [["d0", "d1", "d2", "d4", "d3"], ["d2", "d1", "d4", "d0", "d3"]]


def test_a_bi_encoder_works_in_evaluate_and_in_mine(run, beir, bert, tmp_path):
    name = f"bi_encoder:{bert}"
    encoder, documents = BiEncoder(bert), {key: text for key, text in CORPUS.items() if text.strip()}
    cosines = encoder.embed(list(QUERIES.values())) @ encoder.embed(list(documents.values())).T
    ids = list(documents)
    ranks = [1 + sum(row > row[ids.index(doc_id)]) for row, doc_id in zip(cosines, ("d0", "d2"), strict=True)]
    found = first_stage_in_table(run, beir, bert, "RR@10", "--first-stage", name)
    assert found == pytest.approx(np.mean([1 / rank for rank in ranks]), abs=1e-4)
    code, _, errors = run("mine", beir, "--output", tmp_path / "lists.jsonl", "--first-stage", name)
    assert code == 0, errors
    [row, _] = [json.loads(line) for line in (tmp_path / "lists.jsonl").read_text().splitlines()]
    assert row["docids"] == ["d0", *[ids[index] for index in np.argsort(-cosines[0]) if ids[index] != "d0"]]


def test_the_options_of_bm25_reach_it(run, beir, bert, tmp_path):
    options = ("--first-stage", "bm25", "--language", "none", "--ngrams", "0")
    assert first_stage_in_table(run, beir, bert, "P@1") == 0.5  # q finds d0, r finds nothing
    (beir / "qrels" / "test.tsv").write_text("q\td0\t1\nr\td0\t1\n")
    assert first_stage_in_table(run, beir, bert, "P@1", *options) == 1  # r finds the word "the" of d0
    code, _, errors = run("mine", beir, "--output", tmp_path / "x", "--language", "klingon")
    assert (code, "unknown language 'klingon'" in errors) == (2, True)


def test_a_partial_output_of_another_first_stage_is_not_continued(run, beir, tmp_path):
    (tmp_path / "lists.jsonl.partial").touch()
    (tmp_path / "lists.jsonl.partial.journal").write_text('{"first stage": "longest documents first"}\n')
    code, _, errors = run("mine", beir, "--output", tmp_path / "lists.jsonl")
    assert code == 2
    assert "first stage longest documents first (now BM25" in errors
