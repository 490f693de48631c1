"""The command line: results on standard output, one line and exit code 2 for a user's mistake."""

import gzip
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import date

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett import CrossEncoder
from plackett.cli import rank
from plackett.cli.group import commands
from plackett.training.recipe import read_recipe

DOCUMENTS = ["the red apple", "a green pear", "blue sky"]


class NamedBytes(io.BytesIO):
    name = "<stdin>"


@pytest.fixture
def lists_file(tmp_path):
    path = tmp_path / "lists.jsonl"
    rows = [{"qid": f"q{i}", "query": f"apple {i}", "docs": DOCUMENTS, "labels": [2, 0, 1]} for i in range(4)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("name", [None, *commands.commands])
def test_every_command_has_help_with_every_option_explained(run, name):
    code, output, _ = run(*([name] if name else []), "--help")
    assert code == 0
    assert output.startswith("Usage: plackett")
    for parameter in commands.commands[name].params if name else ():
        assert not isinstance(parameter, click.Option) or parameter.hidden or parameter.help, parameter.name


def test_rank_prints_the_documents_best_first(run, bert):
    code, output, errors = run("rank", "apple", *DOCUMENTS, "--model", bert)
    expected = CrossEncoder(bert).rank("apple", DOCUMENTS, return_documents=True)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [f"{item['score']:.4f}  {item['text']}" for item in expected]


def test_texts_cannot_command_the_terminal(run, bert, tmp_path):
    text = "a pear\x1b[31m\x9b2J\x07 and\x08 a plum"
    (tmp_path / "documents.jsonl").write_text(json.dumps({"text": text}) + "\n")
    printed = run("rank", "pear", text, "--model", bert)[1]
    printed += run("search", tmp_path / "documents.jsonl", "pear", "--model", bert)[1]
    assert printed.count(r"\x1b[31m\x9b2J\x07 and\x08") == 2
    assert printed.replace("\n", "").isprintable()


@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_rank_reads_documents_from_files_and_prints_json(run, bert, tmp_path, suffix):
    path = tmp_path / f"documents.{suffix}"
    documents = DOCUMENTS if suffix == "txt" else [{"_id": "1", "text": text, "url": "/a"} for text in DOCUMENTS]
    lines = documents if suffix == "txt" else map(json.dumps, documents)
    path.write_text("\n\n".join(lines) + "\n")
    code, output, _ = run("rank", "apple", "--documents", path, "--model", bert, "--top-k", 2, "--json")
    assert code == 0
    expected = CrossEncoder(bert).rank("apple", documents, return_documents=True)[:2]
    assert [json.loads(line) for line in output.splitlines()] == expected


def test_rank_prints_values_that_json_does_not_know(run, bert, tmp_path):
    path = tmp_path / "documents.parquet"
    pq.write_table(pa.table({"text": ["an apple"], "day": [date(2026, 11, 29)]}), path)
    code, output, _ = run("rank", "apple", "--documents", path, "--model", bert, "--json")
    assert code == 0
    assert json.loads(output)["document"]["day"].startswith("2026-11-29")


def test_rank_reads_standard_input(run, bert, monkeypatch):
    stream = NamedBytes("\n".join(DOCUMENTS).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
    code, output, _ = run("rank", "apple", "--documents", "-", "--model", bert)
    assert code == 0
    assert len(output.splitlines()) == 3


def test_rank_explains_what_it_shows(run, bert):
    texts = ["One apple. Two pears!", "A list of words."]
    code, output, _ = run("rank", "apple", *texts, "--model", bert, "--explain")
    expected = CrossEncoder(bert).rank("apple", texts, return_documents=True, explain=True)
    assert code == 0
    assert output.splitlines() == [
        line
        for item in expected
        for line in (
            f"{item['score']:.4f}  {item['text']}",
            *(f"    {part['contribution']:+.4f}  {part['text'].strip()}" for part in item["explanation"]),
        )
    ]
    code, output, _ = run("rank", "apple", *texts, "--model", bert, "--explain", "--json")
    assert [json.loads(line) for line in output.splitlines()] == expected


def test_rank_reads_long_documents_in_windows(run, bert):
    texts = ["words and paths " * 60, "a file"]
    _, output, _ = run("rank", "apple", *texts, "--model", bert, "--long-documents", "windows", "--json")
    encoder = CrossEncoder(bert, long_documents="windows")
    expected = encoder.rank("apple", texts, return_documents=True, return_windows=True)
    assert [json.loads(line) for line in output.splitlines()] == expected


def test_evaluate_and_rerank_read_long_documents_in_windows(run, bert, tmp_path):
    query, texts = "apple", {"a": "words and paths " * 60, "b": "a file"}
    (tmp_path / "corpus.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in texts.items()))
    (tmp_path / "queries.tsv").write_text(f"q\t{query}\n")
    (tmp_path / "first.trec").write_text("q Q0 a 1 2 x\nq Q0 b 2 1 x\n")
    (tmp_path / "qrels.txt").write_text("q 0 a 1\n")
    files = [
        "--queries",
        tmp_path / "queries.tsv",
        "--corpus",
        tmp_path / "corpus.tsv",
        "--run",
        tmp_path / "first.trec",
    ]
    long = ["--long-documents", "windows"]
    code, _, errors = run("rerank", *files, "--model", bert, "--output", tmp_path / "out.trec", *long)
    assert code == 0, errors
    scores = {line.split()[2]: float(line.split()[4]) for line in (tmp_path / "out.trec").read_text().splitlines()}
    expected = CrossEncoder(bert, long_documents="windows").score([(query, text) for text in texts.values()])[:, 0]
    assert [scores[key] for key in texts] == pytest.approx(expected.tolist(), abs=1e-4)
    judged = ["evaluate", bert, *files, "--qrels", tmp_path / "qrels.txt", "--measures", "RR"]
    code, output, errors = run(*judged, *long)
    assert code == 0, errors
    assert f"{1.0 if expected[0] > expected[1] else 0.5:.4f}" in output
    for more, message in ((["--card"], "--card"), (["--semantics", "reference"], "--semantics reference")):
        code, _, errors = run(*judged, *long, *more)
        assert (code, message in errors) == (2, True), errors


def test_evaluate_prints_a_table_and_writes_json(run, bert, lists_file, tmp_path):
    code, output, _ = run(
        "evaluate", bert, "--data", lists_file, "--json", tmp_path / "out.json", "--measures", "nDCG@10 P@1"
    )
    assert code == 0
    figures = json.loads((tmp_path / "out.json").read_text())["collections"]["lists.jsonl"]
    assert figures["queries"] == 4
    assert figures["measures"]["P@1"]["first_stage"] == 1.0
    for name, row in figures["measures"].items():
        assert row["difference"] == pytest.approx(row["reranked"] - row["first_stage"])
        assert f"{row['reranked']:.4f}" in next(line for line in output.splitlines() if line.startswith(name))


def test_evaluate_finds_the_first_stage_of_a_beir_folder_by_bm25(run, bert, tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    with gzip.open(folder / "corpus.jsonl.gz", "wt") as stream:
        stream.writelines(
            json.dumps({"_id": str(i), "title": "", "text": text}) + "\n" for i, text in enumerate(DOCUMENTS)
        )
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "apple pear"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    code, output, _ = run("evaluate", bert, "--data", folder)
    assert code == 0
    assert output.startswith("beir: 1 query")


def test_train_writes_a_checkpoint_with_its_card(run, bert, lists_file, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"base: {bert}\ntrain: {lists_file}\ntest: {lists_file}\noutput: {tmp_path / 'first'}\n")
    changes = ["training.max_steps=2", "training.bf16=false", f"output={tmp_path / 'model'}", "loss={name: list_mle}"]
    code, output, errors = run("train", recipe, *(word for change in changes for word in ("--set", change)))
    assert code == 0, errors
    assert output.strip() == str(tmp_path / "model")
    assert not (tmp_path / "first").exists()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "`list_mle`" in card
    assert "lists.jsonl: 4 queries" in card
    scores = CrossEncoder(tmp_path / "model").predict([("apple 0", text) for text in DOCUMENTS])
    assert all(f"# {score:.4f}" in card for score in scores)


def test_a_base_without_weights_is_refused_before_anything_else(run, graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = shutil.copytree(graph, tmp_path / "base")
    path = next(base.rglob("*.onnx"))
    path.write_bytes(path.read_bytes()[:100])
    code, output, errors = run("train", "--data", "nothing.jsonl", "--base", "base", "--output", "out")
    assert (code, output) == (2, "")
    assert path.name in errors
    assert "nothing.jsonl" not in errors
    assert [entry.name for entry in tmp_path.iterdir()] == ["base"]


@pytest.mark.slow
def test_the_embedded_model_is_a_base(run, lists_file, tmp_path):
    """One step at a rate of nearly 0 leaves its scores where they were."""
    output = tmp_path / "model"
    settings = {"training.max_steps": 1, "training.bf16": "false", "training.learning_rate": 1e-12}
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    code, _, errors = run("train", "--data", lists_file, "--base", "default", "--output", output, *changes)
    assert code == 0, errors
    pairs = [("apple", text) for text in DOCUMENTS]
    found, expected = (CrossEncoder(model).score(pairs) for model in (output, "default"))
    np.testing.assert_allclose(found, expected, atol=0.25)  # the graph rounds its inputs, these are unusually short
    assert json.loads((output / "plackett.json").read_text())["model"]["base"] == "default"


def test_train_needs_no_recipe(run, bert, lists_file, tmp_path):
    output = tmp_path / "model"
    settings = ("--set", "training.max_steps=1", "--set", "training.bf16=false", "--set", "max_length=32")
    code, printed, errors = run("train", "--data", lists_file, "--base", bert, "--output", output, *settings)
    assert code == 0, errors
    assert printed.strip() == str(output)
    written = json.loads((output / "recipe.json").read_text())
    assert written["train"] == {str(lists_file): 1.0}
    assert written["loss"]["name"] == "p_list_mle"


def test_a_shipped_recipe_is_shown_and_can_be_trained_by(run, tmp_path):
    code, printed, _ = run("train", "distil", "--show")
    assert code == 0
    (tmp_path / "mine.yaml").write_text(printed)
    assert read_recipe(tmp_path / "mine.yaml") == read_recipe("distil")


MISTAKES = {
    "no model there": ("rank q d --model {tmp}/none", "none"),
    "a file for a model": ("rank q d --model {tmp}/broken.jsonl", "is a file"),
    "an empty query": ("rank ' ' d --model {bert}", "query is empty"),
    "no documents": ("rank q --model {bert}", "no documents"),
    "a document that is too long": ("rank q {long} --model {bert} --long-documents error", "document 0: the document"),
    "an unknown policy": ("rank q d --model {bert} --long-documents cut", "unknown long_documents 'cut'"),
    "a negative top_k": ("rank q d --model {bert} --top-k -1", "top_k"),
    "a broken line": ("evaluate {bert} --data {tmp}/broken.jsonl", "broken.jsonl:2"),
    "no data there": ("evaluate {bert} --data {tmp}/none", "none"),
    "an unknown measure": ("evaluate {bert} --data {tmp}/good.jsonl --measures nDGC@10", "nDGC@10"),
    "no recipe there": ("train {tmp}/none.yaml", "none.yaml"),
    "a recipe of no such name": ("train lsts", "lsts"),
    "neither a recipe nor data": ("train", "--data"),
    "a base that is not in the cache": ("train --data {tmp}/graded.jsonl --output {tmp}/out", "--base default"),
    "an unknown command": ("rnak", "rnak"),
    "an unknown option": ("rank q --modle x", "--model"),
    "an empty file of documents": (
        "rank q --documents {tmp}/empty.csv",
        "empty.csv contains no documents",
    ),
    "an address without http": ("rank q d --model localhost:8000", "http://localhost:8000"),
    "a card of a model that is no folder": ("card default", "save_pretrained"),
    "publishing a model that is no folder": ("publish default org/name --dry-run", "save_pretrained"),
    "an export of an export": ("export default --engine onnx --output {tmp}/out", "is an export itself, for onnx"),
    "a folder without text": ("search {tmp} q", "skipped 3 files, such as broken.jsonl"),
    "a file of documents that is not there": ("rank q --documents {tmp}/none --model {bert}", "none"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_exit_code_2_and_one_clear_line(run, bert, tmp_path, name):
    good = '{"query": "q", "docs": ["d"], "labels": [1]}\n'
    (tmp_path / "good.jsonl").write_text(good)
    (tmp_path / "broken.jsonl").write_text(good + '{"query": \n')
    (tmp_path / "graded.jsonl").write_text('{"query": "q", "docs": ["d", "e"], "labels": [1, 0]}\n')
    (tmp_path / "empty.csv").touch()
    words, named = MISTAKES[name]
    code, output, errors = run(*shlex.split(words.format(bert=bert, tmp=tmp_path, long=f"'{'word ' * 200}'")))
    assert code == 2
    assert output == ""
    assert named in errors
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if line.startswith(("plackett:", "Error:"))]) == 1


@pytest.mark.process
def test_the_module_runs_as_a_command():
    result = subprocess.run([sys.executable, "-m", "plackett", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("plackett, version ")


@given(st.text("ab \n\t\u2003", max_size=60))
def test_a_text_is_shown_in_one_line(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank, "PIECES", re.compile(r"\S.{0,7}\S*", re.DOTALL))
        assert rank._one_line(text) == " ".join(text.split())
