"""Linear layers for inference: oneDNN with weights in its own layout if that is faster, else torch's.

torch's fp32 linear layer uses MKL, which reaches less than half of oneDNN's speed on some AMD processors. The layout is
chosen once, when the layer is built; the exact GELU and the fp32 residual are fused into the product.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from plackett._compat import torch as compat

_ROWS = 2048
"""Number of rows for which the layout is optimised: the tokens of a batch. Any other number works too."""


class Linear:
    """`rows @ weight.T + bias`, followed by the exact GELU if `gelu` is set, or plus the call's `residual`.

    `dtype` is the type of the product: rows of another type are converted, and a residual keeps its type.
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
    """Whether torch has the operators, they work as expected, and they are faster on this processor.

    They are private to torch's compiler and may change, so they are tried first.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":  # with AVX2 both are equally fast (measured)
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
