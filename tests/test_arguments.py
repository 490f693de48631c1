"""Every argument of every public function with values of wrong types: only errors of Plackett come out."""

import inspect
import math
from pathlib import Path

import numpy as np
import pytest

from plackett import CrossEncoder, LongDocuments, PlackettError, SettingError
from plackett import evaluation as measuring
from plackett._arguments import Bounds, checked
from plackett.bi_encoder import BiEncoder
from plackett.bulk import Bulk
from plackett.calibration import Target
from plackett.checkpoints import read_checkpoint
from plackett.data import (
    check_matched,
    checked_qrels,
    checked_run,
    lists_as_collection,
    parse_columns,
    read_collection,
    read_documents,
    read_lists,
    read_qrels,
    read_run,
    read_texts,
    unmatched,
    write_beir,
    write_lists,
)
from plackett.engines import EngineSettings
from plackett.publishing.publish import publish
from plackett.publishing.storage import read_facts
from plackett.records import Collection, LabeledList, Qrel, ScoredDoc
from plackett.retrieval import BM25, FirstStageSettings, MiningSettings, Splitting, mine, rerank_file, with_bm25
from plackett.retrieval.sources import Sources
from plackett.workflows.calibrate import CalibrationSettings, calibrate
from plackett.workflows.card import card
from plackett.workflows.evaluate import evaluate
from plackett.workflows.evaluate_as_reference import evaluate_as_reference
from plackett.workflows.export import export
from plackett.workflows.train import train
from plackett.workflows.verify import verify

WRONG = [
    *(5, -1, 10**9, 10**400, True, 1.5, math.nan, -math.inf, np.float32("nan"), np.int64(-3), 3j),
    *(
        "",
        "x\0y",
        "\ud800",
        b"bytes",
        [],
        [5],
        [None],
        (),
        {},
        {"a": 1},
        {1, 2},
        object(),
        int,
        lambda: 1,
        Path("no/x"),
    ),
]


def ids(value):
    return f"{type(value).__name__} {value!r}"[:20]


COLLECTION = Collection("c", {"q": "a query"}, {"d": "text"}, [Qrel("q", "d", 1)], [ScoredDoc("q", "d", 1.0)])

# The function -> its other arguments, with which it fails or ends at once.
NO = Path("no/such")
FUNCTIONS = [
    (CrossEncoder, {"model": NO, "local_files_only": True}),
    (LongDocuments, {}),
    (EngineSettings, {}),
    (Target, {"measure": "recall", "value": 0.5}),
    (Splitting, {}),
    (FirstStageSettings, {}),
    (MiningSettings, {}),
    (Sources, {}),
    (CalibrationSettings, {}),
    (BiEncoder, {"model": NO}),
    (train, {"recipe_path": NO}),
    (evaluate, {"systems": [str(NO)], "sources": Sources(data=[str(NO)]), "depths": [5]}),
    (evaluate_as_reference, {"system": str(NO), "sources": Sources(data=[str(NO)]), "depth": 5}),
    (export, {"model": str(NO), "engine": "onnx"}),
    (calibrate, {"folder": NO, "sources": Sources(data=[str(NO)])}),
    (card, {"folder": NO}),
    (publish, {"folder": NO, "repository": "a/b", "dry_run": True}),
    (read_facts, {"folder": NO}),
    (verify, {"a": str(NO), "b": str(NO), "collection": COLLECTION}),
    (mine, {"data": NO, "output": Path("out.jsonl"), "settings": MiningSettings()}),
    (measuring.evaluate, {"run": [ScoredDoc("q", "d", 1.0)], "qrels": [Qrel("q", "d", 1)]}),
    (measuring.evaluate_per_query, {"run": [ScoredDoc("q", "d", 1.0)], "qrels": [Qrel("q", "d", 1)]}),
    (measuring.compare_run, {"collection": COLLECTION, "run": COLLECTION.run, "depth": 5}),
    (read_lists, {"path": NO}),
    (read_collection, {"path": NO}),
    (read_run, {"path": NO}),
    (read_qrels, {"path": NO}),
    (read_texts, {"path": NO}),
    (read_documents, {"file": NO}),
    (parse_columns, {"text": ""}),
    (write_lists, {"path": Path("out.jsonl"), "lists": [LabeledList("q", ("d",), (1.0,))]}),
    (checked_qrels, {}),
    (checked_run, {}),
    (lists_as_collection, {"name": "c", "lists": [LabeledList("q", ("d",), (1.0,))]}),
    (unmatched, {}),
    (check_matched, {}),
    (read_checkpoint, {"folder": NO}),
    (Bulk, {"input": NO, "output": NO}),
    (write_beir, {"folder": Path("out"), "collection": COLLECTION}),
    (BM25, {"corpus": {"d": "text"}}),
    (with_bm25, {"collection": COLLECTION, "depth": 5}),
]
CASES = [(function, given, name) for function, given in FUNCTIONS for name in inspect.signature(function).parameters]


def outcome(function, **arguments):
    """The error that is raised, None for a result. Anything but an error of Plackett fails the test."""
    try:
        found = function(**arguments)
        if inspect.isgenerator(found):
            list(found)
    except PlackettError as error:
        return error
    return None


@pytest.mark.parametrize(("function", "given", "name"), CASES, ids=lambda it: getattr(it, "__name__", None))
def test_wrong_arguments_are_errors_of_plackett(tmp_path, monkeypatch, function, given, name):
    monkeypatch.chdir(tmp_path)
    errors = [outcome(function, **{**given, name: value}) for value in WRONG]
    assert any(isinstance(error, PlackettError) for error in errors)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["predict", "score", "rank", "rank_many", "save_pretrained", "encode", "from_parts"])
def test_wrong_arguments_of_the_methods(bert, tmp_path, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    encoder = CrossEncoder(bert, engine="torch")
    given = {"pairs": [("a", "b")], "query": "a", "queries": ["a"], "documents": ["b"], "folder": tmp_path / "m"}
    given["documents"] = [["b"]] if method == "rank_many" else given["documents"]
    function = getattr(encoder, method)
    names = list(inspect.signature(function).parameters)
    for name in names:
        for value in WRONG:
            outcome(function, **{**{key: given[key] for key in names if key in given}, name: value})


def test_rerank_files_arguments(bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"encoder": CrossEncoder(bert), "run": NO, "output": Path("out"), "queries": NO, "corpus": NO}
    for name in inspect.signature(rerank_file).parameters:
        for value in WRONG:
            assert outcome(rerank_file, **{**given, name: value}) is not None
    given = {"encoder": given["encoder"], "collection": COLLECTION, "depth": 5}
    for name in inspect.signature(measuring.compare).parameters:
        for value in WRONG:
            outcome(measuring.compare, **{**given, name: value})


@pytest.mark.parametrize(
    "wrong",
    [
        *({"model": 5}, {"engine": 5}, {"revision": 5}, {"precision": 5}, {"threads": 10**9}, {"threads": "2"}),
        *({"threads": True}, {"threads": math.nan}, {"device": 5}, {"max_length": True}, {"local_files_only": "no"}),
        *({"activation": 5}, {"allow_pickle": 1}, {"long_documents": 5}, {"revision": "x\0"}),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(bert, wrong):
    [name] = wrong
    with pytest.raises(SettingError, match=name):
        CrossEncoder(**{"model": bert, **wrong})


def test_numbers_of_numpy_and_texts_for_paths_are_taken(tmp_path):
    @checked(but=["free"])
    def function(whole: int, real: float, flag: bool, path: Path, free: int = 0) -> tuple[object, ...]:
        return whole, real, flag, path, free

    found = function(np.int16(3), np.float32(0.5), np.bool_(True), "a/b", free="x")
    assert found == (3, 0.5, True, Path("a/b"), "x")
    assert [type(it) for it in found[:3]] == [int, float, bool]


@pytest.mark.parametrize("value", [0, 1.01, math.nan, math.inf, -math.inf, 10**400])
def test_bounds_leave_out_what_is_not_finite(value):
    assert not Bounds(0, 1, above=True).allow(value)
    assert Bounds(0).allow(0)
