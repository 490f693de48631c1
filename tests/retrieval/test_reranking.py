"""From a run to a run: the scores of the model, each pair once, to the same bytes after a kill."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from plackett import CrossEncoder
from plackett.data import read_run
from plackett.engines.base import FakeEngine
from plackett.ranking import best_first, by_query
from plackett.records import Collection
from plackett.retrieval import reranking
from slow_writes import SLOW

WORDS = ["apple", "pear", "plum", "list", "sort", "file", "path", "word", "json", "text"]


@pytest.fixture
def files(tmp_path):
    """Four chunks of queries, five candidates each; the corpus holds more than the run names."""
    corpus = {f"d{i}": " ".join(WORDS[(i * step) % 10] for step in (1, 3, 7)) + f" {i}" for i in range(60)}
    queries = {f"q{i}": f"{WORDS[i % 10]} {i}" for i in range(100)}
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in corpus.items())
    )
    (tmp_path / "queries.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in queries.items()))
    (tmp_path / "first.trec").write_text(
        "".join(
            f"q{i} Q0 d{(i * 7 + rank) % 50} {rank + 1} {10 - rank} bm25\n" for i in range(100) for rank in range(5)
        )
    )
    return tmp_path, queries, corpus


def rerank(files, encoder, **options):
    folder, *_ = files
    texts = {"queries": folder / "queries.tsv", "corpus": folder / "corpus.jsonl"}
    return reranking.rerank_file(encoder, folder / "first.trec", folder / "out.trec", **texts, **options)


def test_the_run_holds_the_models_logits_best_first(files, bert):
    folder, queries, corpus = files
    encoder = CrossEncoder(bert)
    done = rerank(files, encoder)
    assert (done.queries, done.pairs, done.done_before) == (100, 500, 0)
    before, after = read_run(folder / "first.trec"), read_run(folder / "out.trec")
    assert {scored[:2] for scored in before} == {scored[:2] for scored in after}
    assert list(dict.fromkeys(scored.query_id for scored in after)) == list(queries)
    logits = encoder.score([(queries[scored.query_id], corpus[scored.doc_id]) for scored in after])[:, 0]
    np.testing.assert_allclose([scored.score for scored in after], logits, atol=1e-5)
    lines = [line.split() for line in (folder / "out.trec").read_text().splitlines()]
    assert [int(line[3]) for line in lines] == [1, 2, 3, 4, 5] * 100
    for start in range(0, 500, 5):
        assert sorted(range(5), key=lambda i: -after[start + i].score) == list(range(5))


@pytest.mark.parametrize("function", [len, lambda ids: -len(ids)], ids=["positive", "negative"])
def test_empty_documents_come_last_whatever_the_sign_of_the_logits(files, bert, function):
    folder, queries, corpus = files
    empty = {"d0", "d7", "d20"}
    texts = {doc_id: "" if doc_id in empty else text for doc_id, text in corpus.items()}
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": k, "text": v}) + "\n" for k, v in texts.items()))
    encoder = CrossEncoder(bert, engine=FakeEngine(function))
    rerank(files, encoder)
    collection = Collection("c", queries, texts, (), read_run(folder / "first.trec"))
    for run in (reranking.rerank(encoder, collection, depth=5), read_run(folder / "out.trec")):
        for candidates in by_query(run).values():
            order = [scored.doc_id in empty for scored in best_first(candidates)]
            assert order == sorted(order)
            assert any(order) == any(scored.doc_id in empty for scored in candidates)
    assert any(scored.doc_id in empty for scored in collection.run)


def test_each_pair_is_scored_once_and_no_other(files, bert):
    engine = FakeEngine(len)
    seen = Counter()
    score = engine.score
    engine.score = lambda batch: (
        seen.update(map(tuple, np.split(batch.token_ids, batch.cu_seqlens[1:-1]))),
        score(batch),
    )[1]
    rerank(files, CrossEncoder(bert, engine=engine), depth=3)
    assert sum(seen.values()) == 300
    assert len(read_run(files[0] / "out.trec")) == 300
    assert {(scored.query_id, scored.doc_id) for scored in read_run(files[0] / "out.trec")} == {
        (scored.query_id, scored.doc_id) for scored in read_run(files[0] / "first.trec") if scored.score > 7
    }


def test_only_texts_that_the_run_names_are_kept(files, monkeypatch, bert):
    kept = []

    def noted(read):
        return lambda *given, **options: kept.append(read(*given, **options)) or kept[-1]

    for name in ("read_queries", "read_corpus"):
        monkeypatch.setattr(reranking, name, noted(getattr(reranking, name)))
    rerank(files, CrossEncoder(bert))
    assert [len(texts) for texts in kept] == [100, 50]


MISTAKES = {
    "a document without a text": ("first.trec", "q5 Q0 {} 1 1 t", "corpus.jsonl .* 8 of .*: x7, x6, x5, x4, x3, …"),
    "a document twice": ("first.trec", "q5 Q0 d1 1 1 t", "first.trec:2: 'd1' .*'q5', .*line 1"),
    "a query without a text": ("first.trec", "x Q0 d{i} 1 1 t", "queries.tsv .* 1 of the queries of first.trec: x"),
    "qrels": ("first.trec", "q5 0 d{i} 1", "first.trec:1: .*looks like qrels"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_and_leaves_nothing(run, files, bert, name):
    folder, *_ = files
    file, line, named = MISTAKES[name]
    (folder / file).write_text("\n".join(line.format(f"x{i}", i=i) for i in range(8)) + "\n")
    code, output, errors = run("rerank", *shlex.split(options(folder, bert)))
    assert (code, output) == (2, "")
    assert re.search(named, errors)
    assert sorted(path.name for path in folder.iterdir()) == ["corpus.jsonl", "first.trec", "queries.tsv"]


def test_a_pipe_is_refused_because_an_interrupted_run_could_not_continue(run, files, bert):
    folder, *_ = files
    (folder / "first.trec").unlink()
    os.mkfifo(folder / "first.trec")
    code, _, errors = run("rerank", *shlex.split(options(folder, bert)))
    assert code == 2
    assert "first.trec is a pipe" in errors


def options(folder, bert, output="out.trec"):
    return (
        f"--run {folder}/first.trec --queries {folder}/queries.tsv --corpus {folder}/corpus.jsonl "
        f"--model {bert} --output {folder}/{output}"
    )


def test_a_partial_output_of_another_model_is_not_continued(run, files, bert, tiny):
    folder, *_ = files
    encoder = CrossEncoder(bert)
    lines, calls = reranking._reranked_lines, iter([True, False])

    def interrupted(*given):
        if not next(calls):
            raise KeyboardInterrupt
        return lines(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranking, "_reranked_lines", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rerank(files, encoder)
    assert (folder / "out.trec.partial").is_file()
    code, _, errors = run("rerank", *shlex.split(options(folder, tiny("electra"))))
    assert code == 2
    assert "was started with model" in errors
    assert rerank(files, encoder).done_before == 32


def test_an_interruption_says_what_is_kept_and_how_to_continue(run, files, bert, monkeypatch):
    lines, calls = reranking._reranked_lines, iter([True, False])

    def interrupted(*given):
        if not next(calls):
            raise KeyboardInterrupt
        return lines(*given)

    with monkeypatch.context() as patch:
        patch.setattr(reranking, "_reranked_lines", interrupted)
        code, output, errors = run("rerank", *shlex.split(options(files[0], bert)))
    assert (code, output) == (130, "")
    assert "32 queries are done and kept in out.trec.partial" in errors
    code, _, errors = run("rerank", *shlex.split(options(files[0], bert)))
    assert (code, "continued after 32 queries" in errors) == (0, True)


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(files, graph):
    folder, *_ = files
    journal = folder / "out.trec.partial.journal"
    arguments = ["rerank", *shlex.split(options(folder, graph))]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if journal.exists() and journal.read_bytes().count(b"\n") >= 3:  # the facts and two chunks
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert not (folder / "out.trec").exists()
    result = subprocess.run([sys.executable, "-m", "plackett", *arguments], capture_output=True, text=True, check=True)
    assert result.stdout == f"{folder}/out.trec\n"
    assert "reranked: 500 pairs of 100 queries" in result.stderr
    assert any(f"continued after {done} queries" in result.stderr for done in (64, 96))
    whole = [sys.executable, "-m", "plackett", "rerank", *shlex.split(options(folder, graph, "whole.trec"))]
    subprocess.run(whole, capture_output=True, check=True)
    assert (folder / "out.trec").read_bytes() == (folder / "whole.trec").read_bytes()
    assert not list(folder.glob("*.partial*"))
