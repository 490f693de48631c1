"""The demo's first half, and the way to its second."""

import pytest

from plackett import CrossEncoder
from plackett.errors import MissingExtraError
from plackett.workflows.demo import tour
from plackett.workflows.demo.pydocs import DocumentedObject

DOCUMENTS = ["a list of the words", "a list of quotes", "shlex splits it at quotes", "nothing of it"]


@pytest.fixture
def few(monkeypatch):
    """A documentation of few objects."""
    objects = [DocumentedObject(text, "m", "m", text, text) for text in DOCUMENTS]
    monkeypatch.setattr(tour, "read_objects", lambda: objects)


def test_the_first_stage_prefers_what_shares_rare_words():
    assert tour.first_stage("At quotes!", DOCUMENTS, 3) == [DOCUMENTS[2], DOCUMENTS[1], DOCUMENTS[0]]
    assert tour.first_stage("unheard of", DOCUMENTS, 9)[0] in {DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[3]}


@pytest.mark.process
def test_without_the_extra_the_first_half_runs_and_says_what_the_second_needs(run, few, monkeypatch, tmp_path):
    def require(module, *, extra):
        raise MissingExtraError("bm25s")

    monkeypatch.setattr(tour, "require", require)
    monkeypatch.chdir(tmp_path)
    code, output, errors = run("demo")
    assert (code, errors) == (0, "")
    candidates = tour.first_stage(tour.QUESTION, DOCUMENTS, 4)
    ranked = CrossEncoder().rank(tour.QUESTION, candidates)
    assert [line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith("  0.")] == [
        f"{candidates[item['corpus_id']]}  (was {item['corpus_id'] + 1})" for item in ranked
    ]
    assert "pip install 'plackett[train]'" in output.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_with_it_the_second_half_follows(run, few, monkeypatch, tmp_path):
    called = []

    class Demo:
        @staticmethod
        def run(*arguments):
            called.append(arguments)

    monkeypatch.setattr(tour, "require", lambda module, *, extra: Demo)
    code, output, _ = run("demo", "--base", "org/name", "--output", tmp_path / "out", "--seed", 7)
    assert code == 0
    assert called == [("org/name", tmp_path / "out", 7)]
    assert output.index("The embedded model") < output.index("train your own reranker")


def test_a_folder_of_other_things_is_refused_before_the_demo_begins(run, tmp_path):
    (tmp_path / "train.jsonl").write_text("mine")
    code, printed, errors = run("demo", "--output", tmp_path)
    assert (code, printed) == (2, "")
    assert "train.jsonl" in errors
    assert (tmp_path / "train.jsonl").read_text() == "mine"
