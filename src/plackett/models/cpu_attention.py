"""Attention for training on a CPU, with less memory and fewer conversions.

On CPUs, torch's fused attention takes twice as long in the backward pass, and transformers' eager attention converts
every score matrix to fp32 and back under autocast. All three compute the same.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from plackett._compat.torch import softmax_backward

NAME = "plackett_cpu"
"""Name of this attention, as a value of `attn_implementation`."""


class _Attention(torch.autograd.Function):
    """softmax(scaling q k^T + bias) v, each (batch, tokens, size); bias (batch, tokens, tokens) is 0 or -inf."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scaling: float, dropout: float
    ) -> Tensor:
        """Compute the softmax in fp32, whatever the input type; keep only the weights and the input."""
        weights = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scaling).softmax(dim=-1)
        kept = torch.empty_like(weights).bernoulli_(1 - dropout).div_(1 - dropout) if dropout else None
        ctx.save_for_backward(query, key, value, weights, kept)
        ctx.scaling = scaling
        return (weights if kept is None else weights * kept).bmm(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients."""
        query, key, value, weights, kept = ctx.saved_tensors
        (gradient,) = gradients
        of_value = (weights if kept is None else weights * kept).transpose(1, 2).bmm(gradient)
        of_weights = gradient.bmm(value.transpose(1, 2))
        if kept is not None:
            of_weights *= kept
        of_scores = softmax_backward(of_weights, weights)
        of_query = of_scores.bmm(key).mul_(ctx.scaling)
        of_key = of_scores.transpose(1, 2).bmm(query).mul_(ctx.scaling)
        return of_query, of_key, of_value, None, None, None


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: (pairs, heads, tokens, size) -> (pairs, tokens, heads, size)."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    heads = query.shape[1]
    with torch.autocast("cpu", enabled=False):  # it would convert the scores to fp32
        if attention_mask is None:
            bias = query.new_zeros(1, 1, 1)
        else:
            bias = query.new_zeros(attention_mask.shape).masked_fill_(~attention_mask, -torch.inf)
            bias = bias.expand(-1, heads, -1, -1).flatten(0, 1)
        parts = (part.flatten(0, 1) for part in (query, key, value))
        attended: Tensor = _Attention.apply(*parts, bias, scaling, dropout)  # type: ignore[no-untyped-call]
    return attended.view(-1, heads, *attended.shape[1:]).transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
