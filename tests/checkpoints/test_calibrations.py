"""Probabilities from logits: never falling, never out of range, and the same from the file as from memory."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers import sentence_transformers
from plackett import CheckpointError, CrossEncoder, InputError, SettingError
from plackett.checkpoints.calibrations import (
    METHODS,
    Isotonic,
    Platt,
    Temperature,
    dump_calibration,
    method_of,
    read_calibration,
    sigmoid,
)
from plackett.checkpoints.own_files import CALIBRATION
from plackett.engines.base import FakeEngine
from tiny import DOCUMENTS, PAIRS, QUERY

STEPS = Isotonic((-2.0, -1.0, 0.5, 3.0), (0.1, 0.1, 0.4, 0.95))
EACH = [Temperature(2.5), Platt(0.7, -1.5), STEPS]

numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)
calibrations = st.one_of(
    st.builds(Temperature, positive),
    st.builds(Platt, positive, numbers),
    st.lists(
        st.tuples(st.floats(-1e4, 1e4, width=32), st.floats(0, 1)), min_size=1, unique_by=lambda knot: knot[0]
    ).map(lambda knots: Isotonic(tuple(sorted(x for x, _ in knots)), tuple(sorted(p for _, p in knots)))),
)


@pytest.fixture
def calibrated(bert, tmp_path):
    """A checkpoint that holds a calibration."""
    folder = shutil.copytree(bert, tmp_path / "m")
    (folder / CALIBRATION).write_text(dump_calibration(Platt(0.7, -1.5)))
    return folder


@given(calibrations, st.lists(st.floats(-1e4, 1e4, width=32), min_size=1))
def test_probabilities_never_fall_and_never_leave_their_range(calibration, logits):
    for kind in (np.float32, np.float64):
        probabilities = calibration(np.sort(np.array(logits, kind)))
        assert probabilities.dtype == kind
        assert ((probabilities >= 0) & (probabilities <= 1)).all(), "nor are they NaN"
        assert (np.diff(probabilities) >= -1e-12).all()


def test_each_method_by_hand():
    logits = np.array([[-3.0], [-1.0], [-0.25], [2.0], [9.0]])
    by_hand = {
        "temperature": [1 / (1 + math.exp(-x / 2.5)) for x in logits[:, 0]],
        "platt": [1 / (1 + math.exp(-(0.7 * x - 1.5))) for x in logits[:, 0]],
        "isotonic": [0.1, 0.1, 0.25, 0.4 + 0.55 * 1.5 / 2.5, 0.95],
    }
    for calibration in EACH:
        np.testing.assert_allclose(calibration(logits)[:, 0], by_hand[method_of(calibration)], rtol=1e-12)
    assert [method_of(calibration) for calibration in EACH] == list(METHODS)


@pytest.mark.parametrize("calibration", EACH, ids=method_of)
def test_the_file_gives_the_same_to_the_bit(tmp_path, calibration):
    (tmp_path / CALIBRATION).write_text(dump_calibration(calibration))
    assert read_calibration(tmp_path) == calibration
    assert json.loads((tmp_path / CALIBRATION).read_text())["version"] == 1


@settings(deadline=None)
@given(calibrations)
def test_any_calibration_can_be_written_and_read(tmp_path_factory, calibration):
    folder = tmp_path_factory.getbasetemp()
    (folder / CALIBRATION).write_text(dump_calibration(calibration))
    assert read_calibration(folder) == calibration


DAMAGED: dict[str, str | bytes] = {
    "no JSON": "{",
    "a list": "[]",
    "no text": b"\xff\xfe\x00",
    "nothing": "",
    "no version": '{"method": "platt", "slope": 1, "intercept": 0}',
    "no method": '{"version": 1}',
    "an unknown method": '{"version": 1, "method": "beta", "slope": 1}',
    "a method that is no name": '{"version": 1, "method": [], "slope": 1}',
    "half of the parameters": '{"version": 1, "method": "platt", "slope": 1}',
    "another's parameters": '{"version": 1, "method": "temperature", "slope": 1}',
    "text": '{"version": 1, "method": "temperature", "temperature": "hot"}',
    "true": '{"version": 1, "method": "temperature", "temperature": true}',
    "NaN": '{"version": 1, "method": "temperature", "temperature": NaN}',
    "infinity": '{"version": 1, "method": "platt", "slope": 1, "intercept": -Infinity}',
    "beyond a float": f'{{"version": 1, "method": "temperature", "temperature": 1{"0" * 400}}}',
    "zero": '{"version": 1, "method": "temperature", "temperature": 0}',
    "a slope that falls": '{"version": 1, "method": "platt", "slope": -1, "intercept": 0}',
    "no knots": '{"version": 1, "method": "isotonic", "logits": [], "probabilities": []}',
    "a knot too few": '{"version": 1, "method": "isotonic", "logits": [1, 2], "probabilities": [0.5]}',
    "knots in disorder": '{"version": 1, "method": "isotonic", "logits": [2, 1], "probabilities": [0.1, 0.5]}',
    "knots that fall": '{"version": 1, "method": "isotonic", "logits": [1, 2], "probabilities": [0.5, 0.1]}',
    "knots above one": '{"version": 1, "method": "isotonic", "logits": [1, 2], "probabilities": [0.5, 1.1]}',
    "knots that are a number": '{"version": 1, "method": "isotonic", "logits": 1, "probabilities": 0.5}',
    "knots that are text": '{"version": 1, "method": "isotonic", "logits": "1", "probabilities": "1"}',
    "an older version": '{"version": 0, "method": "platt", "slope": 1, "intercept": 0}',
    "a version that is text": '{"version": "1", "method": "platt", "slope": 1, "intercept": 0}',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_says_so_where_it_is_asked_for_and_stands_in_nobody_elses_way(calibrated, name):
    content = DAMAGED[name]
    (calibrated / CALIBRATION).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(
        CheckpointError, match=r"calibration\.json cannot be read .*calibrate again: plackett calibrate"
    ):
        CrossEncoder(calibrated, activation="calibrated", engine=FakeEngine(len))
    CrossEncoder(calibrated, engine=FakeEngine(len))


def test_a_file_of_a_newer_version(calibrated):
    (calibrated / CALIBRATION).write_text('{"version": 2, "method": "beta", "shape": 1}')
    with pytest.raises(CheckpointError, match="has version 2, but this Plackett reads version 1"):
        CrossEncoder(calibrated, activation="calibrated", engine=FakeEngine(len))


def test_a_checkpoint_without_one_says_how_to_get_it(bert, tiny):
    with pytest.raises(SettingError, match=r"fit one: plackett calibrate .* --data LISTS"):
        CrossEncoder(bert, activation="calibrated")
    with pytest.raises(SettingError, match=r"calibrated scores need one label, .* has 3"):
        CrossEncoder(tiny("bert", 3), activation="calibrated")
    with pytest.raises(SettingError, match=r"unknown activation 'calibratd'; did you mean 'calibrated'\?"):
        CrossEncoder(bert, activation="calibratd")


@pytest.mark.parametrize("calibration", EACH, ids=method_of)
def test_calibrated_scores_are_those_of_the_raw_logits_and_leave_the_order(calibrated, calibration):
    (calibrated / CALIBRATION).write_text(dump_calibration(calibration))
    encoder, raw = CrossEncoder(calibrated, activation="calibrated"), CrossEncoder(calibrated, activation="identity")
    logits = raw.predict(PAIRS)
    np.testing.assert_array_equal(encoder.score(PAIRS)[:, 0], logits)
    np.testing.assert_allclose(encoder.predict(PAIRS), calibration(logits.astype(np.float64)), rtol=1e-6)
    assert encoder.predict(PAIRS).dtype == np.float32
    order = [[item["corpus_id"] for item in model.rank(QUERY, DOCUMENTS)] for model in (encoder, raw)]
    assert order[0] == order[1]


def test_a_plateau_makes_ties_and_the_logits_still_decide(calibrated):
    (calibrated / CALIBRATION).write_text(dump_calibration(Isotonic((0.0,), (0.3,))))
    encoder = CrossEncoder(calibrated, activation="calibrated", engine=FakeEngine(len))
    ranked = encoder.rank(QUERY, ["words", "words words words", "words words"])
    assert [item["corpus_id"] for item in ranked] == [1, 2, 0]
    assert {item["score"] for item in ranked} == {float(np.float32(0.3))}


def test_copies_keep_the_calibration_and_the_configuration_keeps_its_activation(calibrated, tmp_path):
    encoder = CrossEncoder(calibrated, activation="calibrated", max_length=48)
    encoder.save_pretrained(tmp_path / "copy")
    again = CrossEncoder(tmp_path / "copy", activation="calibrated")
    np.testing.assert_array_equal(again.predict(PAIRS), encoder.predict(PAIRS))
    plain = CrossEncoder(tmp_path / "copy")
    assert (plain.checkpoint.activation, plain.checkpoint.max_length) == ("sigmoid", 48)
    CrossEncoder(calibrated, activation="identity").save_pretrained(tmp_path / "raw")
    assert CrossEncoder(tmp_path / "raw", activation="calibrated").checkpoint.calibration == Platt(0.7, -1.5)
    encoder = CrossEncoder(tmp_path / "raw", activation="calibrated")
    encoder.save_pretrained(tmp_path / "raw")
    assert CrossEncoder(tmp_path / "raw").checkpoint.activation == "identity"


@pytest.mark.peer
def test_sentence_transformers_reads_a_calibrated_checkpoint_as_before(calibrated, bert, tmp_path):
    CrossEncoder(calibrated, activation="calibrated").save_pretrained(tmp_path / "copy")
    expected = sentence_transformers.CrossEncoder(str(bert), device="cpu", local_files_only=True).predict(PAIRS)
    for folder in (calibrated, tmp_path / "copy"):
        theirs = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
        np.testing.assert_array_equal(theirs.predict(PAIRS), expected)
        np.testing.assert_allclose(CrossEncoder(folder).predict(PAIRS), expected, atol=1e-5)


@pytest.mark.process
def test_calibrated_scores_need_neither_torch_nor_scipy(calibrated):
    code = """
import sys
for name in ("torch", "transformers", "scipy", "sklearn", "pydantic", "matplotlib"):
    sys.modules[name] = None
from plackett import CrossEncoder
from plackett.engines.base import FakeEngine
encoder = CrossEncoder(sys.argv[1], activation="calibrated", engine=FakeEngine(len))
print(encoder.rank("a query", ["words", "words and words"], min_score=0.5))
"""
    done = subprocess.run([sys.executable, "-c", code, calibrated], capture_output=True, text=True, timeout=60)
    expected = CrossEncoder(calibrated, activation="calibrated", engine=FakeEngine(len))
    assert done.stdout == f"{expected.rank('a query', ['words', 'words and words'], min_score=0.5)}\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["identity", "sigmoid", "tanh", "calibrated"])
@pytest.mark.parametrize("top_k", [None, 2])
def test_rank_drops_what_scores_less(calibrated, activation, top_k):
    encoder = CrossEncoder(calibrated, activation=activation)
    everything = encoder.rank(QUERY, DOCUMENTS)
    for bound in (-math.inf, everything[-1]["score"], everything[1]["score"], math.inf):
        kept = encoder.rank(QUERY, DOCUMENTS, min_score=bound, top_k=top_k)
        assert kept == [item for item in everything if item["score"] >= bound][:top_k]
        assert encoder.rank_many([QUERY], [DOCUMENTS], min_score=bound, top_k=top_k) == [kept]
    assert encoder.rank(QUERY, DOCUMENTS, min_score=math.inf) == []


def test_predict_keeps_the_places_of_what_scores_less(bert):
    encoder = CrossEncoder(bert)
    scores = encoder.predict(PAIRS)
    bound = float(np.median(scores))
    kept = encoder.predict(PAIRS, min_score=bound)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(kept), scores >= bound)
    np.testing.assert_array_equal(kept[scores >= bound], scores[scores >= bound])
    assert set(kept[scores < bound]) == {-np.inf}
    assert encoder.predict([], min_score=0.5).shape == (0,)


def test_scores_are_compared_as_the_numbers_that_are_returned(calibrated):
    (calibrated / CALIBRATION).write_text(dump_calibration(Isotonic((0.0,), (0.9,))))
    encoder = CrossEncoder(calibrated, activation="calibrated", engine=FakeEngine(len))
    [item] = encoder.rank(QUERY, ["words"])
    assert item["score"] < 0.9, "float32 has no 0.9"
    assert encoder.rank(QUERY, ["words"], min_score=0.9) == []
    assert encoder.predict([(QUERY, "words")], min_score=0.9)[0] == -np.inf
    assert encoder.predict([(QUERY, "words")], min_score=item["score"])[0] == np.float32(0.9)


@pytest.mark.parametrize("bound", [math.nan, np.float32("nan"), "0.5", True, [0.5], 1j])
def test_a_min_score_that_is_no_number(bert, bound):
    encoder = CrossEncoder(bert)
    for call in (encoder.rank, lambda *given, **how: encoder.predict(PAIRS, **how)):
        with pytest.raises(InputError, match="is not a number; leave it out to keep everything"):
            call(QUERY, DOCUMENTS, min_score=bound)
    assert encoder.rank(QUERY, DOCUMENTS, min_score=np.float32(0)) == encoder.rank(QUERY, DOCUMENTS, min_score=0)


def test_several_labels_have_no_min_score(tiny):
    with pytest.raises(InputError, match=r"min_score.* 3"):
        CrossEncoder(tiny("bert", 3)).predict(PAIRS, min_score=0.5)


def test_the_command_ranks_by_probability(run, calibrated):
    encoder = CrossEncoder(calibrated, activation="calibrated")
    bound = encoder.rank(QUERY, DOCUMENTS)[2]["score"]
    options = ("--model", calibrated, "--activation", "calibrated", "--json", "--min-score")
    code, output, errors = run("rank", QUERY, *DOCUMENTS, *options, bound)
    expected = encoder.rank(QUERY, DOCUMENTS, min_score=bound, return_documents=True)
    assert (code, errors) == (0, "")
    assert [json.loads(line) for line in output.splitlines()] == expected
    code, output, errors = run("rank", QUERY, *DOCUMENTS, *options, 1.5)
    assert (code, output, errors) == (0, "", "no document scores 1.5 or more\n")
    assert run("rank", QUERY, *DOCUMENTS, *options, "nan")[0] == 2


def test_the_sigmoid_is_exact_and_does_not_overflow():
    logits = np.array([-1e4, -745.0, -20.0, 0.0, 3.0, 1e4])
    expected = [0.0, math.exp(-745), 1 / (1 + math.exp(20)), 0.5, 1 / (1 + math.exp(-3)), 1.0]
    np.testing.assert_allclose(sigmoid(logits), expected, rtol=1e-12)
