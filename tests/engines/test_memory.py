"""The memory that a checkpoint needs, and that is there."""

import logging

import pytest
import safetensors.torch
import torch

from layouts import causal
from plackett import CrossEncoder
from plackett._hardware import usable_memory
from plackett.checkpoints.exports import ENGINES
from plackett.engines import memory
from plackett.engines.memory import check_memory, needs
from plackett.errors import TooLargeError

V1 = "4:memory:/box\n2:cpuacct:/\n"
V2 = "0::/pod/box\n"
MEMINFO = "MemTotal: 900 kB\nMemFree: 100 kB\nMemAvailable:     500 kB\n"
STATISTICS = "anon 5\nactive_file 1000\ninactive_file 2000\n"


@pytest.fixture
def tree(tmp_path):
    def make(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": MEMINFO}, 512_000),
        ({"proc/meminfo": MEMINFO, "proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/memory.max": "max\n"}, 512_000),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/pod/memory.max": "400000\n",  # of the group around it
                "sys/fs/cgroup/pod/memory.current": "103000\n",
                "sys/fs/cgroup/pod/memory.stat": STATISTICS,  # 3,000 of those are pages of files
            },
            300_000,
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "200000\n",
                "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "150000\n",
                "sys/fs/cgroup/memory/box/memory.stat": "active_file 7\ntotal_active_file 50000\n",
            },
            100_000,
        ),
        (
            {
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/pod/box/memory.max": "1000\n",
                "sys/fs/cgroup/pod/box/memory.current": "2000\n",
            },
            0,
        ),
    ],
)
def test_available_memory_is_within_control_groups(tree, files, expected):
    assert usable_memory(tree(files)) == expected


def test_what_is_needed_is_what_torch_holds(bert, checkpoint):
    from plackett.models.classifier import load_model

    held = sum(weights.nbytes for weights in load_model(checkpoint).parameters())
    found = {(need.engine, need.precision): need.bytes for need in needs(bert)}
    assert found == {("torch", "fp32"): held, ("torch", "bf16"): held // 2}


def test_weights_count_in_the_precision_that_they_are_loaded_in(tmp_path):
    """A causal model's output matrix is not loaded, and 16 bits become 32."""
    weights = {"model.norm.weight": torch.ones(10).bfloat16(), "lm_head.weight": torch.ones(99, 10).bfloat16()}
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    assert [need.bytes for need in needs(tmp_path)] == [40, 20]


def test_a_graph_counts_with_the_weights_beside_it(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"12")
    (tmp_path / "onnx" / "model.onnx_data").write_bytes(b"345")
    assert [(need.engine, need.precision, need.bytes) for need in needs(tmp_path)] == [("onnx", "fp32", 5)]


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(bert, monkeypatch):
    fp32 = needs(bert)[0].bytes
    monkeypatch.setattr(memory, "usable_memory", lambda: fp32)
    CrossEncoder(bert, device="cpu")

    monkeypatch.setattr(memory, "usable_memory", lambda: fp32 - 1)
    monkeypatch.setattr("plackett.engines.torch.engine.load_model", pytest.fail)
    with pytest.raises(TooLargeError) as caught:
        CrossEncoder(bert, device="cpu")
    assert (caught.value.needed, caught.value.available) == (fp32, fp32 - 1)


@pytest.mark.parametrize(
    ("instructions", "available", "advised"),
    [(["avx512_bf16"], 0.6, True), (["avx2"], 0.6, False), (["avx512_bf16"], 0.4, False)],
)
def test_bf16_is_advised_where_it_works_and_fits(bert, monkeypatch, instructions, available, advised):
    fp32 = needs(bert)[0]
    monkeypatch.setattr(memory, "usable_memory", lambda: int(available * fp32.bytes))
    monkeypatch.setattr(memory, "instructions", lambda: frozenset(instructions))
    with pytest.raises(TooLargeError) as caught:
        check_memory(bert, ENGINES["torch"], None)
    assert ("precision='bf16'" in str(caught.value)) == advised


def test_nothing_is_refused_where_the_system_does_not_report_its_memory(bert, monkeypatch):
    monkeypatch.setattr(memory, "usable_memory", lambda: None)
    check_memory(bert, ENGINES["torch"], None)


@pytest.mark.parametrize(
    ("settings", "window"),
    [
        ({"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 0}, 16),
        ({"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1}, None),  # the first sees everything
        ({"sliding_window": 16}, None),  # Qwen's default: not used
        ({"sliding_window": 1000, "use_sliding_window": True, "max_window_layers": 0}, 1000),
    ],
)
def test_a_window_shorter_than_a_pair(tmp_path, caplog, settings, window):
    from plackett.checkpoints.folder import find_folder, read_checkpoint

    folder = find_folder(
        causal(tmp_path / "Qwen3-Reranker-tiny", template=None, **settings), revision=None, local_files_only=True
    )
    assert read_checkpoint(folder).inputs.window == window
    with caplog.at_level(logging.WARNING, "plackett"):
        limit = CrossEncoder(folder, device="cpu").checkpoint.max_length
    assert len(caplog.records) == (window is not None and window < limit)
