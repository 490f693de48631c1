"""Linear layers for inference: oneDNN over weights in oneDNN's layout where that is faster, else torch's own.

torch's fp32 linear runs through MKL, which reaches less than half of oneDNN's speed on some AMD processors. The layout
is chosen once, when the layer is built; the exact GELU and the fp32 residual are part of the same product.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from plackett._compat import torch as compat

_ROWS = 2048
"""Rows for which the layout is chosen: the tokens of a batch. Any other number works."""


class Linear:
    """`rows @ weight.T + bias`, then the exact GELU where `gelu` says so, or plus the `residual` of the call.

    `dtype` is what the product is computed in: rows of another are converted, and a residual keeps its own.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, dtype: torch.dtype, gelu: bool = False) -> None:
        self._weight, self._bias, self._gelu = weight.to(dtype), bias.to(dtype), gelu
        self._reordered = weight.device.type == "cpu" and _onednn_works(dtype)
        if self._reordered:
            with torch.no_grad():
                self._weight = compat.reordered_weight(self._weight.contiguous(), _ROWS)

    def __call__(self, rows: Tensor, residual: Tensor | None = None) -> Tensor:
        """(rows, inputs) -> (rows, outputs)."""
        rows = rows.to(self._bias.dtype)
        return (_onednn if self._reordered else _plain)(rows, self._weight, self._bias, self._gelu, residual)


def _plain(rows: Tensor, weight: Tensor, bias: Tensor, gelu: bool, residual: Tensor | None) -> Tensor:
    out = F.linear(rows, weight, bias)
    if residual is not None:
        return residual + out
    return F.gelu(out) if gelu else out


def _onednn(rows: Tensor, weight: Tensor, bias: Tensor, gelu: bool, residual: Tensor | None) -> Tensor:
    if residual is not None and residual.dtype == rows.dtype:
        return compat.linear_add(rows, residual, weight, bias)
    out = compat.linear_gelu(rows, weight, bias) if gelu else compat.linear(rows, weight, bias)
    return out if residual is None else residual + out


@functools.cache
def _onednn_works(dtype: torch.dtype) -> bool:
    """Whether torch has the operators, on a processor where they are the faster ones, and they give what is meant.

    They are torch's own, for its compiler: no promise keeps their names, so they are tried before they are believed.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":  # over AVX2 the two are equally fast (measured)
        return False
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 0.1}.get(dtype)
    if tolerance is None:
        return False
    generator = torch.Generator().manual_seed(0)
    sizes = ((3, 16), (32, 16), 32, (3, 32))
    rows, weight, bias, residual = (torch.randn(size, generator=generator) for size in sizes)
    rows, weight, bias = rows.to(dtype), weight.to(dtype), bias.to(dtype)
    try:
        with torch.inference_mode():
            reordered = compat.reordered_weight(weight, _ROWS)
            return all(
                torch.allclose(_onednn(rows, reordered, bias, *rest), _plain(rows, weight, bias, *rest), atol=tolerance)
                for rest in ((False, None), (True, None), (False, residual))
            )
    except compat.OPERATOR_ERRORS:
        return False
