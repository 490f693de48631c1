"""One document of megabytes through the commands: Python's memory stays within a few times the document's size."""

import json
import subprocess
import sys
import tracemalloc

import pytest

pytestmark = pytest.mark.slow

SIZE = 2_000_000
HUGE = "sort a list of words in place " * (SIZE // 30)
TRAIN = "train --base {model} --data lists.jsonl --output out --set training.max_steps=1 --set training.bf16=false"

COMMANDS = {
    "rank": "rank sort --documents documents.txt --model {model}",
    "rerank": "rerank --run run.trec --queries queries.tsv --corpus corpus.jsonl --model {model} --output out.trec",
    "train": f"{TRAIN} --set list_size=3 --set max_length=64",
    "evaluate": "evaluate {model} --data lists.jsonl",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents.txt").write_text(f"{HUGE}\nhow to sort\n")
    corpus = [{"_id": "d0", "text": HUGE}, {"_id": "d1", "text": "how to sort"}]
    (tmp_path / "corpus.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in corpus))
    (tmp_path / "queries.tsv").write_text("q0\tsort a list\n")
    (tmp_path / "run.trec").write_text("q0 Q0 d0 1 9 x\nq0 Q0 d1 2 8 x\n")
    lists = [{"query": f"word {i}", "docs": ["sort a list", "other", "how to"], "labels": [1, 0, 0]} for i in range(4)]
    lists[1]["docs"][1] = HUGE
    (tmp_path / "lists.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in lists))


RESIDENT = """
import resource, sys
from plackett.cli import main

def peak(documents):
    sys.argv = ["plackett", "rank", "sort", "--documents", documents, "--model", sys.argv[-1]]
    try:
        main()
    except SystemExit as exit_:
        assert not exit_.code, exit_.code
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small = peak("small.txt")
print(peak("documents.txt") - small, file=sys.stderr)
"""


@pytest.mark.process
def test_50_megabytes_in_one_line_stay_within_a_few_times_their_size(place, tmp_path, bert):
    size = 50_000_000
    (tmp_path / "small.txt").write_text("how to sort\n")
    (tmp_path / "documents.txt").write_text(f"{HUGE * (size // len(HUGE))}\nhow to sort\n")
    command = [sys.executable, "-c", RESIDENT, str(bert)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < 12 * size


@pytest.mark.parametrize("name", COMMANDS)
def test_a_huge_document_takes_a_few_times_its_size(run, place, bert, name):
    words = COMMANDS[name].format(model=bert).split()
    assert run(*words)[0] == 0  # what is imported and kept does not count
    tracemalloc.start()
    try:
        code, _, errors = run(*words)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code == 0, errors
    assert peak < 12 * SIZE
