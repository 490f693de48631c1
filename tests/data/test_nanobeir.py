"""Both layouts of the hub, from local copies; what is named that is not there."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plackett.data.nanobeir import NAMES, is_nanobeir, read_nanobeir
from plackett.errors import DataError, HubError, SettingError
from plackett.records import Origin, Qrel, ScoredDoc
from plackett.retrieval.sources import Sources, read_named

CORPUS = [{"_id": str(i), "text": f"document {i}"} for i in range(5)]
QUERIES = [{"_id": "q", "text": "query"}, {"_id": "r", "text": "another"}, {"_id": "unjudged", "text": "third"}]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def new(tmp_path):
    folder = tmp_path / "NanoBEIR-en"
    for name in ("NanoNQ", "NanoSCIDOCS", "NanoNQExtra"):
        parts = {
            "corpus": CORPUS,
            "queries": QUERIES,
            "qrels": [{"query-id": "q", "corpus-id": ["1", "4"]}, {"query-id": "r", "corpus-id": ["0"]}],
            "bm25": [{"query-id": "q", "corpus-ids": ["3", "1"]}, {"query-id": "r", "corpus-ids": ["2"]}],
        }
        for subset, rows in parts.items():
            write(folder / subset / f"{name}-00000-of-00001.parquet", rows)
    return folder


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "NanoNQ-bm25"
    write(folder / "corpus" / "train-00000-of-00002.parquet", CORPUS[:2])
    write(folder / "corpus" / "train-00001-of-00002.parquet", CORPUS[2:])
    write(folder / "queries" / "train-00000-of-00001.parquet", QUERIES)
    rows = [("q", ["1", "4"], ["3", "1"]), ("r", ["0"], ["2"])]
    columns = ("query-id", "positive-corpus-ids", "bm25-ranked-ids")
    write(folder / "relevance" / "train-00000-of-00001.parquet", [dict(zip(columns, row, strict=True)) for row in rows])
    return folder


def test_both_layouts_hold_the_same(new, old):
    collections = [*read_nanobeir(new, ["nq"]), *read_nanobeir(old)]
    assert collections[0] == collections[1]
    [collection] = collections[:1]
    assert collection.name == "NanoNQ"
    assert dict(collection.queries) == {"q": "query", "r": "another"}
    assert dict(collection.corpus) == {row["_id"]: row["text"] for row in CORPUS}
    assert collection.qrels == [Qrel("q", "1", 1), Qrel("q", "4", 1), Qrel("r", "0", 1)]
    assert collection.run == [ScoredDoc("q", "3", -1.0), ScoredDoc("q", "1", -2.0), ScoredDoc("r", "2", -1.0)]


def test_all_that_are_there_are_read_by_default(new):
    assert [item.name for item in read_nanobeir(new)] == ["NanoNQ", "NanoSCIDOCS"]
    assert is_nanobeir(new)
    assert [item.name for item in Sources(data=[str(new)]).read(depth=100)] == ["NanoNQ", "NanoSCIDOCS"]
    assert len(NAMES) == 13


def test_what_is_missing_is_named(new):
    with pytest.raises(DataError, match=r"NanoFEVER\*"):
        read_nanobeir(new, ["NanoFEVER"])
    with pytest.raises(SettingError, match="did you mean 'MSMARCO'"):
        read_nanobeir(new, ["MSMARO"])
    write(new / "qrels" / "NanoNQ-00000-of-00001.parquet", [{"query-id": "q"}])
    with pytest.raises(DataError, match=r"NanoNQ-00000-of-00001.parquet:1: no corpus-id"):
        read_nanobeir(new, ["nq"])


def test_the_hub_is_asked_where_there_is_no_folder(monkeypatch, new, tmp_path):
    asked = {}

    def snapshot_download(repository, **options):
        asked.update(options, repository=repository)
        return str(new)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert [item.name for item in read_named("nanobeir:nq,NanoSciDocs")] == ["NanoNQ", "NanoSCIDOCS"]
    assert asked["repository"] == "sentence-transformers/NanoBEIR-en"
    assert asked["repo_type"] == "dataset"
    assert "*/NanoSCIDOCS*" in asked["allow_patterns"]


def test_nanobeir_is_known_by_its_repository_and_commit(new, tmp_path, monkeypatch):
    snapshot = tmp_path / "datasets--sentence-transformers--NanoBEIR-en" / "snapshots" / ("ab" * 20)
    snapshot.parent.mkdir(parents=True)
    new.rename(snapshot)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repository, **options: str(snapshot))
    [collection] = read_named("nanobeir:nq")
    assert collection.origin == Origin(
        source="hf://datasets/sentence-transformers/NanoBEIR-en",
        revision="ab" * 20,
        first_stage="BM25, as NanoBEIR has it",
    )
    [local] = Sources(data=[str(snapshot)]).read(10)[:1]
    assert local.origin == Origin(first_stage="BM25, as NanoBEIR has it")


def test_a_hub_that_does_not_answer_is_one_error():
    with pytest.raises(HubError, match="name a local copy"):
        read_named("nanobeir")
