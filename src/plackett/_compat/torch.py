"""Private functions of torch that Plackett calls.

torch promises nothing about their names or arguments. `tests/_compat/test_torch.py` fails when they change.
"""

import torch
from torch import Tensor

TRIED = ("2.13.0",)
"""Releases that these functions were tested with."""

OPERATOR_ERRORS = (AttributeError, NotImplementedError, RuntimeError, TypeError)
"""Errors raised if torch lacks oneDNN's operators, or if their arguments have changed."""


def softmax_backward(gradient: Tensor, probabilities: Tensor) -> Tensor:
    """Gradient of the logits of a softmax over the last dimension, in the precision of `probabilities`."""
    return torch._softmax_backward_data(gradient, probabilities, -1, probabilities.dtype)


def reordered_weight(weight: Tensor, rows: int) -> Tensor:
    """Copy of a linear weight (outputs, inputs) in oneDNN's layout for about `rows` rows."""
    reordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return reordered


def linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`rows @ weight.T + bias` for a reordered weight."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


def linear_gelu(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`linear` followed by the exact GELU; "none" refers to the tanh approximation."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "gelu", [], "none")
    return product


def linear_add(rows: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`linear` plus a residual of the same dtype."""
    total: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, residual, weight, bias, "add")
    return total


def has_fast_bf16() -> bool:
    """Whether this processor has native bf16 arithmetic (AVX-512 BF16)."""
    return torch.cpu._is_avx512_bf16_supported()
