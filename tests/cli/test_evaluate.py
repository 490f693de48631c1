"""`plackett evaluate`: several systems, collections and depths; TREC files; what it writes; what it refuses."""

import csv
import errno
import json
import shlex

import pytest

from plackett import CrossEncoder
from plackett.data import read_collection
from plackett.evaluation import compare
from plackett.evaluation.report import REPORTS

WORDS = ["apple", "pear", "plum", "list", "sort", "file"]


@pytest.fixture
def folder(tmp_path):
    """Two files of lists; the first of them also as TREC files, with a second run."""
    for name, shift in (("one", 0), ("two", 3)):
        rows = [
            {
                "qid": f"q{q}",
                "query": f"{WORDS[(q + shift) % 6]} {q}",
                "docs": [f"{WORDS[(q * d) % 6]} text {d}" for d in range(8)],
                "docids": [f"d{q}-{d}" for d in range(8)],
                "labels": [int(d % 5 == 2) for d in range(8)],
            }
            for q in range(10)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collection = read_collection(tmp_path / "one.jsonl")
    files = {
        "queries.tsv": (f"{key}\t{text}" for key, text in collection.queries.items()),
        "corpus.jsonl": (json.dumps({"_id": key, "text": text}) for key, text in collection.corpus.items()),
        "qrels.txt": (f"{q} 0 {d} {grade}" for q, d, grade in collection.qrels),
        "first.trec": (f"{q} Q0 {d} 1 {score} lists" for q, d, score in collection.run),
        "other.trec": (f"{q} Q0 {d} 1 {-score} other" for q, d, score in collection.run),
    }
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("target", ["file", "file/inside", "one.jsonl", "."])
def test_the_reference_s_folder_is_checked_before_the_work(run, folder, bert, monkeypatch, target):
    (folder / "file").write_text("mine")
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr("plackett.workflows.evaluate_as_reference.CrossEncoder", None)  # nothing is loaded
    words = ["evaluate", bert, "--data", folder / "one.jsonl", "--semantics", "reference", "--csv", folder / target]
    code, table, errors = run(*words)
    assert (code, table) == (2, ""), errors
    assert sorted(folder.rglob("*")) == before
    assert (folder / "file").read_text() == "mine"


def test_trec_files_give_the_figures_of_the_collection_they_are(run, folder, bert):
    for options, name in (
        (f"--data {folder}/one.jsonl", "one.jsonl"),
        (
            "--run {0}/first.trec --qrels {0}/qrels.txt --queries {0}/queries.tsv --corpus {0}/corpus.jsonl",
            "first.trec",
        ),
    ):
        words = shlex.split(options.format(folder))
        code, _, errors = run("evaluate", bert, *words, "--output", folder / f"{name}.json", "--per-query")
        assert code == 0, errors
    one, other = (
        json.loads((folder / f"{name}.json").read_text())["collections"][name] for name in ("one.jsonl", "first.trec")
    )
    assert one == other
    expected = compare(CrossEncoder(bert), read_collection(folder / "one.jsonl"), depth=100)
    for measure, figures in one["measures"].items():
        assert figures["reranked"] == expected.measures[measure].reranked
        assert figures["p_value"] == expected.measures[measure].significance.p_value
        assert len(one["per_query"][measure]) == 10


def test_runs_alone_need_no_texts(run, folder):
    code, output, errors = run(
        "evaluate", folder / "other.trec", "--run", folder / "first.trec", "--qrels", folder / "qrels.txt"
    )
    assert (code, errors) == (0, "")
    assert output.startswith("first.trec: 10 queries")


def test_systems_collections_and_depths_stand_in_one_report(run, folder, bert, tiny, monkeypatch):
    scored = []
    score = CrossEncoder.score_encoded

    def counted(self, pairs, **given):
        scored.append(len(pairs))
        return score(self, pairs, **given)

    monkeypatch.setattr(CrossEncoder, "score_encoded", counted)
    code, output, errors = run(
        "evaluate", bert, tiny("electra"), "--data", folder / "one.jsonl", "--data", folder / "two.jsonl", "--depth",
        "2,4,8", "--measures", "nDCG@10 P@1", "--output", folder / "out.json", "--output", folder / "out.csv",
        "--output", folder / "out.html", "--output", folder / "out.md",
    )  # fmt: skip
    assert code == 0, errors
    assert scored == [80] * 4  # all depths in one pass
    assert [block.partition(":")[0] for block in output.split("\n\n")] == ["one.jsonl", "two.jsonl", "mean"]
    figures = json.loads((folder / "out.json").read_text())
    assert list(figures["systems"]) == [bert.name, tiny("electra").name]
    assert list(figures["collections"]) == ["one.jsonl", "two.jsonl", "mean"]
    one = figures["collections"]["one.jsonl"]
    assert list(one["depths"]) == ["2", "4", "8"]
    for depth, at in one["depths"].items():
        alone = compare(
            CrossEncoder(bert), read_collection(folder / "one.jsonl"), depth=int(depth), measures=["nDCG@10", "P@1"]
        )
        assert at["measures"]["nDCG@10"]["reranked"] == pytest.approx(alone.measures["nDCG@10"].reranked, abs=1e-12)
    with (folder / "out.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 3 * 3 * 2 * 2
    assert (folder / "out.html").read_text().count("<section>") == 3
    assert (folder / "out.md").read_text().count("\n## ") == 2


def test_the_older_options_name_the_same_reports(run, folder):
    words = ["evaluate", folder / "other.trec", "--run", folder / "first.trec", "--qrels", folder / "qrels.txt"]
    kinds = ("json", "csv", "html")
    for option in (lambda kind: "--output", lambda kind: f"--{kind}"):
        files = [(option(kind), folder / f"{option(kind)}.{kind}") for kind in kinds]
        assert run(*words, *(word for pair in files for word in pair))[0] == 0
    for kind in kinds:
        assert (folder / f"--output.{kind}").read_bytes() == (folder / f"--{kind}.{kind}").read_bytes()


@pytest.mark.parametrize(
    ("outputs", "named"),
    [
        (["report.txt"], ".csv, .html, .json, .md"),
        (["report"], ".csv, .html, .json, .md"),
        (["folder.json"], "is a folder"),
        (["a.json", "sub/../a.json"], "named twice"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_scored(run, folder, bert, monkeypatch, outputs, named):
    (folder / "folder.json").mkdir()
    (folder / "sub").mkdir()
    monkeypatch.setattr(CrossEncoder, "score_encoded", lambda *_, **__: pytest.fail("scored"))
    words = [word for name in outputs for word in ("--output", folder / name)]
    code, output, errors = run("evaluate", bert, "--data", folder / "one.jsonl", *words)
    assert (code, output, len(errors.splitlines())) == (2, "", 1)
    assert named in errors


def test_the_table_is_printed_when_files_cannot_be_written(run, folder, monkeypatch):
    """One line for each file that failed, exit code 1, and the other files are there."""

    def full(results):
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken(results):
        raise ZeroDivisionError

    monkeypatch.setitem(REPORTS, ".csv", full)
    monkeypatch.setitem(REPORTS, ".html", broken)
    words = ["evaluate", folder / "other.trec", "--run", folder / "first.trec", "--qrels", folder / "qrels.txt"]
    files = [word for name in ("a.csv", "b.html", "c.json") for word in ("--output", folder / name)]
    code, output, errors = run(*words, *files)
    assert code == 1
    assert output.startswith("first.trec: 10 queries")
    assert [str(folder / "a.csv") in errors.splitlines()[0], str(folder / "b.html") in errors.splitlines()[1]] == [
        True
    ] * 2
    assert len(errors.splitlines()) == 2
    assert sorted(path.name for path in folder.iterdir() if path.suffix in {".csv", ".html", ".json"}) == ["c.json"]


MISTAKES = {
    "no collection": ("{bert}", "--data"),
    "a run without judgements": ("{tmp}/other.trec --run {tmp}/first.trec", "--qrels"),
    "texts that are missing": (
        "{bert} --run {tmp}/first.trec --qrels {tmp}/qrels.txt",
        "first.trec has no text for 10 of the queries of the run: q0, q1, q2, q3, q4, …",
    ),
    "qrels given as a run": ("{bert} --data {tmp}/one.jsonl --run {tmp}/qrels.txt", "looks like qrels"),
    "a run given as qrels": ("{bert} --data {tmp}/one.jsonl --qrels {tmp}/first.trec", "looks like a run"),
    "qrels without a line": ("{tmp}/other.trec --run {tmp}/first.trec --qrels {tmp}/none.txt", "none.txt contains no"),
    "files for two collections": (
        "{bert} --data {tmp}/one.jsonl --data {tmp}/two.jsonl --run {tmp}/first.trec",
        "--run can override parts of a single collection",
    ),
    "one collection twice": ("{bert} --data {tmp}/one.jsonl --data {tmp}/one.jsonl", "the same name"),
    "one system twice": ("{bert} {bert} --data {tmp}/one.jsonl", "named twice"),
    "a depth that is none": ("{bert} --data {tmp}/one.jsonl --depth 10,x", "--depth is '10,x'"),
    "two unknown measures": ("{bert} --data {tmp}/one.jsonl --measures 'nDGC@10 R@'", "'nDGC@10', 'R@'"),
    "unknown semantics": ("{bert} --data {tmp}/one.jsonl --semantics refrence", "did you mean 'reference'"),
    "runs by the reference": ("{tmp}/other.trec --data {tmp}/one.jsonl --semantics reference", "one checkpoint"),
    "an unknown NanoBEIR": ("{bert} --data nanobeir:MSMARC", "did you mean 'MSMARCO'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_exit_code_2_and_one_clear_line(run, folder, bert, name):
    (folder / "none.txt").touch()
    words, named = MISTAKES[name]
    code, output, errors = run("evaluate", *shlex.split(words.format(bert=bert, tmp=folder)))
    assert (code, output) == (2, "")
    assert named in errors
    assert len(errors.splitlines()) == 1
