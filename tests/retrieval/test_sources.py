"""Where collections come from is kept with them: what one needs to measure the same again."""

import json
from importlib.metadata import version

import bm25s
import pytest

from plackett.records import Origin
from plackett.retrieval.first_stage import FirstStageSettings
from plackett.retrieval.sources import Sources, first_stage, read_named, read_one

COMMIT = "0123456789" * 4
ROWS = [{"qid": f"q{n}", "query": f"apple {n}", "docs": ["the apple", "a pear"], "labels": [1, 0]} for n in range(3)]


@pytest.fixture
def hub_file(tmp_path, monkeypatch):
    """A file of lists in the cache of the hub, as `main`."""
    repository = tmp_path / "hub" / "datasets--org--name"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT / "test.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "the apple"}\n{"_id": "e", "text": "a pear"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "apple"}\n')
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    return folder


def test_a_file_of_the_hub_is_known_by_its_name_and_commit(hub_file):
    [collection] = read_named("hf://datasets/org/name/test.jsonl")
    assert collection.origin == Origin(
        source="hf://datasets/org/name/test.jsonl", revision=COMMIT, first_stage="the order in the file"
    )


def test_a_local_file_is_known_by_its_name_only(tmp_path):
    (tmp_path / "lists.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    [collection] = read_named(str(tmp_path / "lists.jsonl"))
    assert collection.name == "lists.jsonl"
    assert collection.origin == Origin(first_stage="the order in the file")


def test_the_first_stage_of_a_beir_folder_is_bm25_as_bm25s_has_it(beir):
    [collection] = read_named(str(beir), split="dev")
    assert collection.origin == Origin(files={"qrels": "dev.tsv"})
    index = bm25s.BM25()
    assert first_stage(collection, 10).origin.first_stage == (
        f"BM25 (bm25s {version('bm25s')}, {index.method}, k1 {index.k1}, b {index.b}, English stop words, no stemming)"
    )


def test_files_in_place_of_parts_are_named(beir, tmp_path):
    (tmp_path / "first.trec").write_text("q Q0 e 1 2.0 x\nq Q0 d 2 1.0 x\n")
    (tmp_path / "qrels.txt").write_text("q 0 e 1\n")
    files = {"run": tmp_path / "first.trec", "qrels": tmp_path / "qrels.txt"}
    [collection] = Sources(data=[str(beir)], split="dev", **files).read(10)
    assert collection.origin == Origin(first_stage="first.trec", files={"qrels": "qrels.txt"})
    [collection] = Sources(queries=beir / "queries.jsonl", corpus=beir / "corpus.jsonl", **files).read(10)
    assert collection.origin == Origin(
        first_stage="first.trec",
        files={"qrels": "qrels.txt", "queries": "queries.jsonl", "corpus": "corpus.jsonl"},
    )


def test_columns_reach_queries_and_corpus(tmp_path, beir):
    (tmp_path / "q.csv").write_text("number,question\nq,apple\n")
    (tmp_path / "c.csv").write_text("key,body\nd,the apple\ne,a pear\n")
    columns = {"query": "question", "qid": "number", "text": "body", "docid": "key"}
    qrels = beir / "qrels" / "dev.tsv"
    sources = Sources(qrels=qrels, queries=tmp_path / "q.csv", corpus=tmp_path / "c.csv", columns=columns)
    [collection] = sources.read(10)
    assert (collection.queries, collection.corpus) == ({"q": "apple"}, {"d": "the apple", "e": "a pear"})
    assert [scored.doc_id for scored in collection.run] == ["d"]


def test_columns_reach_the_files_of_a_beir_folder(beir):
    (beir / "queries.jsonl").write_text('{"number": "q", "question": "apple"}\n')
    (beir / "corpus.jsonl").write_text('{"_id": "d", "body": "the apple"}\n')
    collection = read_one(str(beir), 10, split="dev", columns={"query": "question", "qid": "number", "text": "body"})
    assert (collection.queries, collection.corpus) == ({"q": "apple"}, {"d": "the apple"})


@pytest.mark.parametrize("show_progress", [False, True])
def test_progress_is_shown_where_it_is_asked_for(beir, bert, capsys, show_progress):
    stage = FirstStageSettings(name=f"bi_encoder:{bert}")
    Sources(data=[str(beir)], split="dev", first_stage=stage).read(10, show_progress=show_progress)
    assert ("embedding" in capsys.readouterr().err) == show_progress
