"""`plackett mine`: lists on disk, a summary on standard error, a process that is killed and goes on."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from plackett import CrossEncoder
from plackett.data import read_lists
from plackett.retrieval.hard_negatives import MiningSettings, mine
from slow_writes import SLOW

WORDS = ["apple", "pear", "plum", "list", "sort", "file", "path", "word", "json", "text"]


@pytest.fixture
def folder(tmp_path):
    """A BEIR folder of 120 documents and 200 queries: four chunks."""
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    corpus = [" ".join(WORDS[(i * step) % 10] for step in (1, 3, 7)) + f" number{i}" for i in range(120)]
    queries = [f"{WORDS[i % 10]} {WORDS[i * 3 % 10]} number{i % 120}" for i in range(200)]
    for name, texts in (("corpus", corpus), ("queries", queries)):
        lines = (json.dumps({"_id": str(i), "text": text}) + "\n" for i, text in enumerate(texts))
        (folder / f"{name}.jsonl").write_text("".join(lines))
    judged = "".join(f"{i}\t{i % 120 if i % 11 else 'gone'}\t1\n" for i in range(200))
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


def test_bm25_alone_writes_lists_and_says_how_many(run, folder, tmp_path, caplog):
    output = tmp_path / "new" / "lists.jsonl"
    code, printed, errors = run("mine", folder, "--output", output, "--negatives", 3)
    assert (code, printed) == (0, f"{output}\n")
    assert errors.splitlines() == [
        "lists: 181 of 200 queries, 0 with fewer negatives than requested",
        "skipped queries: 19, 19 without a positive in the corpus, 0 without a negative",
        "dropped candidates: 0 presumed false negatives, 0 duplicates",
    ]
    assert "the corpus lacks 1 of 118 judged documents: gone" in caplog.text
    lists = list(read_lists(output))
    assert len(lists) == 181
    assert all(item.labels == (1, 0, 0, 0) for item in lists)


def test_every_option_reaches_the_settings(run, folder, bert, tmp_path):
    corpus = [json.loads(line)["text"] for line in (folder / "corpus.jsonl").read_text().splitlines()]
    query = json.loads((folder / "queries.jsonl").read_text().splitlines()[3])["text"]
    best = CrossEncoder(bert).rank(query, corpus)[0]["corpus_id"]  # as positive, so that the margins leave negatives
    (folder / "qrels" / "dev.tsv").write_text(f"3\t{best}\t2\n")
    options = (
        "--split dev --depth 60 --negatives 5 --min-rank 2 --max-rank 40 --margin 0.01 --relative-margin 0.01 "
        "--teacher-labels --draw random --seed 7"
    )
    code, _, errors = run("mine", folder, "--output", tmp_path / "a", "--teacher", bert, *options.split())
    assert code == 0, errors
    settings = MiningSettings(
        depth=60, negatives=5, min_rank=2, max_rank=40, margin=0.01, relative_margin=0.01, teacher_labels=True,
        draw="random", seed=7,
    )  # fmt: skip
    mine(folder, tmp_path / "b", settings, split="dev", teacher=CrossEncoder(bert))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    [row] = map(json.loads, (tmp_path / "a").read_text().splitlines())
    assert (row["qid"], row["docids"][0], row["labels"]) == ("3", str(best), row["teacher_scores"])


MISTAKES = {
    "no folder there": ("{tmp}/none --output {tmp}/x", "none"),
    "no such split": ("{tmp}/data --output {tmp}/x --split test", "qrels/test.tsv"),
    "no output": ("{tmp}/data", "--output"),
    "no negatives": ("{tmp}/data --output {tmp}/x --negatives 0", "negatives is 0"),
    "an empty window": ("{tmp}/data --output {tmp}/x --min-rank 50 --max-rank 20", "min_rank 50, max_rank 20"),
    "a margin without a teacher": ("{tmp}/data --output {tmp}/x --margin 1", "margin cannot be used without a teacher"),
    "a misspelt draw": ("{tmp}/data --output {tmp}/x --draw rnadom", "did you mean 'random'"),
    "no teacher there": ("{tmp}/data --output {tmp}/x --teacher {tmp}/none", "none"),
    "an output that is a folder": ("{tmp}/data --output {tmp}", "is a folder"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_exit_code_2_and_one_clear_line_and_writes_nothing(run, folder, tmp_path, name):
    words, named = MISTAKES[name]
    code, output, errors = run("mine", *shlex.split(words.format(tmp=tmp_path)))
    assert (code, output) == (2, "")
    assert named in errors
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(folder, graph, tmp_path):
    output, whole = tmp_path / "lists.jsonl", tmp_path / "whole.jsonl"
    partial, journal = (tmp_path / f"lists.jsonl.{end}" for end in ("partial", "partial.journal"))
    options = f"--teacher {shlex.quote(str(graph))} --negatives 4 --depth 20 --draw random --margin 0.05"
    arguments = ["mine", str(folder), "--output", str(output), *shlex.split(options)]
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if journal.exists() and journal.read_bytes().count(b"\n") >= 3:  # the settings and two chunks
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert partial.stat().st_size
    assert not output.exists()
    result = subprocess.run([sys.executable, "-m", "plackett", *arguments], capture_output=True, text=True, check=True)
    assert re.search(r"continued after (128|192) queries", result.stderr)
    assert result.stdout == f"{output}\n"
    settings = MiningSettings(negatives=4, depth=20, draw="random", margin=0.05)
    report = mine(folder, whole, settings, teacher=CrossEncoder(graph)).report
    assert output.read_bytes() == whole.read_bytes()
    assert f"lists: {report.lists} of 200 queries" in result.stderr  # behind a bar, where it took long
    assert not partial.exists()
    assert not journal.exists()
