"""Highest rate of matrix products of a model's shapes on this machine: oneDNN with packed weights, in torch."""

import statistics
import time
from collections.abc import Callable

import torch

ROWS = 2048


def shapes(hidden: int, inner: int) -> list[tuple[int, int]]:
    """(inputs, outputs) of the products of a layer: query, key and value; output of attention; up; down."""
    return [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)]


def ceiling(hidden: int, inner: int, rounds: int = 7) -> dict[str, float]:
    """Return GFLOP/s in each supported precision, over all products of a layer."""
    found = {}
    for precision, product in {
        "fp32": _product(torch.float32),
        "bf16": _product(torch.bfloat16),
        "int8": _int8,
    }.items():
        try:
            calls = [product(*shape) for shape in shapes(hidden, inner)]
        except (AttributeError, RuntimeError):
            continue
        with torch.inference_mode():
            seconds = sum(_seconds(call, rounds) for call in calls)
        found[precision] = sum(2 * ROWS * i * o for i, o in shapes(hidden, inner)) / seconds / 1e9
    return found


def _seconds(call: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def _product(dtype: torch.dtype) -> Callable[[int, int], Callable[[], object]]:
    def make(inputs: int, outputs: int) -> Callable[[], object]:
        rows, bias = torch.randn(ROWS, inputs).to(dtype), torch.randn(outputs).to(dtype)
        weight = torch.ops.mkldnn._reorder_linear_weight(torch.randn(outputs, inputs).to(dtype), ROWS)
        return lambda: torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")

    return make


def _int8(inputs: int, outputs: int) -> Callable[[], object]:
    weight = torch.randint(-127, 127, (outputs, inputs), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, [ROWS, inputs])
    rows = torch.randint(0, 255, (ROWS, inputs), dtype=torch.uint8)
    scales, zeros, bias = torch.full((outputs,), 0.01), torch.zeros(outputs, dtype=torch.int32), torch.randn(outputs)
    run = torch.ops.onednn.qlinear_pointwise
    return lambda: run(rows, 0.01, 128, packed, scales, zeros, bias, 1.0, 0, torch.float32, "none", [], "")
