"""Attention over packed rows: the tokens of a pair attend only to their own pair.

`between_tokens` computes all tokens of a layer, `ForFirstTokens` only the first of each pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plackett.engines.torch.weights import Affine
from plackett.tokenization.batches import EncodedPairs

varlen_attn: Any
try:  # since torch 2.10
    from torch.nn.attention import varlen
except ImportError:
    varlen_attn = None
else:
    varlen_attn = varlen.varlen_attn


_STEP = 32
"""Rows are padded to a multiple of this: oneDNN compiles and caches code for each number of rows, which grew to a
gigabyte over 2,000 batches of random sizes."""


@dataclass(frozen=True)
class Pairs:
    """The positions of pairs in a packed batch, shortest first, followed by padding rows.

    `first` is the row of each pair's first token, padded too. `groups` are (pairs, tokens per pair) by length.
    `cu_seqlens`, int32 (pairs + 1,), is the start of each pair, and the end.
    """

    first: Tensor
    groups: list[tuple[int, int]]
    cu_seqlens: Tensor

    @classmethod
    def of(cls, batch: EncodedPairs, device: torch.device) -> "Pairs":
        """Return the positions for a batch sorted by length."""
        lengths, counts = np.unique(batch.lengths, return_counts=True)
        return cls(
            first=filled(batch.cu_seqlens[:-1], device),
            groups=list(zip(counts.tolist(), lengths.tolist(), strict=True)),
            cu_seqlens=torch.from_numpy(batch.cu_seqlens.astype(np.int32)).to(device),
        )


def filled(values: NDArray[np.int64], device: torch.device) -> Tensor:
    """Return the values of a packed batch's rows, padded with zeros."""
    return torch.from_numpy(np.pad(values, (0, -len(values) % _STEP))).to(device)


def between_tokens(query_key_value: Tensor, pairs: Pairs, heads: int) -> Tensor:
    """Every token attends to all tokens of its pair: (tokens, 3 * hidden) -> (tokens, hidden)."""
    parts = query_key_value.view(len(query_key_value), 3, heads, -1)
    if _has_varlen(parts):
        longest = pairs.groups[-1][1]
        attended: Tensor = varlen_attn(*parts.unbind(1), pairs.cu_seqlens, pairs.cu_seqlens, longest, longest)
        return attended.flatten(1)
    return _by_length(parts, pairs)


def _has_varlen(parts: Tensor) -> bool:
    """Whether torch's kernel for packed rows supports the input, which must be in half precision on CUDA."""
    return varlen_attn is not None and parts.is_cuda and parts.dtype == torch.bfloat16


def _by_length(parts: Tensor, pairs: Pairs) -> Tensor:
    return grouped(parts.unbind(1), pairs, F.scaled_dot_product_attention).flatten(1)


def grouped(parts: Sequence[Tensor], pairs: Pairs, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """Attend within pairs, all of equal length at once: three of (tokens, heads, width) -> (tokens, heads, width).

    `attend` takes queries, keys and values, each (pairs, heads, tokens per pair, width), in fp32: torch's bf16 kernel
    is slower (measured) and less exact.
    """
    sizes = [count * length for count, length in pairs.groups]
    *groups, filling = zip(*(_split(part, sizes) for part in parts), strict=True)
    attended = []
    for (count, length), rows in zip(pairs.groups, groups, strict=True):
        by_head = (part.float().view(count, length, *part.shape[1:]).transpose(1, 2) for part in rows)
        attended.append(attend(*by_head).transpose(1, 2).flatten(0, 1))
    return torch.cat([*attended, filling[0].float()])


class ForFirstTokens:
    """The first token of each pair attends to all of its tokens, without computing keys and values.

    With x the tokens and q the query of a head, q · (K x + b) = (Kᵀ q) · x + q · b, whose last term is the same for all
    tokens and drops out of the softmax; and Σ p (V x + c) = V (Σ p x) + c. So two products per pair replace two per
    token. It runs in fp32, because it costs next to nothing.
    """

    def __init__(self, key: Affine, value: Affine, heads: int) -> None:
        self._key = key.weight.view(heads, -1, key.weight.shape[1])
        self._value = value.weight.view(heads, -1, value.weight.shape[1]).transpose(1, 2)
        self._bias = value.bias.view(heads, 1, -1)

    def __call__(self, query: Tensor, hidden: Tensor, pairs: Pairs) -> Tensor:
        """Queries of the first tokens (pairs, hidden) and (tokens, hidden) -> (pairs, hidden)."""
        queries = query.float().view(len(query), len(self._key), -1)
        sought = torch.bmm(queries.transpose(0, 1), self._key).transpose(0, 1)  # (pairs, heads, hidden)
        *of_groups, filling = _split(sought, [count for count, _ in pairs.groups])
        *groups, _ = _split(hidden, [count * length for count, length in pairs.groups])
        found = []
        for (count, length), rows, seekers in zip(pairs.groups, groups, of_groups, strict=True):
            tokens = rows.view(count, 1, length, -1)
            scale = queries.shape[-1] ** -0.5
            found.append(F.scaled_dot_product_attention(seekers[:, None], tokens, tokens, scale=scale)[:, 0])
        gathered = torch.cat([*found, filling]).transpose(0, 1)  # (heads, pairs, hidden)
        return torch.baddbmm(self._bias, gathered, self._value).transpose(0, 1).flatten(1)


def _split(rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    """Split rows into those of each group, and the padding after them."""
    parts: tuple[Tensor, ...] = torch.split(rows, [*sizes, len(rows) - sum(sizes)])
    return parts
