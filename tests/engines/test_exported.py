"""Finding exports in folders, choosing among engines, and what is said where one is missing or broken."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from plackett import CheckpointError, CrossEncoder, SettingError
from plackett.checkpoints.exports import export_files
from plackett.checkpoints.folder import read_checkpoint
from plackett.dialects import RerankRequest
from plackett.engines.base import EngineSettings, Parts
from plackett.engines.loading import load_engine
from plackett.engines.onnx import OnnxEngine
from plackett.engines.openvino import OpenvinoEngine
from plackett.engines.torch.engine import TorchEngine
from plackett.serving.models import ServedModel
from plackett.tokenization.batches import EncodedPairs
from plackett.workflows.export import export
from tiny import PAIRS, token_rows

ENGINES = ["onnx", "openvino"]


@pytest.fixture(scope="module")
def both(bert, tmp_path_factory):
    """A checkpoint with both exports beside its weights."""
    folder = tmp_path_factory.mktemp("both") / "mine"
    shutil.copytree(bert, folder)
    for engine in ENGINES:
        export(str(folder), engine=engine)
    return folder


@pytest.fixture
def mine(both, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(both, tmp_path / "mine")


def automatic(folder, **options):
    return type(load_engine("auto", read_checkpoint(folder), EngineSettings(**options)))


def test_the_automatic_engine(mine):
    assert automatic(mine) is TorchEngine
    (mine / "model.safetensors").unlink()
    assert automatic(mine) is OpenvinoEngine
    (mine / "openvino" / "openvino_model.bin").unlink()
    assert automatic(mine) is OnnxEngine


def test_without_openvino_the_automatic_engine_is_onnx(mine, monkeypatch):
    (mine / "model.safetensors").unlink()
    monkeypatch.setattr("plackett.engines.loading.is_installed", lambda name: name != "openvino")
    assert automatic(mine) is OnnxEngine
    (mine / "model.safetensors").touch()


def test_without_torch_the_automatic_engine_is_an_export(mine, monkeypatch):
    monkeypatch.setattr("plackett.engines.loading.is_installed", lambda name: name != "torch")
    assert automatic(mine) is OpenvinoEngine


@pytest.mark.parametrize("engine", ENGINES)
def test_an_export_that_is_not_there(bert, engine):
    command = rf"plackett export {bert} --engine {engine} --precision"
    with pytest.raises(CheckpointError, match=rf"{engine}/.*model\.(onnx|xml); .*{command} fp32"):
        load_engine(engine, read_checkpoint(bert))
    with pytest.raises(CheckpointError, match=rf"{engine}/.*_int8\..*; .*{command} int8"):
        load_engine(engine, read_checkpoint(bert), EngineSettings(precision="int8"))


def test_the_only_export_is_taken_where_no_precision_is_wanted(mine):
    (mine / "onnx" / "model.onnx").rename(mine / "onnx" / "model_int8.onnx")
    assert isinstance(load_engine("onnx", read_checkpoint(mine)), OnnxEngine)
    with pytest.raises(CheckpointError, match=r"onnx/model\.onnx"):
        load_engine("onnx", read_checkpoint(mine), EngineSettings(precision="fp32"))


def test_torch_without_weights_says_what_is_there(mine):
    (mine / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="onnx, openvino"):
        load_engine("torch", read_checkpoint(mine))


@pytest.mark.parametrize("name", [name for names in export_files().values() for name in names if "int8" not in name])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_export_is_named(mine, name, damage):
    path = mine / name
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "noise": os.urandom(500)}[damage])
    engine = name.partition("/")[0]
    stem = path.with_suffix("").name
    with pytest.raises(CheckpointError, match=rf"{stem}\.(onnx|xml) is damaged, incomplete .* export it again"):
        load_engine(engine, read_checkpoint(mine))


def test_half_of_an_export_is_no_checkpoint(mine):
    (mine / "model.safetensors").unlink()
    shutil.rmtree(mine / "onnx")
    (mine / "openvino" / "openvino_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        read_checkpoint(mine)


def configure(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


MISMATCHES = {
    "vocabulary": {"vocab_size": 5000},
    "labels": {"num_labels": 3, "id2label": {str(i): f"L{i}" for i in range(3)}, "label2id": {}},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", MISMATCHES)
def test_a_graph_of_another_shape_than_the_configuration_is_refused_on_load(mine, engine, what):
    (mine / "model.safetensors").unlink()
    configure(mine, **MISMATCHES[what])
    with pytest.raises(CheckpointError, match=r"model\.(onnx|xml) .*config\.json"):
        CrossEncoder(mine, engine=engine)


@pytest.mark.parametrize("engine", ["torch", *ENGINES])
def test_an_id_without_an_embedding_is_an_error_in_every_engine(mine, engine):
    loaded = load_engine(engine, read_checkpoint(mine))
    vocabulary = read_checkpoint(mine).inputs.vocabulary
    ids = np.array([2, vocabulary, 3])
    with pytest.raises(CheckpointError):
        loaded.score(EncodedPairs(ids, np.zeros(3, np.int64), np.array([0, 3])))
    ids = np.minimum(ids, vocabulary - 1)
    assert np.isfinite(loaded.score(EncodedPairs(ids, np.zeros(3, np.int64), np.array([0, 3])))).all()


@pytest.mark.parametrize("engine", ["torch", *ENGINES])
def test_a_word_whose_id_has_no_embedding_is_an_error_in_every_engine(mine, engine):
    """The vocabulary has a gap, so its highest id is not seen from its size."""
    path = mine / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["list"] = 5000
    path.write_text(json.dumps(content))
    encoder = CrossEncoder(mine, engine=engine)
    assert np.isfinite(encoder.score([("sort", "words")])).all()
    with pytest.raises(CheckpointError):
        encoder.score([("sort", "a list")])


def test_openvino_tells_the_width_of_a_graph(mine):
    (mine / "model.safetensors").unlink()
    configure(mine, hidden_size=64)
    with pytest.raises(CheckpointError, match=r"32 .* 64"):
        CrossEncoder(mine, engine="openvino")


@pytest.mark.parametrize("change", [{"rename": "position_ids"}, {"output": "scores"}, {"drop": True}])
def test_a_graph_with_other_inputs_or_outputs_is_refused_on_load(mine, change):
    path = mine / "onnx" / "model.onnx"
    model = onnx.load(path)
    inputs = model.graph.input
    types = next(item for item in inputs if item.name == "token_type_ids")
    if "rename" in change:
        types.name = change["rename"]
        for node in model.graph.node:
            node.input[:] = [change["rename"] if name == "token_type_ids" else name for name in node.input]
    elif "drop" in change:
        values = onnx.numpy_helper.from_array(np.zeros((1, 1), np.int64), "token_type_ids")
        shape = onnx.helper.make_node("Expand", ["zeros", "like"], ["token_type_ids"])
        like = onnx.helper.make_node("Shape", ["input_ids"], ["like"])
        values.name = "zeros"
        inputs.remove(types)
        model.graph.initializer.append(values)
        for node in (shape, like):
            model.graph.node.insert(0, node)
    else:
        model.graph.output[0].name = change["output"]
        model.graph.node[-1].output[0] = change["output"]
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=r"model\.onnx .*(position_ids|attention_mask|scores).*config\.json"):
        CrossEncoder(mine, engine="onnx")


def test_what_goes_wrong_in_openvino_is_raised(both):
    def infer(feed):
        raise RuntimeError("out of memory\nat line 7")

    engine: Any = load_engine("openvino", read_checkpoint(both))
    engine._request = SimpleNamespace(infer=infer)
    with pytest.raises(CheckpointError, match=r"openvino .*out of memory\)"):
        engine.score(pairs_of(3))


def test_a_pair_beyond_the_positions_of_a_graph_of_onnx_is_no_raw_error(mine):
    configure(mine, max_position_embeddings=500)
    engine = load_engine("onnx", read_checkpoint(mine))
    with pytest.raises(CheckpointError, match="onnx"):
        engine.score(pairs_of(200))


@pytest.mark.parametrize("engine", ENGINES)
def test_other_devices(both, engine):
    with pytest.raises(SettingError, match=f"the engine {engine} runs on the cpu, not on 'cuda'; leave device out"):
        load_engine(engine, read_checkpoint(both), EngineSettings("cuda"))
    load_engine(engine, read_checkpoint(both), EngineSettings("cpu"))


def test_onnx_has_no_bf16(both):
    with pytest.raises(SettingError, match=r"not in bf16; .*torch.*openvino"):
        load_engine("onnx", read_checkpoint(both), EngineSettings(precision="bf16"))


def test_a_processor_without_bf16(both, monkeypatch):
    monkeypatch.setattr("openvino.Core.get_property", lambda *names: ["FP32"])
    with pytest.raises(SettingError, match="precision='bf16' needs a processor with bf16 instructions"):
        load_engine("openvino", read_checkpoint(both), EngineSettings(precision="bf16"))


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_change_nothing_but_speed(both, engine):
    one, two = (CrossEncoder(both, engine=engine, threads=count).score(PAIRS) for count in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-5)


class Session:
    """In the place of onnxruntime's: gives the first token of each pair, when the barrier lets it."""

    def __init__(self, barrier):
        self._barrier = barrier

    def get_inputs(self):
        return [SimpleNamespace(name="input_ids")]

    def run(self, _, feed):
        self._barrier.wait(timeout=30)
        return [feed["input_ids"][:, :1].astype(np.float32)]


def pairs_of(*lengths):
    """Each pair's tokens are all its number."""
    ends = np.cumsum([0, *lengths])
    tokens = np.repeat(np.arange(len(lengths)), lengths)
    return EncodedPairs(tokens, np.zeros_like(tokens), ends)


@pytest.mark.parametrize(
    ("sessions", "lengths", "parts"),
    [
        (2, [3, 3], 2),  # few tokens are shared, too
        (2, [3, 500, 4], 2),
        (3, [100] * 6, 3),  # two pairs each
        (4, [64] * 16, 4),
        (2, [90], 1),
        (1, [64] * 4, 1),
    ],
)
def test_sessions_of_onnx_share_a_batch(both, sessions, lengths, parts):
    engine = OnnxEngine([Session(threading.Barrier(parts))] * sessions, read_checkpoint(both))
    assert engine.score(pairs_of(*lengths))[:, 0].tolist() == list(range(len(lengths)))


def test_one_lane_keeps_a_batch_on_one_session(both):
    engine = OnnxEngine([Session(threading.Barrier(1)), Session(None)], read_checkpoint(both))  # None fails if used
    assert engine.one_lane().score(pairs_of(3, 500, 4))[:, 0].tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError):
        engine.score(pairs_of(3, 500, 4))


def test_the_server_keeps_its_batches_on_one_session_each(both, monkeypatch):
    encoder = CrossEncoder(both, engine="onnx", threads=2)
    divided = encoder.score(PAIRS)
    served = ServedModel("m", encoder, "sigmoid")
    monkeypatch.setattr("plackett.engines.onnx.ThreadPoolExecutor", None)  # a batch cannot be divided without it
    request = RerankRequest.of(PAIRS[0][0], [document for query, document in PAIRS if query == PAIRS[0][0]])
    rows = served.encode(request, request.pairs, range(len(request.pairs)))
    assert len(rows) > 1
    np.testing.assert_allclose(served.score(rows), divided[: len(rows), 0], atol=1e-5)
    with pytest.raises(CheckpointError):
        encoder.score(PAIRS)


def test_the_server_warms_up_every_session(both):
    used = [0, 0]

    class Counted(Session):
        def __init__(self, number):
            super().__init__(threading.Barrier(1))
            self._number = number

        def run(self, *arguments):
            used[self._number] += 1
            return super().run(*arguments)

    checkpoint = read_checkpoint(both)
    engine = OnnxEngine([Counted(0), Counted(1)], checkpoint)
    ServedModel("m", CrossEncoder.from_parts(Parts.of(checkpoint, engine)), "sigmoid").warm_up()
    assert used == [1, 1]


def test_no_pairs_are_nothing_to_score(both):
    assert OnnxEngine([Session(None)] * 2, read_checkpoint(both)).score(pairs_of()).shape == (0, 1)


def test_what_goes_wrong_in_a_session_of_onnx_is_raised(both):
    barrier = threading.Barrier(2)
    barrier.abort()
    engine = OnnxEngine([Session(barrier)] * 2, read_checkpoint(both))
    for _ in range(3):  # and no session is lost by it
        with pytest.raises(CheckpointError) as caught:
            engine.score(pairs_of(3, 3))
        assert isinstance(caught.value.__cause__, threading.BrokenBarrierError)


@pytest.mark.process
def test_onnx_scores_in_a_process_that_was_forked(both):
    script = f"""
import os
from plackett import CrossEncoder
model = CrossEncoder({str(both)!r}, engine="onnx", threads=2)
pairs = {PAIRS!r}
encoded = model.encode(pairs)
before = model.score_encoded(encoded).tolist()
child = os.fork()
if not child:
    os._exit(model.score_encoded(encoded).tolist() != before)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_a_fingerprint_tells_exports_apart(mine, tmp_path):
    (mine / "model.safetensors").unlink()
    before = CrossEncoder(mine, engine="onnx").fingerprint()
    with (mine / "onnx" / "model.onnx").open("ab") as stream:
        stream.write(b"\x12\x00")  # an empty producer name: the same model in other bytes
    assert CrossEncoder(mine, engine="openvino").fingerprint() != before


AFTER_TWO_ENGINES = """
import faulthandler, gc, os, signal, sys
from plackett import CrossEncoder

faulthandler.enable()  # has a stack for signal handlers, as OpenVINO does
first, second = (CrossEncoder(sys.argv[1], engine="openvino") for _ in range(2))
first.predict([("a", "b")]), second.predict([("a", "b")])
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")
def test_signals_are_handled_after_engines_of_openvino_are_gone(both):
    command = [sys.executable, "-c", AFTER_TWO_ENGINES, str(both)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


def foreign_graph(path):
    """A graph whose logit is the mean over all columns, padded ones too; what another exporter made."""
    import onnx
    from onnx import TensorProto, helper

    inputs = ["input_ids", "attention_mask"]
    rows = [helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "tokens"]) for name in inputs]
    both = [
        helper.make_node("Add", inputs, ["sum"]),
        helper.make_node("Cast", ["sum"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["logits"], axes=[1], keepdims=1),
    ]
    given = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pairs", 1])
    graph = helper.make_graph(both, "foreign", rows, [given])
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.mark.parametrize("engine", ENGINES)
def test_where_padding_changes_scores_a_pair_scores_alone_as_in_a_batch(bert, tmp_path, engine):
    folder = shutil.copytree(bert, tmp_path / "m")
    foreign_graph(folder / "onnx" / "model.onnx")
    if engine == "openvino":
        import openvino

        openvino.save_model(openvino.convert_model(folder / "onnx" / "model.onnx"), folder / "openvino_model.xml")
        (folder / "openvino").mkdir()
        for suffix in ("xml", "bin"):
            (folder / f"openvino_model.{suffix}").rename(folder / "openvino" / f"openvino_model.{suffix}")
    checkpoint = read_checkpoint(folder)
    padded = replace(checkpoint, inputs=replace(checkpoint.inputs, padding="none", token_types=False))
    rows = token_rows(CrossEncoder(folder).encode(PAIRS))
    expected = [[rows.token_ids[start:end].mean() + 1] for start, end in itertools.pairwise(rows.cu_seqlens)]
    assert len(set(rows.lengths)) > 2
    np.testing.assert_allclose(load_engine(engine, padded).score(rows), expected, rtol=1e-5)
