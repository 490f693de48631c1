"""The torch engine's bf16, threads and devices."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from plackett import CrossEncoder, SettingError
from plackett import _hardware as processor
from plackett.checkpoints.folder import read_checkpoint
from plackett.data import write_lists
from plackett.engines.base import EngineSettings
from plackett.engines.loading import load_engine
from plackett.engines.torch import attention
from plackett.engines.torch import engine as torch_engine
from plackett.engines.torch.attention import ForFirstTokens, Pairs, between_tokens
from plackett.engines.torch.engine import TorchEngine, padded_forward
from plackett.engines.torch.weights import Affine
from plackett.models.classifier import load_model
from plackett.records import LabeledList
from plackett.tokenization.tokenizer import PairTokenizer
from tiny import FAMILIES, PAIRS

HEADS, LENGTHS = 4, [3, 3, 5, 11]


@pytest.fixture
def bf16_here(monkeypatch):
    """bf16 is asked for on any processor: torch computes it everywhere, slowly without the instructions."""
    monkeypatch.setattr(torch_engine, "instructions", lambda: frozenset(["avx512_bf16"]))


def packed_pairs(filling=2):
    cu_seqlens = np.concatenate([[0], np.cumsum(LENGTHS)])
    rows = torch.from_numpy(np.pad(cu_seqlens[:-1], (0, filling)))
    return Pairs(rows, [(2, 3), (1, 5), (1, 11)], torch.from_numpy(cu_seqlens.astype(np.int32)))


def naive_attention(query, key, value):
    """softmax(q kᵀ / √d) v, head by head, of one pair: (tokens, hidden)."""
    heads = zip(*(part.chunk(HEADS, dim=1) for part in (query, key, value)), strict=True)
    return torch.cat([((q @ k.T) / q.shape[1] ** 0.5).softmax(1) @ v for q, k, v in heads], 1)


def test_attention_stays_within_pairs():
    rows = torch.randn(sum(LENGTHS) + 2, 3 * 32, generator=torch.Generator().manual_seed(0))
    attended = between_tokens(rows, packed_pairs(), HEADS)
    expected = torch.cat([naive_attention(*pair.chunk(3, dim=1)) for pair in rows.split([*LENGTHS, 2])[:-1]])
    assert attended.shape == (len(rows), 32)
    torch.testing.assert_close(attended[:-2], expected, atol=1e-5, rtol=1e-5)


def test_first_tokens_need_no_keys_and_values():
    generator = torch.Generator().manual_seed(0)
    hidden, query, *weights = (
        torch.randn(size, generator=generator) for size in ((sum(LENGTHS) + 2, 32), (6, 32), (32, 32), 32, (32, 32), 32)
    )
    key, value = Affine(*weights[:2]), Affine(*weights[2:])
    found = ForFirstTokens(key, value, HEADS)(query, hidden, packed_pairs())
    expected = [
        naive_attention(query[[pair]], rows @ key.weight.T + key.bias, rows @ value.weight.T + value.bias)
        for pair, rows in enumerate(hidden.split([*LENGTHS, 2])[:-1])
    ]
    assert found.shape == (6, 32)
    torch.testing.assert_close(found[:4], torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_variable_length_attention_is_called_as_it_is_documented(monkeypatch):
    """The kernel runs on CUDA only; here its contract stands in for it: (tokens, heads, width), int32 starts."""

    def contract(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k):
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert max_q == max_k == max(LENGTHS)
        assert query.shape[1:] == key.shape[1:] == value.shape[1:] == (HEADS, 8)
        out = torch.full_like(query, torch.nan)  # rows behind the last pair are nobody's
        for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
            out[start:end] = naive_attention(*(part[start:end].flatten(1) for part in (query, key, value))).view(
                end - start, HEADS, 8
            )
        return out

    rows = torch.randn(sum(LENGTHS) + 2, 3 * 32, generator=torch.Generator().manual_seed(0))
    expected = between_tokens(rows, packed_pairs(), HEADS)
    monkeypatch.setattr(attention, "varlen_attn", contract)
    monkeypatch.setattr(attention, "_has_varlen", lambda parts: True)
    torch.testing.assert_close(between_tokens(rows, packed_pairs(), HEADS)[:-2], expected[:-2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_is_near_fp32(tiny, family, bf16_here):
    """bf16 keeps 8 bits: products are off by 2**-9 of their size, and so, summed at random, are logits."""
    checkpoint = read_checkpoint(tiny(family))
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    exact = load_engine("torch", checkpoint, EngineSettings("cpu")).score(encoded)
    near = load_engine("torch", checkpoint, EngineSettings("cpu", precision="bf16")).score(encoded)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.1 * max(1, exact.std())
    assert (near != torch.from_numpy(near).bfloat16().float().numpy()).all()  # rounded logits would make ties


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_fp32_and_none_are_exact(tiny, family):
    checkpoint = read_checkpoint(tiny(family))
    encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
    with torch.inference_mode():
        expected = padded_forward(load_model(checkpoint), checkpoint)(encoded).numpy()
    for settings in (EngineSettings("cpu"), EngineSettings("cpu", precision="fp32")):
        for name in ("auto", "torch"):
            np.testing.assert_allclose(load_engine(name, checkpoint, settings).score(encoded), expected, atol=1e-4)


def test_bf16_leaves_the_model_as_it_is(tiny):
    for family in ("bert", "modernbert"):
        checkpoint = read_checkpoint(tiny(family))
        model = load_model(checkpoint)
        TorchEngine(model, checkpoint, dtype=torch.bfloat16)
        assert {weights.dtype for weights in model.parameters()} == {torch.float32}


def test_a_processor_without_bf16(bert, monkeypatch):
    monkeypatch.setattr(torch_engine, "instructions", lambda: frozenset(["avx2", "avx512f"]))
    with pytest.raises(SettingError, match=r"no bf16 instructions .* leave precision out, or export to int8"):
        CrossEncoder(bert, device="cpu", precision="bf16")


def test_int8_is_for_exports(bert):
    with pytest.raises(SettingError, match=r"plackett export CHECKPOINT .*int8"):
        CrossEncoder(bert, engine="torch", precision="int8")


def test_what_is_advised_for_int8_works(run, bert, tmp_path, monkeypatch):
    with pytest.raises(SettingError) as caught:
        CrossEncoder(bert, engine="torch", precision="int8")
    [command] = re.findall(r"plackett (export .* --output FOLDER)", str(caught.value))
    lists = [LabeledList("sort words", ("the words", "a list", "sorted words"), (0.0, 0.0, 1.0))]
    write_lists(tmp_path / "lists.jsonl", lists)
    places = {"CHECKPOINT": bert, "LISTS": tmp_path / "lists.jsonl", "FOLDER": tmp_path / "int8"}
    monkeypatch.setattr("plackett.workflows.export.MOST_LOST", 2)  # random weights may rank anything
    code, _, errors = run(*(places.get(word, word) for word in command.split()))
    assert code == 0, errors
    assert CrossEncoder(tmp_path / "int8", precision="int8").predict(PAIRS).shape == (len(PAIRS),)


@pytest.mark.process
def test_threads_are_those_of_the_process(bert):
    """In processes of their own: torch has one number of threads for all of its models."""
    code = """
import sys, torch
from plackett import CrossEncoder
torch.set_num_threads(5)
CrossEncoder(sys.argv[1], device="cpu", threads=3)
print(torch.get_num_threads())
torch.set_num_threads(1)
CrossEncoder(sys.argv[1], device="cpu")
print(torch.get_num_threads())
torch.set_num_threads(1000)
CrossEncoder(sys.argv[1], device="cpu")
print(torch.get_num_threads() < 1000)
"""
    done = subprocess.run([sys.executable, "-c", code, str(bert)], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["3", "1", "True"], done.stderr


@pytest.mark.parametrize(
    ("text", "name", "has"),
    [
        ("processor : 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_bf16\n\nprocessor : 1\n", "Some CPU", True),
        ("processor : 0\nFeatures : fp asimd bf16\n", None, False),
        ("", None, False),
    ],
)
def test_what_linux_says_of_the_processor(tmp_path, monkeypatch, text, name, has):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    assert processor.name.__wrapped__() == name or name is None
    assert processor.name.__wrapped__()
    assert ("avx512_bf16" in processor.instructions.__wrapped__()) == has
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "nothing")
    assert processor.instructions.__wrapped__() == frozenset()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.1)])
def test_cuda_gives_the_scores_of_the_processor(tiny, precision, tolerance):
    for family in FAMILIES:
        checkpoint = read_checkpoint(tiny(family))
        encoded = PairTokenizer.from_checkpoint(checkpoint).encode(PAIRS)
        expected = load_engine("torch", checkpoint, EngineSettings("cpu")).score(encoded)
        scores = load_engine("torch", checkpoint, EngineSettings("cuda", precision=precision)).score(encoded)
        np.testing.assert_allclose(scores, expected, atol=tolerance * max(1, expected.std()))
