"""Bulk jobs without Ray, whose part is tested in test_ray.py: formats, joins, errors, what is kept and what refused."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import plackett.bulk.run as driver
from plackett import CrossEncoder
from plackett.bulk import Bulk, bulk
from plackett.bulk.scoring import Scorer
from plackett.data import read_run
from plackett.errors import DataError, RemoteError, SettingError
from tiny import DOCUMENTS, TEXTS

QUERIES = {f"q{number}": text for number, text in enumerate(TEXTS[:6])}
CORPUS = {f"d{number}": text for number, text in enumerate([*DOCUMENTS, "", *TEXTS[100:120]])}
RUN = [(query, document) for shift, query in enumerate(QUERIES) for document in [*CORPUS][shift : shift + 9]]
PAIRS = [{"n": n, "query": QUERIES[query], "text": CORPUS[document]} for n, (query, document) in enumerate(RUN)]


@pytest.fixture(autouse=True)
def scored(monkeypatch):
    """Score in this process; the names of the parts that are."""
    names = []

    def score(job, work, parts):
        scorer = Scorer(work)
        for part in parts:
            names.append(part.name)
            yield part.number, scorer.score(part)

    monkeypatch.setattr(driver, "_scored", score)
    return names


@pytest.fixture(scope="module")
def encoder(graph):
    return CrossEncoder(graph)


def files(folder):
    """The inputs, in all formats."""
    table = pa.Table.from_pylist(PAIRS)
    pq.write_table(table, folder / "pairs.parquet", row_group_size=7)
    (folder / "several").mkdir()
    pq.write_table(table.slice(0, 20), folder / "several" / "a.parquet")
    pq.write_table(table.slice(20), folder / "several" / "b.parquet")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    pq.write_table(
        pa.table({"qid": [query for query, _ in RUN], "docid": [document for _, document in RUN]}),
        folder / "ids.parquet",
    )
    (folder / "run.trec").write_text(
        "".join(f"{query} Q0 {document} {rank} {-rank} x\n" for rank, (query, document) in enumerate(RUN))
    )
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in QUERIES.items()))
    pq.write_table(
        pa.table({"docid": [*CORPUS], "text": [*CORPUS.values()]}), folder / "corpus.parquet", row_group_size=5
    )
    return folder


@pytest.fixture
def folder(tmp_path):
    return files(tmp_path)


def texts_of(folder):
    return {"queries": folder / "queries.jsonl", "corpus": folder / "corpus.parquet"}


def expected(encoder):
    """Scores by `rank_many`, -inf for blank texts."""
    ranked = encoder.rank_many([row["query"] for row in PAIRS], [[row["text"]] if row["text"] else [] for row in PAIRS])
    return [items[0]["score"] if items else -np.inf for items in ranked]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 5, 1000])
@pytest.mark.parametrize("name", ["pairs.parquet", "several", "pairs.jsonl", "ids.parquet"])
def test_scores_are_those_of_rank_many_whatever_the_parts(folder, encoder, graph, name, rows):
    texts = texts_of(folder) if name == "ids.parquet" else {}
    done = bulk(Bulk(folder / name, folder / "out", str(graph), rows=rows, **texts))
    table = pq.read_table(folder / "out")
    np.testing.assert_allclose(table["score"].to_numpy(), expected(encoder), atol=1e-5)
    blank = sum(not row["text"] for row in PAIRS)
    assert (done.pairs, done.blank, done.done_before) == (len(PAIRS), blank, 0)
    if name != "ids.parquet":
        assert table.drop_columns("score").to_pylist() == PAIRS
    manifest = json.loads((folder / "out" / "_manifest.json").read_text())
    assert manifest["complete"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(["_manifest.json", *manifest["parts"]])


@pytest.mark.parametrize("depth", [None, 4])
def test_a_run_is_reranked_as_by_plackett_rerank(folder, graph, depth, run):
    bulk(Bulk(folder / "run.trec", folder / "bulk.trec", str(graph), depth=depth, rows=10, **texts_of(folder)))
    options = ["--run", folder / "run.trec", "--output", folder / "other.trec", "--model", graph]
    options += ["--queries", folder / "queries.jsonl", "--corpus", folder / "corpus.parquet"]
    code, _, err = run("rerank", *options, *(["--depth", depth] if depth else []))
    assert code == 0, err
    found, other = read_run(folder / "bulk.trec"), read_run(folder / "other.trec")
    assert [item[:2] for item in found] == [item[:2] for item in other]
    filled = [index for index, item in enumerate(found) if CORPUS[item.doc_id]]
    np.testing.assert_allclose([found[i].score for i in filled], [other[i].score for i in filled], atol=1e-5)
    assert not (folder / "bulk.trec.parts").exists()


def test_a_job_that_stopped_goes_on_to_the_same_bytes(folder, graph, monkeypatch, scored):
    job = Bulk(folder / "pairs.jsonl", folder / "out", str(graph), rows=10)
    whole = Bulk(folder / "pairs.jsonl", folder / "whole", str(graph), rows=10)
    bulk(whole)
    scored.clear()
    score, put = driver._scored, Scorer.score

    def breaks(self, part):
        if part.number == 3:
            raise OSError(28, "No space left on device")
        return put(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "score", breaks)
        with pytest.raises(OSError, match="space"):
            bulk(job)
    assert [path.name for path in sorted((folder / "out").glob("part-*"))] == [
        f"part-00000{n}.parquet" for n in range(3)
    ]
    with (folder / "out" / "_counts.jsonl").open("a") as journal:
        journal.write("[5, 1")  # cut off by a crash
    scored.clear()
    done = bulk(job)
    assert scored == ["part-000003", "part-000004", "part-000005"]
    assert (done.pairs, done.done_before) == (len(PAIRS), 30)
    assert contents(folder / "out") == contents(folder / "whole")
    assert driver._scored is score


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_an_output_that_exists_is_refused_unless_asked(folder, graph, scored):
    job = {"input": folder / "pairs.parquet", "output": folder / "out", "model": str(graph)}
    bulk(Bulk(**job))
    with pytest.raises(DataError) as error:
        bulk(Bulk(**job))
    assert "--overwrite" in str(error.value)
    with pytest.raises(SettingError, match="rows of a part"):
        bulk(Bulk(**job, rows=7))
    scored.clear()
    assert bulk(Bulk(**job, resume=True)).pairs == len(PAIRS)
    assert scored == []
    assert bulk(Bulk(**job, rows=30, overwrite=True)).pairs == len(PAIRS)
    assert scored == ["part-000000", "part-000001"]
    assert len(contents(folder / "out")) == 2


def test_two_at_once_never_write_one_output(folder, graph, monkeypatch):
    job = Bulk(folder / "pairs.parquet", folder / "out", str(graph), rows=10)
    score, refused = driver._scored, []

    def scored(*given):
        with pytest.raises(SettingError, match=str(folder / "out")) as found:
            bulk(replace(job, overwrite=True))
        refused.append(found.value)
        return score(*given)

    monkeypatch.setattr(driver, "_scored", scored)
    assert bulk(job).pairs == len(PAIRS)
    assert len(refused) == 1


def test_ctrl_c_says_what_is_kept_and_the_same_job_goes_on(folder, graph, monkeypatch):
    job = Bulk(folder / "pairs.parquet", folder / "out", str(graph), rows=10)
    score = driver._scored

    def stopped(*given):
        yield next(score(*given))
        raise KeyboardInterrupt

    monkeypatch.setattr(driver, "_scored", stopped)
    with pytest.raises(KeyboardInterrupt) as caught:
        bulk(job)
    assert "10 pairs" in caught.value.__notes__[0]
    monkeypatch.setattr(driver, "_scored", score)
    assert bulk(job).done_before == 10


def test_a_job_whose_input_is_wrong_leaves_nothing_and_may_be_mended(folder, graph):
    corpus = folder / "corpus.parquet"
    right = corpus.read_bytes()
    pq.write_table(pq.read_table(corpus).slice(3), corpus)
    job = Bulk(folder / "run.trec", folder / "out.trec", graph, **texts_of(folder))
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(DataError):
        bulk(job)
    assert {path.name for path in folder.iterdir()} == before

    corpus.write_bytes(right)
    assert bulk(job).pairs == len(RUN)


def test_a_plan_outlives_a_cluster_that_fails(folder, graph, monkeypatch):
    def fail(_job, _work, _parts):
        raise RemoteError("no cluster")

    job = Bulk(folder / "run.trec", folder / "out.trec", graph, **texts_of(folder))
    with monkeypatch.context() as patched:
        patched.setattr(driver, "_scored", fail)
        with pytest.raises(RemoteError):
            bulk(job)
    assert (job.folder / driver.PLAN).is_file()
    assert bulk(job).pairs == len(RUN)

    with monkeypatch.context() as patched:
        patched.setattr(driver, "_scored", fail)
        with pytest.raises(RemoteError):
            bulk(replace(job, output=folder / "other.trec"))
    shallow = replace(job, output=folder / "other.trec", depth=2)  # nothing is done: another job may begin there
    assert bulk(shallow).pairs == 2 * len(QUERIES)


def test_files_of_others_are_never_touched(folder, graph):
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError):
            bulk(Bulk(folder / "pairs.parquet", folder / "out", str(graph), overwrite=overwrite))
    assert [path.name for path in (folder / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("output", ["run.trec", "linked.trec", "folder.trec", "run.trec/inside.trec", "device.trec"])
def test_a_run_is_not_written_over_an_input_or_what_is_no_file(folder, graph, output):
    (folder / "linked.trec").hardlink_to(folder / "run.trec")
    (folder / "folder.trec").mkdir()
    (folder / "device.trec").symlink_to("/dev/null")
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    with pytest.raises(DataError):
        bulk(Bulk(folder / "run.trec", folder / output, str(graph), **texts_of(folder), overwrite=True))
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


@pytest.mark.parametrize("output", ["several/out", ".", "several/../pairs.parquet", "pairs.parquet/out"])
def test_parts_are_not_written_into_or_around_an_input(folder, graph, output):
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    for source in ("several", "pairs.parquet"):
        if source in output or output == ".":
            with pytest.raises(DataError):
                bulk(Bulk(folder / source, folder / output, str(graph), overwrite=True))
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


def test_links_that_lead_nowhere_are_written_to_as_what_they_lead_to(folder, graph, encoder):
    (folder / "out").symlink_to(folder / "elsewhere")
    assert bulk(Bulk(folder / "pairs.parquet", folder / "out", str(graph))).pairs == len(PAIRS)
    np.testing.assert_allclose(pq.read_table(folder / "elsewhere")["score"].to_numpy(), expected(encoder), atol=1e-5)
    (folder / "out.trec").symlink_to(folder / "nowhere")
    assert bulk(Bulk(folder / "run.trec", folder / "out.trec", str(graph), **texts_of(folder))).pairs == len(PAIRS)
    assert not (folder / "nowhere").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.jsonl", "ids.parquet", "run.trec"])
def test_parts_of_long_rows_are_small(folder, encoder, graph, monkeypatch, name, scored):
    monkeypatch.setattr("plackett.bulk.parts.BYTES", 300)
    texts = {} if "pairs" in name else texts_of(folder)
    output = folder / ("out.trec" if name == "run.trec" else "out")
    assert bulk(Bulk(folder / name, output, str(graph), **texts)).pairs == len(PAIRS)
    assert len(scored) > 5
    if output.is_dir():
        np.testing.assert_allclose(pq.read_table(output)["score"].to_numpy(), expected(encoder), atol=1e-5)


NOT_UTF_8 = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
BAD = {
    "no columns": ({"title": ["a"], "body": ["b"]}, ["title, body", "query"]),
    "numbers": ({"query": ["a"], "text": [3]}, ["text", "int64"]),
    "empty query": ({"query": ["a", " "], "text": ["b", "c"]}, ["row 2"]),
    "null query": ({"query": ["a", None], "text": ["b", "c"]}, ["row 2"]),
    "no rows": ({"query": pa.array([], pa.string()), "text": pa.array([], pa.string())}, ["no rows"]),
    "ids": ({"qid": ["a"], "docid": ["b"]}, ["--queries", "--corpus"]),
    "lists": ({"query": ["a"], "text": [["b"]]}, ["text", "list"]),
    "a score": ({"query": ["a"], "text": ["b"], "score": [1.0]}, ["score", "twice"]),
    "not UTF-8": ({"query": ["a"], "text": NOT_UTF_8}, ["rows 1 to 1", "text"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(tmp_path, graph, case):
    columns, named = BAD[case]
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    with pytest.raises(DataError) as error:
        bulk(Bulk(tmp_path / "in.parquet", tmp_path / "out", str(graph)))
    assert all(name in str(error.value) for name in named)
    assert str(tmp_path / "in.parquet") in str(error.value)


def test_two_columns_of_one_name_and_files_of_other_columns(tmp_path, graph):
    (tmp_path / "in").mkdir()
    columns = [pa.array([value]) for value in "abc"]
    pq.write_table(pa.table(columns, names=["query", "text", "text"]), tmp_path / "in" / "a.parquet")
    with pytest.raises(DataError, match="two columns have the name text"):
        bulk(Bulk(tmp_path / "in", tmp_path / "out", str(graph)))
    pq.write_table(pa.table({"query": ["a"], "text": ["b"]}), tmp_path / "in" / "a.parquet")
    pq.write_table(pa.table({"anchor": ["a"], "text": ["b"]}), tmp_path / "in" / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet has .*a\.parquet"):
        bulk(Bulk(tmp_path / "in", tmp_path / "out", str(graph)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string_view()])
def test_texts_of_every_type_of_arrow(tmp_path, graph, kind):
    pairs = {"query": ["a"] * 2, "text": ["some words", "a list"]}
    table = pa.table({name: pa.array(values).cast(kind) for name, values in pairs.items()})
    pq.write_table(table, tmp_path / "in.parquet")
    bulk(Bulk(tmp_path / "in.parquet", tmp_path / "out", str(graph)))
    expected = CrossEncoder(graph).predict(list(zip(*pairs.values(), strict=True)))
    assert pq.read_table(tmp_path / "out")["score"].to_pylist() == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"rows": 0}, {"rows": 1.5}, {"concurrency": 0}, {"num_gpus": float("nan")}, {"resume": True, "overwrite": True}],
)
def test_settings_that_do_not_fit_are_refused(change):
    with pytest.raises(SettingError, match=next(iter(change))):
        Bulk("in.parquet", "out", **change)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (['{"query": "a", "text": "b"}', '{"query": "a", "text": 3}'], [":2", "text", "a number"]),
        (['{"query": "a", "text": "b", "k": 1}', '{"query": "a", "text": "b", "k": "x"}'], ["mix types"]),
        (['{"query": "a", "text": "b"}', '{"query": "a", "text": "\\ud800"}'], [":2", "text", "surrogate"]),
        (['{"query": "a", "text": "b", "score": 1}'], ["score", "twice"]),
        (['{"query": "a", "text": "b"}', '{"query": "a", "text": "b", "k": "x"}'], [":2", "k"]),
        (['{"query": "a", "text": "b"}', "{"], [":2"]),
    ],
)
def test_bad_lines_are_named(tmp_path, graph, lines, named):
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        bulk(Bulk(tmp_path / "in.jsonl", tmp_path / "out", str(graph), rows=1))
    assert all(name in str(error.value) for name in named)


def test_null_texts_have_the_lowest_score(tmp_path, graph):
    pq.write_table(pa.table({"query": ["a"] * 3, "text": ["some words", None, " "]}), tmp_path / "in.parquet")
    done = bulk(Bulk(tmp_path / "in.parquet", tmp_path / "out", str(graph)))
    assert done.blank == 2
    assert pq.read_table(tmp_path / "out")["score"].to_pylist()[1:] == [-np.inf, -np.inf]


def test_a_null_text_in_a_corpus_has_the_lowest_score(tmp_path, graph):
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "some words"}\n')
    (tmp_path / "corpus.jsonl").write_text('{"id": "a", "text": null}\n{"id": "b", "text": "words"}\n')
    pq.write_table(pa.table({"qid": ["q", "q"], "docid": ["a", "b"]}), tmp_path / "in.parquet")
    texts = {"queries": tmp_path / "queries.jsonl", "corpus": tmp_path / "corpus.jsonl"}
    assert bulk(Bulk(tmp_path / "in.parquet", tmp_path / "out", str(graph), **texts)).blank == 1
    scores = pq.read_table(tmp_path / "out")["score"].to_pylist()
    assert scores[0] == -np.inf < scores[1]


def test_an_id_without_a_text_is_named_with_its_row(folder, graph):
    (folder / "run.trec").write_text((folder / "run.trec").read_text() + "q5 Q0 nothing 99 -99 x\n")
    with pytest.raises(DataError) as error:
        bulk(Bulk(folder / "run.trec", folder / "out.trec", str(graph), **texts_of(folder)))
    assert "'nothing'" in str(error.value)
    assert f"row {len(RUN) + 1}" in str(error.value)


def test_ids_meet_without_the_white_space_around_them_and_a_run_may_be_compressed(folder, graph):
    ids = pa.table({"qid": ["q1 "], "docid": ["\td2"]})
    pq.write_table(ids, folder / "in.parquet")
    bulk(Bulk(folder / "in.parquet", folder / "out", str(graph), **texts_of(folder)))
    expected = CrossEncoder(graph).predict([(QUERIES["q1"], CORPUS["d2"])])
    assert pq.read_table(folder / "out")["score"].to_pylist() == pytest.approx(expected.tolist(), abs=1e-5)
    (folder / "run.trec.gz").write_bytes(gzip.compress(b"q1 Q0 d2 1 1 x\n"))
    bulk(Bulk(folder / "run.trec.gz", folder / "out.trec", str(graph), **texts_of(folder)))
    assert [(scored.query_id, scored.doc_id) for scored in read_run(folder / "out.trec")] == [("q1", "d2")]


def test_columns_may_have_other_names(folder, encoder, graph):
    table = pa.table({"frage": [row["query"] for row in PAIRS], "absatz": [row["text"] for row in PAIRS]})
    pq.write_table(table, folder / "in.parquet")
    bulk(Bulk(folder / "in.parquet", folder / "out", str(graph), columns={"query": "frage", "text": "absatz"}))
    np.testing.assert_allclose(pq.read_table(folder / "out")["score"].to_numpy(), expected(encoder), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"input": "nothing.parquet"}, DataError),
        ({"input": "empty"}, DataError),
        ({"output": "out.trec"}, SettingError),
        ({"depth": 3}, SettingError),
        ({"input": "run.trec", "queries": "nothing.jsonl", "corpus": "corpus.parquet"}, DataError),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(folder, graph, change, error):
    (folder / "empty").mkdir()
    job = {"input": "pairs.parquet", "output": "out"} | change
    paths = {name: value if isinstance(value, int) else folder / value for name, value in job.items()}
    before = sorted(folder.iterdir())
    with pytest.raises(error):
        bulk(Bulk(**paths, model=str(graph)))
    assert sorted(folder.iterdir()) == before
