"""CrossEncoder against sentence-transformers on the same folder, bad input, threads."""

import json
import math
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder, InputError, PlackettError, ScoreError, SettingError
from plackett.checkpoints.folder import read_checkpoint
from plackett.cross_encoder import Share
from plackett.engines.base import FakeEngine, Parts
from tiny import DOCUMENTS, FAMILIES, PAIRS, QUERY


def reference(folder: Path) -> Any:
    return sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)


def edited(folder: Path, target: Path, file: str, **values: object) -> Path:
    """A copy of a checkpoint in which one JSON file has other values."""
    shutil.copytree(folder, target)
    config = json.loads((target / file).read_text()) | values
    (target / file).write_text(json.dumps(config))
    return target


@pytest.mark.peer
@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_predict_equals_sentence_transformers(tiny, family, labels):
    theirs = reference(tiny(family, labels))
    scores = CrossEncoder(tiny(family, labels)).predict(PAIRS)
    logits = CrossEncoder(tiny(family, labels), activation="identity").predict(PAIRS)

    assert scores.dtype == np.float32
    assert scores.shape == ((len(PAIRS),) if labels == 1 else (len(PAIRS), labels))
    assert np.ptp(logits) > 0.05, "the texts must be told apart, or nothing is compared"
    np.testing.assert_allclose(scores, theirs.predict(PAIRS), atol=1e-5)
    np.testing.assert_allclose(logits, theirs.predict(PAIRS, activation_fn=torch.nn.Identity()), atol=1e-4)
    np.testing.assert_array_equal(logits, CrossEncoder(tiny(family, labels)).score(PAIRS).reshape(logits.shape))


@pytest.mark.peer
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_over_long_texts_lose_the_same_tokens(tiny, tmp_path, family, side):
    folder = edited(tiny(family), tmp_path / "m", "tokenizer_config.json", truncation_side=side, model_max_length=24)
    expected = reference(folder).predict(PAIRS)
    np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "labels"), [*product(["sigmoid", "identity", "tanh"], [1, 3]), ("softmax", 3)], ids=str
)
def test_every_activation_is_torchs(tiny, name, labels):
    functions = {"sigmoid": torch.sigmoid, "identity": lambda logits: logits, "tanh": torch.tanh}
    functions["softmax"] = lambda logits: torch.softmax(logits, dim=-1)
    encoder = CrossEncoder(tiny("bert", labels), activation=name)
    expected = functions[name](torch.from_numpy(encoder.score(PAIRS))).numpy()
    np.testing.assert_allclose(encoder.predict(PAIRS).reshape(expected.shape), expected, atol=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("top_k", [None, 0, 3, 100])
@pytest.mark.parametrize("return_documents", [False, True])
def test_rank_equals_sentence_transformers(bert, top_k, return_documents):
    options = {"top_k": top_k, "return_documents": return_documents}
    expected = reference(bert).rank(QUERY, DOCUMENTS, **options)
    ranked = CrossEncoder(bert).rank(QUERY, DOCUMENTS, **options)
    assert [item["corpus_id"] for item in ranked] == [item["corpus_id"] for item in expected]
    assert [set(item) for item in ranked] == [set(item) for item in expected]
    assert [item.get("text") for item in ranked] == [item.get("text") for item in expected]
    np.testing.assert_allclose([i["score"] for i in ranked], [i["score"] for i in expected], atol=1e-5)
    assert all(type(item["score"]) is float and type(item["corpus_id"]) is int for item in ranked)
    json.dumps(ranked)


def test_rank_many_is_rank_of_each(bert):
    encoder = CrossEncoder(bert)
    queries, lists = [QUERY, "parser", "strings"], [DOCUMENTS, DOCUMENTS[:1], DOCUMENTS[2:5]]
    together = encoder.rank_many(queries, lists, top_k=2, return_documents=True)
    for ranked, query, documents in zip(together, queries, lists, strict=True):
        alone = encoder.rank(query, documents, top_k=2, return_documents=True)
        assert [(item["corpus_id"], item["text"]) for item in ranked] == [
            (item["corpus_id"], item["text"]) for item in alone
        ]
        np.testing.assert_allclose([i["score"] for i in ranked], [i["score"] for i in alone], atol=1e-6)
    assert encoder.rank_many([], []) == []


def test_ties_keep_the_order_of_the_input_and_saturated_scores_do_not_make_ties(bert):
    tied = CrossEncoder(bert, engine=FakeEngine(lambda ids: 1.0))
    assert [item["corpus_id"] for item in tied.rank(QUERY, DOCUMENTS)] == list(range(len(DOCUMENTS)))
    growing = CrossEncoder(bert, engine=FakeEngine(lambda ids: 50.0 + len(ids)))
    ranked = growing.rank(QUERY, ["words", "words words", "words words words"])
    assert [item["corpus_id"] for item in ranked] == [2, 1, 0]
    assert {item["score"] for item in ranked} == {1.0}, "the sigmoid is full, the logits still decide"


def test_scores_do_not_depend_on_the_company_or_the_order(bert):
    encoder = CrossEncoder(bert)
    scores = encoder.predict(PAIRS)
    order = np.random.default_rng(0).permutation(len(PAIRS))
    np.testing.assert_allclose(encoder.predict([PAIRS[i] for i in order]), scores[order], atol=1e-6)
    alone = np.concatenate([encoder.predict([pair]) for pair in PAIRS])
    np.testing.assert_allclose(alone, scores, atol=1e-6)


def test_anything_with_a_length_and_an_order_is_a_list(bert):
    encoder = CrossEncoder(bert)
    expected = encoder.predict(PAIRS)
    np.testing.assert_array_equal(encoder.predict(list(map(list, PAIRS))), expected)
    np.testing.assert_array_equal(encoder.predict(tuple(PAIRS)), expected)
    np.testing.assert_array_equal(encoder.predict(np.array(PAIRS)), expected)
    ranked = encoder.rank(np.str_(QUERY), np.array(DOCUMENTS), return_documents=True)
    assert ranked == encoder.rank(QUERY, DOCUMENTS, return_documents=True)
    assert {type(item["text"]) for item in ranked} == {str}


def test_nothing_to_predict_is_an_empty_array(tiny):
    empty = CrossEncoder(tiny("bert")).predict([])
    assert empty.shape == (0,)
    assert empty.dtype == np.float32
    assert CrossEncoder(tiny("bert", 3), activation="softmax").predict([]).shape == (0, 3)


@pytest.mark.timeout(120)
def test_a_document_of_a_megabyte_is_scored(bert):
    encoder = CrossEncoder(bert)
    scores = encoder.predict([(QUERY, "words and paths " * 65_536), (QUERY, "w" * 1_000_000)])
    assert np.isfinite(scores).all()


def test_threads_share_one_encoder(bert):
    encoder = CrossEncoder(bert)
    parts = [PAIRS[i % len(PAIRS) :] for i in range(8)]
    alone = [encoder.predict(part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for together, expected in zip(pool.map(encoder.predict, parts), alone, strict=True):
                np.testing.assert_array_equal(together, expected)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("query", "document"), "pair 0 is str"),
        ([("a", "b"), ("a", "b", "c")], "pair 1 is 3 items"),
        ([("a",)], "pair 0 is 1 items"),
        ([("a", "b"), "ab"], "pair 1 is str"),
        ([{"query": "a", "document": "b"}], "pair 0 is dict"),
        ([None], "pair 0 is NoneType"),
        ([("", "b")], "the query of pair 0 is empty"),
        ([("a", None)], "the document of pair 0 is NoneType, not text"),
        ([(3, "b")], "the query of pair 0 is int, not text"),
        ([("a", b"b")], "the document of pair 0 is bytes, not text"),
        ([("a", "b"), ("a", "half \ud83d of it")], r"the document of pair 1 .*'\\ud83d' at character 5"),
        ("query", "pairs must be a list, not str"),
        ({("a", "b")}, "pairs must be a list, not set"),
        ({"a": "b"}, "pairs must be a list, not dict"),
        (None, "pairs must be a list, not NoneType"),
        ((pair for pair in PAIRS), "pairs must be a list, not generator"),
    ],
)
def test_predict_refuses_what_is_no_pair_of_texts(bert, pairs, message):
    with pytest.raises(InputError, match=message):
        CrossEncoder(bert).predict(pairs)


@pytest.mark.parametrize(
    ("query", "documents", "message"),
    [
        ("", ["b"], "the query is empty"),
        (None, ["b"], "the query is NoneType, not text"),
        ("\udc00", ["b"], r"the query .*\\udc00"),
        ("a", "bcd", "documents must be a list, not str"),
        ("a", None, "documents must be a list, not NoneType"),
        ("a", (text for text in "bc"), "documents must be a list, not generator"),
        ("a", ["b", None], "document 1 is NoneType, not text"),
        ("a", ["b", math.nan], "document 1 is float, not text"),
    ],
)
def test_rank_refuses_what_is_no_text(bert, query, documents, message):
    with pytest.raises(InputError, match=message):
        CrossEncoder(bert).rank(query, documents)


def test_a_search_without_hits_is_no_mistake():
    encoder = CrossEncoder()
    assert encoder.rank("a", []) == []
    assert encoder.rank("a", [], explain=True, return_windows=True) == []
    ranked = encoder.rank_many(["a", "b"], [[], ["c"]])
    assert [[item["corpus_id"] for item in of_query] for of_query in ranked] == [[], [0]]


def test_a_table_is_not_taken_for_the_names_of_its_columns():
    class Table:
        columns = ("text", "url")

        def __len__(self):
            return 1

        def __iter__(self):
            return iter(self.columns)

    with pytest.raises(InputError, match="columns"):
        CrossEncoder().rank("a", Table())


@pytest.mark.parametrize("top_k", [-1, True, 2.0, "3"])
def test_rank_refuses_a_top_k_that_counts_nothing(bert, top_k):
    with pytest.raises(InputError, match=f"top_k={top_k!r}"):
        CrossEncoder(bert).rank(QUERY, DOCUMENTS, top_k=top_k)


def test_rank_many_names_the_list_at_fault(bert):
    encoder = CrossEncoder(bert)
    with pytest.raises(InputError, match=r"2 queries .*1"):
        encoder.rank_many(["a", "b"], [["c"]])
    with pytest.raises(InputError, match=r"document 1 of query 1.* NoneType"):
        encoder.rank_many(["a", "b"], [["c"], ["d", None]])
    with pytest.raises(InputError, match="query 1"):
        encoder.rank_many(["a", " "], [["c"], ["d"]])
    with pytest.raises(InputError, match=r"query 0.* str"):
        encoder.rank_many(["a", "b"], ["c", "d"])


def test_rank_refuses_several_labels(tiny):
    with pytest.raises(InputError, match=r"3.* predict"):
        CrossEncoder(tiny("bert", 3)).rank(QUERY, DOCUMENTS)


def test_weights_that_are_nan_are_an_error_and_not_a_ranking(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["classifier.weight"] *= math.nan
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    for call in (lambda: CrossEncoder(folder).predict(PAIRS), lambda: CrossEncoder(folder).rank(QUERY, DOCUMENTS)):
        with pytest.raises(ScoreError, match="pair 0"):
            call()


def test_a_score_error_names_the_first_pair_at_fault(bert):
    encoder = CrossEncoder(bert, engine=FakeEngine(lambda ids: math.inf if len(ids) > 6 else 0.0))
    with pytest.raises(ScoreError, match=r"1 of 3.* pair 1"):
        encoder.predict([("a", "b"), ("a", "b c d e f g h i"), ("a", "b")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "onxx"}, "unknown engine 'onxx'; did you mean 'onnx'"),
        ({"engine": "troch"}, "unknown engine 'troch'; did you mean 'torch'?"),
        ({"activation": "sigmoyd"}, "unknown activation 'sigmoyd'; did you mean 'sigmoid'?"),
        ({"max_length": 0}, "max_length=0 is not a whole number from 1 to 96"),
        ({"max_length": -5}, "max_length=-5"),
        ({"max_length": 97}, "max_length=97"),
        ({"max_length": True}, "max_length is True"),
        ({"max_length": 12.5}, "max_length is 12.5"),
        ({"max_length": 3}, "max_length=3 leaves no room for text next to 3 special tokens"),
        ({"device": "gpu0"}, "device 'gpu0' cannot be used here"),
    ],
)
def test_settings_that_do_not_fit(bert, options, message):
    with pytest.raises(SettingError, match=message.replace("?", r"\?")):
        CrossEncoder(bert, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that must be missing")
def test_a_device_that_is_not_there(bert):
    with pytest.raises(SettingError, match="'cuda'"):
        CrossEncoder(bert, device="cuda")


@pytest.mark.peer
def test_max_length_shortens_as_sentence_transformers_does(bert):
    theirs = sentence_transformers.CrossEncoder(str(bert), device="cpu", max_length=16)
    np.testing.assert_allclose(CrossEncoder(bert, max_length=16).predict(PAIRS), theirs.predict(PAIRS), atol=1e-5)


@pytest.mark.peer
def test_save_pretrained_round_trip(bert, tmp_path):
    encoder = CrossEncoder(bert, activation="identity", max_length=32)
    encoder.save_pretrained(tmp_path / "new" / "m")
    again = CrossEncoder(tmp_path / "new" / "m")
    assert (again.checkpoint.activation, again.checkpoint.max_length) == ("identity", 32)
    np.testing.assert_array_equal(again.predict(PAIRS), encoder.predict(PAIRS))
    np.testing.assert_allclose(reference(tmp_path / "new" / "m").predict(PAIRS), encoder.predict(PAIRS), atol=1e-4)


def test_save_pretrained_onto_its_own_folder(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    scores = CrossEncoder(folder, activation="tanh").predict(PAIRS)
    CrossEncoder(folder, activation="tanh").save_pretrained(folder)
    np.testing.assert_array_equal(CrossEncoder(folder).predict(PAIRS), scores)
    assert list(tmp_path.iterdir()) == [folder]


def test_save_pretrained_makes_files_of_the_links_of_a_hub_snapshot(bert, tmp_path):
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for path in bert.iterdir():
        (snapshot / path.name).symlink_to(path)
    CrossEncoder(snapshot).save_pretrained(tmp_path / "m")
    assert not any(path.is_symlink() for path in (tmp_path / "m").iterdir())
    assert json.loads((bert / "config.json").read_text()).get("sentence_transformers") is None, "the blob is untouched"


def test_save_pretrained_never_takes_other_things_away(bert, tmp_path):
    folder = Path(shutil.copytree(bert, tmp_path / "models" / "m"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    encoder = CrossEncoder(folder)
    for target, message in [
        (tmp_path / "notes", r"thesis\.txt"),
        (tmp_path / "notes" / "thesis.txt", "is a file"),
        (tmp_path / "models", "holds the input"),
        (folder / "inside", "is inside the input"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            encoder.save_pretrained(target)
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "notes"]
    CrossEncoder(folder)


def test_every_refusal_is_a_plackett_error(bert):
    with pytest.raises(PlackettError):
        CrossEncoder(bert).rank("", [])


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_that_share_the_work_have_all_logits_and_score_each_pair_once(bert, processes):
    encoder = CrossEncoder(bert)
    encoded = encoder.encode(PAIRS * 20)
    alone = encoder.score_encoded(encoded)
    np.testing.assert_array_equal(alone, encoder.score(PAIRS * 20))
    parts = []
    for index in range(processes):
        encoder.score_encoded(encoded, share=Share(index, processes, lambda array: parts.append(array) or array))
    np.testing.assert_array_equal(sum(parts), alone)
    assert (sum((part != 0).astype(int) for part in parts) == 1).all()


def test_a_share_without_numbers_is_told_to_every_process(bert):
    encoder = CrossEncoder(bert)
    encoded = encoder.encode(PAIRS)
    with pytest.raises(ScoreError, match="NaN or infinity"):
        encoder.score_encoded(encoded, share=Share(0, 2, lambda array: array * np.nan))


# Items that cannot be scored, one by one.


@pytest.mark.peer
def test_blank_documents_score_as_empty_text_in_sentence_transformers(bert):
    encoder, texts = CrossEncoder(bert), ["", "sort words", " \n\t", ""]
    with pytest.warns(UserWarning, match="3 of 4") as caught:
        scores = encoder.predict([(QUERY, text) for text in texts])
    assert [warning.filename for warning in caught] == [__file__]
    expected = reference(bert).predict([(QUERY, text) for text in texts])
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    with pytest.warns(UserWarning, match="1 of 3") as caught:
        ranked = encoder.rank_many([QUERY, "words"], [["sort words", ""], ["b"]])
    assert [warning.filename for warning in caught] == [__file__]
    assert {item["corpus_id"]: item["score"] for item in ranked[0]}[1] == pytest.approx(float(scores[0]), abs=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("text", ["a\x00b", "\ufeffsort", "bell\x07", "\x1b[31mred", "a\u2028b", "\ufffd"])
def test_control_characters_are_scored_as_in_sentence_transformers(bert, text):
    pairs = [(text, "sort words"), (QUERY, text + " x")]
    expected = reference(bert).predict(pairs)
    np.testing.assert_allclose(CrossEncoder(bert).predict(pairs), expected, atol=1e-5)


def test_bad_pairs_do_not_fail_the_others_where_errors_are_returned(bert):
    pairs = [(QUERY, "sort"), (QUERY, None), ("", "b"), (QUERY, "half \ud83d"), "ab", (QUERY, "words")]
    encoder = CrossEncoder(bert)
    found = encoder.predict(pairs, errors="return")
    assert sorted(found.errors) == [1, 2, 3, 4]
    assert {type(error) for error in found.errors.values()} == {InputError}
    assert np.isnan(found.scores).tolist() == [False, True, True, True, True, False]
    np.testing.assert_array_equal(found.scores[[0, 5]], encoder.predict([pairs[0], pairs[5]]))


def test_a_threshold_keeps_bad_pairs_apart_from_those_below_it(bert):
    encoder = CrossEncoder(bert, engine=FakeEngine(lambda ids: float(len(ids)) - 6), activation="identity")
    found = encoder.predict([("a", "a"), (None, "a"), ("a", "a sort of words")], min_score=0, errors="return")
    assert found.scores[0] == -np.inf
    assert np.isnan(found.scores[1])
    assert found.scores[2] >= 0


def test_bad_documents_and_queries_are_left_out_where_errors_are_returned(bert):
    encoder = CrossEncoder(bert)
    queries, documents = [QUERY, " ", "words", "b"], [["sort", None, "words"], ["a"], [], "abc"]
    found = encoder.rank_many(queries, documents, errors="return", return_windows=True, explain=True)
    assert sorted(found.errors) == [(0, 1), (1, None), (3, None)]
    assert [item["corpus_id"] for item in found.lists[0]] == [
        (0, 2)[item["corpus_id"]] for item in encoder.rank(QUERY, ["sort", "words"])
    ]
    assert found.lists[1:] == [[], [], []]
    assert all(item["window"]["end"] == len(documents[0][item["corpus_id"]]) for item in found.lists[0])


def test_pairs_too_long_and_scores_that_are_not_finite_are_returned_too(bert):
    engine = FakeEngine(lambda ids: math.nan if len(ids) == 7 else float(len(ids)))
    encoder = CrossEncoder(bert, engine=engine, long_documents="error", activation="identity")
    texts = ["a", "a a a", "a " * 500, "a a"]
    found = encoder.rank_many(["a"], [texts], errors="return")
    assert {place: type(error) for place, error in found.errors.items()} == {(0, 1): ScoreError, (0, 2): InputError}
    assert [item["corpus_id"] for item in found.lists[0]] == [3, 0]
    scored = encoder.predict([("a", text) for text in texts], errors="return")
    assert np.isnan(scored.scores).tolist() == [False, True, True, False]


def test_an_unknown_way_with_errors_is_refused(bert):
    with pytest.raises(SettingError, match="ignore"):
        CrossEncoder(bert).predict(PAIRS, errors="ignore")


# Other processes.


def test_a_pickle_opens_the_model_again(bert, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(bert, tmp_path / "m"))
    monkeypatch.chdir(tmp_path)
    encoder = CrossEncoder("m", max_length=32, activation="identity", long_documents="truncate")
    content = pickle.dumps(encoder)
    assert len(content) < 2000
    monkeypatch.chdir("/")
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict(PAIRS[:8]), encoder.predict(PAIRS[:8]))
    assert again.checkpoint.folder == folder


def test_an_encoder_over_an_engine_of_this_process_is_not_pickled(bert):
    encoder = CrossEncoder.from_parts(Parts.of(read_checkpoint(bert), FakeEngine(len)))
    with pytest.raises(SettingError, match="cannot be pickled"):
        pickle.dumps(encoder)


FORKED = """
import os, sys
import numpy as np
from plackett import CrossEncoder
encoder = CrossEncoder(threads=2)
pairs = [("how to sort", "the method sort " * 20)] * 100
expected = encoder.predict(pairs)
child = os.fork()
if child == 0:
    os._exit(int(not np.array_equal(encoder.predict(pairs), expected)))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.process
@pytest.mark.parametrize("parallel", ["true", None])
def test_a_forked_process_scores(parallel):
    """With the onnx engine; tests/engines/test_engines.py has torch's, which says why not."""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    if parallel is not None:
        environment["TOKENIZERS_PARALLELISM"] = parallel
    assert subprocess.run([sys.executable, "-c", FORKED], env=environment, timeout=300, check=False).returncode == 0


def test_its_representation_names_the_model_and_the_engine(bert):
    assert repr(CrossEncoder(bert)) == f"CrossEncoder({bert.name!r}, engine=TorchEngine)"


def test_a_model_of_the_hub_is_called_by_its_id(tiny, tmp_path):
    """Not by its commit, which is the folder's name in the Hub's cache."""
    commit = "0123456789abcdef" * 2 + "01234567"
    folder = shutil.copytree(tiny("bert", 3), tmp_path / "models--org--some-name" / "snapshots" / commit)
    encoder = CrossEncoder(folder)
    assert encoder.model.name == "org/some-name"
    with pytest.raises(InputError, match="org/some-name") as refused:
        encoder.rank(QUERY, DOCUMENTS)
    assert commit not in str(refused.value)
    assert CrossEncoder(tiny("bert", 3)).model.name == tiny("bert", 3).name
