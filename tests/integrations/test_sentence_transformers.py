"""The same results as sentence-transformers' CrossEncoder, argument by argument, and what takes one takes ours."""

import copy
import inspect
import json
import logging
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

import peers
from plackett.errors import CheckpointError, InputError, SettingError
from plackett.integrations.sentence_transformers import CrossEncoder
from tiny import DOCUMENTS, PAIRS, QUERY

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module", params=[1, 3])
def labels(request):
    return request.param


@pytest.fixture(scope="module")
def both(tiny, labels):
    """sentence-transformers' model and ours, of one folder, with prompts."""
    arguments = {"prompts": {"query": "find: "}, "device": "cpu"}
    folder = str(tiny("bert", labels))
    return peers.sentence_transformers.CrossEncoder(folder, **arguments), CrossEncoder(folder, **arguments)


def close(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, list):
        assert len(found) == len(expected)
        found, expected = torch.stack(found), torch.stack(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-5)


LOOSE = ("kwargs", "without_effect", "processing_kwargs")  # what one of the two takes among any others


@pytest.mark.parametrize("method", ["__init__", "predict", "rank"])
def test_every_argument_of_the_reference_has_its_place_and_default(method):
    theirs, ours = (
        [each for each in inspect.signature(getattr(kind, method)).parameters.values() if each.name not in LOOSE]
        for kind in (peers.sentence_transformers.CrossEncoder, CrossEncoder)
    )
    own = {"backend": "auto"}
    expected = [(each.name, each.kind, own.get(each.name, each.default)) for each in theirs]
    assert [(each.name, each.kind, each.default) for each in ours] == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 2},
        {"convert_to_tensor": True},
        {"convert_to_numpy": False},
        {"convert_to_numpy": False, "convert_to_tensor": True},
        {"activation_fn": torch.nn.Identity()},
        {"activation_fn": torch.tanh, "convert_to_tensor": True},
        {"activation_fn": lambda logits: logits.double(), "convert_to_tensor": True},
        {"activation_fn": lambda logits: logits.half(), "convert_to_numpy": False},
        {"activation_fn": lambda logits: (logits > 0).int(), "convert_to_numpy": True},
        {"activation_fn": lambda logits: logits[:, 0], "apply_softmax": True},
        {"activation_fn": lambda logits: torch.cat([logits, -logits], dim=1)},
        {"activation_fct": torch.nn.Sigmoid(), "num_workers": 0},
        {"apply_softmax": True},
        {"prompt_name": "query"},
        {"prompt": "seek: "},
        {"show_progress_bar": True},
        {"device": "cpu"},
        {"chunk_size": 3, "pool": None},
        {"processing_kwargs": {"text": {"max_length": 24, "truncation": True}}},
    ],
    ids=lambda options: "-".join(options) or "none",
)
def test_predict_takes_the_arguments_and_returns_the_same(both, options):
    theirs, ours = both
    close(ours.predict(PAIRS, **options), theirs.predict(PAIRS, **options))
    close(ours.predict(PAIRS[0], **options), theirs.predict(PAIRS[0], **options))


@pytest.mark.parametrize(
    "inputs",
    [
        [list(pair) for pair in PAIRS],
        np.array(PAIRS, dtype=object),
        np.array(PAIRS[:3]),
        np.array(PAIRS[3]),
        list(PAIRS[1]),
        [("", ""), ("", "a document"), ("a query", "")],
        Dataset.from_dict({"pair": [list(pair) for pair in PAIRS[:4]]})["pair"],
    ],
    ids=["lists", "objects", "array", "one array", "one list", "empty texts", "column"],
)
def test_predict_takes_pairs_in_every_shape(both, inputs):
    theirs, ours = both
    close(ours.predict(inputs), theirs.predict(inputs))


@pytest.mark.parametrize("options", [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}])
def test_nothing_has_no_scores(both, options):
    theirs, ours = both
    found, expected = ours.predict([], **options), theirs.predict([], **options)
    assert type(found) is type(expected)
    assert len(found) == len(expected) == 0


def test_sentences_is_the_earlier_name_of_inputs(both, caplog):
    with caplog.at_level(logging.WARNING):
        close(both[1].predict(sentences=PAIRS), both[0].predict(PAIRS))
    assert "sentences" in caplog.text


@pytest.mark.parametrize("labels", [1], indirect=True)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 3},
        {"top_k": 0},
        {"return_documents": True, "top_k": 2},
        {"prompt_name": "query", "batch_size": 1},
        {"activation_fn": torch.nn.Identity(), "show_progress_bar": False},
        {"activation_fn": lambda logits: (logits > 0).float()},
        {"apply_softmax": False, "convert_to_numpy": True, "num_workers": 2},
    ],
    ids=lambda options: "-".join(options) or "none",
)
def test_rank_returns_the_same(both, options):
    theirs, ours = both
    found, expected = ours.rank(QUERY, DOCUMENTS, **options), theirs.rank(QUERY, DOCUMENTS, **options)
    assert [item | {"score": 0} for item in found] == [item | {"score": 0} for item in expected]
    assert [item["score"] for item in found] == pytest.approx([item["score"] for item in expected], abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"max_length": 20},
        {"processor_kwargs": {"model_max_length": 20}},
        {"tokenizer_args": {"model_max_length": 20}},
        {"activation_fn": torch.nn.Tanh()},
        {"default_activation_function": torch.nn.Identity()},
        {"classifier_dropout": 0.1},
        {"num_labels": 1, "trust_remote_code": True, "local_files_only": True},
        {"model_kwargs": {"dtype": torch.float32, "attn_implementation": "eager"}},
        {"prompts": {"q": "please: "}, "default_prompt_name": "q"},
        {"keep_in_fp32_modules": [], "backend": "torch", "cache_folder": None, "token": None},
    ],
    ids=lambda options: "-".join(options),
)
def test_the_constructor_takes_the_arguments(bert, options):
    theirs = peers.sentence_transformers.CrossEncoder(str(bert), **{"device": "cpu"} | options)
    ours = CrossEncoder(str(bert), **{"device": "cpu"} | options)
    close(ours.predict(PAIRS), theirs.predict(PAIRS))
    assert ours.max_seq_length == theirs.max_seq_length
    assert ours.device == theirs.device
    assert type(ours.activation_fn) is type(theirs.activation_fn)
    assert (ours.num_labels, ours.default_prompt_name) == (theirs.num_labels, theirs.default_prompt_name)


def test_positional_arguments_of_earlier_releases(bert):
    close(CrossEncoder(str(bert), 1, 20).predict(PAIRS), CrossEncoder(str(bert), max_length=20).predict(PAIRS))


def test_the_limit_and_the_activation_can_be_set(bert):
    theirs, ours = (kind(str(bert), device="cpu") for kind in (peers.sentence_transformers.CrossEncoder, CrossEncoder))
    for model in (theirs, ours):
        model.max_seq_length = 24
        model.activation_fn = torch.nn.Identity()
    close(ours.predict(PAIRS), theirs.predict(PAIRS))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"modules": []}, "modules"),
        ({"num_labels": 2}, "num_labels"),
        ({"backend": "tensorrt"}, "tensorrt"),
        ({"model_kwargs": {"dtype": torch.float16}}, "float16"),
        ({"model_kwargs": {"quantization_config": None}}, "quantization_config"),
        ({"device": ["cpu", "cuda:0"]}, "cuda:0"),
    ],
)
def test_what_has_no_counterpart_is_named(bert, arguments, named):
    with pytest.raises(SettingError) as error:
        CrossEncoder(str(bert), **arguments)
    assert named in str(error.value)


def test_a_name_without_an_organisation_is_the_reference_s(monkeypatch):
    with pytest.raises(CheckpointError) as error:
        CrossEncoder("ms-marco-no-such-model", local_files_only=True)
    assert "cross-encoder/ms-marco-no-such-model" in str(error.value)


@pytest.mark.parametrize(
    "inputs",
    [
        *("text", b"qd", 3, ["q"], [("q", None)], [("q", "d", "e")]),
        *({"query": "q", "document": "d"}, [{"query": "q", "document": "d"}], [{"q", "d"}], {("q", "d")}),
        pd.DataFrame([("q", "d")], columns=["query", "document"]),
    ],
)
def test_what_is_no_pair_is_refused(bert, inputs):
    with pytest.raises(InputError):
        CrossEncoder(str(bert)).predict(inputs)


@pytest.mark.parametrize(
    "call",
    [
        {"batch_size": 0},
        {"prompt_name": "passage"},
        {"processing_kwargs": {"image": {}}},
        {"processing_kwargs": {"text": {"truncation": "only_second"}}},
        {"processing_kwargs": {"text": {"truncation": False}}},
        {"processing_kwargs": {"text": {"max_length": 97}}},
        {"device": "nowhere"},
    ],
    ids=repr,
)
def test_wrong_settings_of_a_call_are_refused(bert, call):
    with pytest.raises(SettingError):
        CrossEncoder(str(bert)).predict(PAIRS, **call)


@pytest.mark.parametrize("limit", [0, 97, "24", True])
def test_a_wrong_limit_leaves_the_model_unchanged(bert, limit):
    model = CrossEncoder(str(bert), max_length=24)
    with pytest.raises(SettingError):
        model.max_seq_length = limit
    assert (model.max_seq_length, copy.copy(model).max_seq_length) == (24, 24)
    close(model.predict(PAIRS), CrossEncoder(str(bert), max_length=24).predict(PAIRS))


def test_a_wrong_device_leaves_the_model_unchanged(bert):
    model = CrossEncoder(str(bert))
    expected = model.predict(PAIRS)
    with pytest.raises(SettingError):
        model.to("nowhere")
    assert model.device == torch.device("cpu")
    close(model.predict(PAIRS, device="cpu"), expected)
    close(pickle.loads(pickle.dumps(model)).predict(PAIRS), expected)


def test_the_backend_is_the_engine_that_computes(bert):
    assert CrossEncoder(str(bert)).get_backend() == "torch"
    assert CrossEncoder().get_backend() == "onnx"


def test_several_labels_do_not_rank(tiny):
    with pytest.raises(InputError):
        CrossEncoder(str(tiny("bert", 3))).rank(QUERY, DOCUMENTS)


SAMPLES = [
    {"query": QUERY, "positive": [DOCUMENTS[0]], "documents": DOCUMENTS[1:6]},
    {"query": "options of a command line", "positive": [DOCUMENTS[4]], "documents": DOCUMENTS[:5]},
]


@pytest.mark.parametrize("labels", [1], indirect=True)
def test_the_evaluators_of_the_reference_take_it(both, tmp_path):
    cross = peers.evaluation
    for evaluator in (
        cross.CrossEncoderRerankingEvaluator(SAMPLES, batch_size=2, always_rerank_positives=False),
        cross.CrossEncoderCorrelationEvaluator(PAIRS, np.linspace(0, 1, len(PAIRS)).tolist()),
        cross.CrossEncoderClassificationEvaluator(PAIRS, [index % 2 for index in range(len(PAIRS))]),
    ):
        theirs, ours = (model.evaluate(evaluator, str(tmp_path / "figures")) for model in both)
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_rerank_of_beir_takes_it(bert):
    from beir.reranking import Rerank

    corpus = {f"d{index}": {"title": "", "text": text} for index, text in enumerate(DOCUMENTS)}
    run = {"q": {name: -float(index) for index, name in enumerate(corpus)}}
    theirs, ours = (
        Rerank(kind(str(bert)), batch_size=4).rerank(corpus, {"q": QUERY}, run, top_k=5)
        for kind in (peers.sentence_transformers.CrossEncoder, CrossEncoder)
    )
    assert len(ours["q"]) == 5
    assert ours["q"] == pytest.approx(theirs["q"], abs=1e-5)


def test_a_saved_model_is_read_by_the_reference(bert, tmp_path):
    ours = CrossEncoder(str(bert), max_length=40)
    ours.save_pretrained(tmp_path / "saved")
    theirs = peers.sentence_transformers.CrossEncoder(str(tmp_path / "saved"), device="cpu")
    close(ours.predict(PAIRS), theirs.predict(PAIRS))


@pytest.mark.parametrize("is_assigned", [False, True])
@pytest.mark.parametrize(
    ("labels", "function"),
    [(1, torch.nn.Tanh()), (1, torch.nn.Identity()), (1, torch.nn.Sigmoid()), (3, torch.nn.Softmax(dim=-1))],
    indirect=["labels"],
    ids=str,
)
def test_the_activation_is_saved(tiny, labels, function, is_assigned, tmp_path):
    ours = CrossEncoder(str(tiny("bert", labels)), **({} if is_assigned else {"activation_fn": function}))
    if is_assigned:
        ours.activation_fn = function
    ours.save_pretrained(tmp_path / "saved")
    dotted = f"{type(function).__module__}.{type(function).__name__}"
    assert json.loads((tmp_path / "saved" / "config_sentence_transformers.json").read_text())["activation_fn"] == dotted
    again = CrossEncoder(str(tmp_path / "saved"))
    np.testing.assert_allclose(again.predict(PAIRS), ours.predict(PAIRS), atol=1e-6)


@pytest.mark.parametrize("function", [torch.nn.ReLU(), torch.tanh, lambda logits: logits * 2])
def test_an_activation_that_no_checkpoint_names_is_not_saved(bert, function, tmp_path):
    with pytest.raises(SettingError) as error:
        CrossEncoder(str(bert), activation_fn=function).save_pretrained(tmp_path / "saved")
    assert "activation_fn" in str(error.value)
    assert not (tmp_path / "saved").exists()


def test_the_activation_s_earlier_name_is_deprecated(bert):
    model = CrossEncoder(str(bert))
    with pytest.warns(DeprecationWarning, match="activation_fn"):
        assert type(model.default_activation_function) is type(model.activation_fn)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("folder", [True, False], ids=["folder", "embedded"])
def test_a_copy_has_the_settings_and_scores(bert, folder, copied, monkeypatch):
    monkeypatch.chdir(bert.parent)
    model = CrossEncoder(bert.name if folder else None, prompts={"query": "find: "}, activation_fn=torch.nn.Tanh())
    model.max_seq_length = 24
    again = copied(model)
    close(again.predict(PAIRS, prompt_name="query"), model.predict(PAIRS, prompt_name="query"))
    again.max_seq_length, again.activation_fn = 48, torch.nn.Identity()
    again.prompts["query"] = ""
    assert (model.max_seq_length, type(model.activation_fn)) == (24, torch.nn.Tanh)
    assert model.prompts == {"query": "find: "}


@pytest.mark.process
def test_neither_torch_nor_the_reference_is_imported():
    code = (
        "import sys; from plackett.integrations.sentence_transformers import CrossEncoder; m = CrossEncoder();"
        "m.rank('q', ['a', 'b']); print({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "set()\n"
