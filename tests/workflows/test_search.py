"""Search of files: passages, an index that is brought up to date, and the order of the reranker."""

import gzip
import json
import os

import pytest

from plackett import CrossEncoder
from plackett.errors import DataError
from plackett.retrieval.bm25 import BM25, Splitting
from plackett.retrieval.passages import LENGTH, cut
from plackett.workflows import search
from plackett.workflows.search import open_index
from tiny import TEXTS

QUERY = "a parser for command line options"


@pytest.fixture
def folder(tmp_path):
    """Text in files of several kinds, and what is left out."""
    source = tmp_path / "notes"
    (source / "deep").mkdir(parents=True)
    (source / "one.txt").write_text("\n\n".join(TEXTS[:60]), encoding="utf-8")
    (source / "deep" / "two.md").write_text("# Options\n\nA parser for the command line.\n", encoding="utf-8")
    with gzip.open(source / "three.jsonl.gz", "wt") as stream:
        stream.write("\n".join(json.dumps({"text": text}) for text in TEXTS[60:70]))
    (source / "picture.png").write_bytes(b"\x89PNG\0\xff")
    (source / ".hidden").write_text("parser options", encoding="utf-8")
    (source / "outside").symlink_to("/etc/hostname")
    return source


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are cut into passages."""
    names = []
    cut_up = search.read_passages.__globals__["_passages"]
    monkeypatch.setitem(
        search.read_passages.__globals__, "_passages", lambda path, name: names.append(name) or cut_up(path, name)
    )
    return names


def test_files_are_cut_into_passages_that_hold_all_words(folder):
    index = open_index(folder)
    assert {passage.file for passage in index.passages} == {"one.txt", "deep/two.md", "three.jsonl.gz"}
    assert index.left_out == ["picture.png"]
    words = " ".join(passage.text for passage in index.passages if passage.file == "one.txt").split()
    assert words == "\n".join(TEXTS[:60]).split()
    lines = (folder / "one.txt").read_text(encoding="utf-8").splitlines()
    for passage in index.passages:
        if passage.file == "one.txt":
            assert lines[passage.line - 1] == passage.text.splitlines()[0]


def test_the_order_is_that_of_the_reranker_over_the_candidates_of_bm25(folder, bert):
    encoder = CrossEncoder(bert)
    index = open_index(folder)
    found = index.search(QUERY, encoder, depth=7, top_k=4, explain=True)
    corpus = {str(number): passage.text for number, passage in enumerate(index.passages)}
    candidates = [corpus[item.doc_id] for item in BM25(corpus).run({"q": QUERY}, depth=7)]
    expected = encoder.rank(QUERY, candidates, top_k=4, explain=True)
    assert [item.passage.text for item in found] == [candidates[item["corpus_id"]] for item in expected]
    assert [item.first_rank for item in found] == [item["corpus_id"] + 1 for item in expected]
    assert [item.explanation for item in found] == [item["explanation"] for item in expected]


def test_only_what_changed_is_read_again(folder, reads):
    first = open_index(folder)
    assert sorted(reads) == ["deep/two.md", "one.txt", "picture.png", "three.jsonl.gz"]
    assert first.read == 3

    reads.clear()
    again = open_index(folder)
    assert again.passages == first.passages
    assert again.read == 0
    assert reads == ["picture.png"]  # without text, so it is not in the index

    reads.clear()
    (folder / "picture.png").unlink()
    os.utime(folder / "one.txt")  # the same bytes
    (folder / "deep" / "two.md").write_text("Something else.\n", encoding="utf-8")
    (folder / "four.txt").write_text("Entirely new words.\n", encoding="utf-8")
    (folder / "three.jsonl.gz").unlink()
    changed = open_index(folder)
    assert sorted(reads) == ["deep/two.md", "four.txt"]
    assert {passage.file for passage in changed.passages} == {"one.txt", "deep/two.md", "four.txt"}
    fresh = open_index(folder, folder.parent / "elsewhere")
    assert changed.passages == fresh.passages
    assert changed.bm25.run({"q": "entirely new words"}, depth=3) == fresh.bm25.run(
        {"q": "entirely new words"}, depth=3
    )


def test_another_way_to_split_makes_another_index(folder):
    open_index(folder)
    splitting = Splitting(language="none")
    assert open_index(folder, splitting=splitting).bm25.description == BM25({"d": "some words"}, splitting).description


@pytest.mark.parametrize("name", ["files.json", "documents.json", "vocab.index.json", "data.csc.index.npy"])
def test_a_damaged_index_is_made_again(folder, name):
    first = open_index(folder)
    (folder / ".plackett-search" / name).write_bytes(b"{")
    again = open_index(folder)
    assert again.passages == first.passages
    assert again.bm25.run({"q": QUERY}, depth=5) == first.bm25.run({"q": QUERY}, depth=5)


def test_an_index_that_cannot_be_written_is_used_once(folder, tmp_path):
    (tmp_path / "file").write_text("")
    index = open_index(folder, tmp_path / "file" / "index")
    assert not index.is_kept
    assert index.bm25.run({"q": QUERY}, depth=1)


def test_a_folder_that_holds_something_else_keeps_it_all(folder, tmp_path):
    other = tmp_path / "project"
    other.mkdir()
    (other / ".gitignore").write_text("*.log\n")
    (other / "files.json").write_text("[]")
    linked = tmp_path / "linked"
    linked.symlink_to(other)
    visible = folder / "index"
    (folder / ".plackett-search").symlink_to(other)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for place in (None, other, linked, folder, tmp_path, visible, folder / ".plackett-search"):
        with pytest.raises(DataError):
            open_index(folder, place)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not visible.exists()


def test_an_index_is_written_beside_those_of_single_files(folder):
    open_index(folder / "one.txt")
    assert open_index(folder).is_kept
    assert open_index(folder / "one.txt").read == 0
    assert open_index(folder).read == 0
    assert open_index(folder, folder / ".own").is_kept


@pytest.mark.parametrize("content", [None, b"", b"\0\1\2", b"\xff\xfe"])
def test_a_source_without_text_is_an_error(tmp_path, content):
    source = tmp_path / "file.txt"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_index(source)
    assert str(source) in str(error.value)


@pytest.mark.parametrize(
    "lines", [["word " * 3000], ["x" * 5 * LENGTH], ["a line of words"] * 400, ["", "a", "", ""], []]
)
def test_passages_are_of_about_one_length_and_lose_nothing(lines):
    passages = list(cut(lines))
    assert "".join("".join(text.split()) for _, text in passages) == "".join("".join(line.split()) for line in lines)
    assert all(len(text) <= 2.2 * LENGTH for _, text in passages)


def test_the_command_prints_places_and_json(run, folder, bert):
    code, out, err = run("search", folder, QUERY, "--model", bert, "--top-k", 2)
    assert code == 0, err
    assert "deep/two.md:1" in out or "one.txt:" in out
    code, out, err = run("search", folder, QUERY, "--model", bert, "--top-k", 2, "--json", "--explain")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["rank"] for row in rows] == [1, 2]
    assert rows[0].keys() == {"file", "line", "text", "score", "rank", "first_rank", "explanation"}
    code, out, err = run("search", folder, "zzzzqqq", "--model", bert)
    assert (code, out) == (0, "")
    code, out, err = run("search", folder / "nothing", QUERY)
    assert code == 2
    assert "nothing" in err
