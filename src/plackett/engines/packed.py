"""The forward pass of the BERT family without padding.

The tokens of a batch stand one after the other in one matrix, (tokens, hidden), shortest pair first. Only attention
looks at pairs: those of equal length go through it together. The last layer is computed for the first token of each
pair, which is all that the head reads.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plackett.batching import EncodedPairs
from plackett.engines.families import Affine, EncoderWeights, LayerWeights
from plackett.engines.linear import Linear

_STEP = 32
"""Rows are filled up to a multiple of this by rows that nobody reads: oneDNN compiles and keeps code for each number of
rows that it meets, which grew to a gigabyte over 2,000 batches of random sizes."""


@dataclass(frozen=True)
class _Pairs:
    """Where the pairs of a batch are: row of the first token of each, and (pairs, tokens of each) by length."""

    first: Tensor
    groups: list[tuple[int, int]]


class PackedEncoder:
    """Runs the given weights, in parts copied: they must not change while it is used."""

    def __init__(self, weights: EncoderWeights, *, token_types: bool) -> None:
        self._weights = weights
        self._token_types = token_types
        self._project = Linear(*weights.project) if weights.project else None
        self._layers = [_Layer(layer, weights.heads, weights.epsilon) for layer in weights.layers]

    def __call__(self, batch: EncodedPairs) -> Tensor:
        """Logits of the pairs in their order, (pairs, labels)."""
        order = np.argsort(batch.lengths, kind="stable")
        batch = batch.select(order)
        lengths, counts = np.unique(batch.lengths, return_counts=True)
        pairs = _Pairs(self._rows(batch.cu_seqlens[:-1]), list(zip(counts.tolist(), lengths.tolist(), strict=True)))
        hidden = self._embed(batch)
        for layer in self._layers[:-1]:
            hidden = layer(hidden, pairs)
        logits = self._head(self._layers[-1](hidden, pairs, first_only=True))
        return logits[np.argsort(order)]

    def _embed(self, batch: EncodedPairs) -> Tensor:
        weights = self._weights
        embedded = F.embedding(self._rows(batch.token_ids), weights.words)
        embedded += F.embedding(self._rows(_positions(batch, weights.padding_idx)), weights.positions)
        if weights.types is not None:
            type_ids = batch.type_ids if self._token_types else np.zeros_like(batch.type_ids)
            embedded += F.embedding(self._rows(type_ids), weights.types)
        embedded = _norm(embedded, weights.embeddings_norm, weights.epsilon)
        return self._project(embedded) if self._project else embedded

    def _head(self, first: Tensor) -> Tensor:
        return F.linear(self._weights.activation(F.linear(first, *self._weights.dense)), *self._weights.output)

    def _rows(self, values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.pad(values, (0, -len(values) % _STEP))).to(self._weights.words.device)


class _Layer:
    """Self-attention and feed-forward, each added to its input and normed."""

    def __init__(self, weights: LayerWeights, heads: int, epsilon: float) -> None:
        self._heads, self._epsilon = heads, epsilon
        self._query = Linear(*weights.query)
        self._key_value = Linear(*map(torch.cat, zip(weights.key, weights.value, strict=True)))
        self._attention, self._attention_norm = Linear(*weights.attention), weights.attention_norm
        self._up, self._down = Linear(*weights.up, gelu=True), Linear(*weights.down)
        self._output_norm = weights.output_norm

    def __call__(self, hidden: Tensor, pairs: _Pairs, *, first_only: bool = False) -> Tensor:
        """(tokens, hidden) -> (tokens, hidden), or (pairs, hidden) for the first tokens only."""
        rows = hidden[pairs.first] if first_only else hidden
        attended = self._attend(self._query(rows), self._key_value(hidden), pairs, first_only)
        rows = _norm(self._attention(attended, residual=rows), self._attention_norm, self._epsilon)
        return _norm(self._down(self._up(rows), residual=rows), self._output_norm, self._epsilon)

    def _attend(self, query: Tensor, key_value: Tensor, pairs: _Pairs, first_only: bool) -> Tensor:
        """Every query row attends to the tokens of its own pair."""
        of_heads = (self._heads, query.shape[1] // self._heads)
        *queries, filling = _split(query, [count if first_only else count * length for count, length in pairs.groups])
        *keys_values, _ = _split(key_value, [count * length for count, length in pairs.groups])
        attended = []
        for (count, length), q, kv in zip(pairs.groups, queries, keys_values, strict=True):
            key, value = kv.view(count, length, 2, *of_heads).permute(2, 0, 3, 1, 4)
            out = F.scaled_dot_product_attention(q.view(count, -1, *of_heads).transpose(1, 2), key, value)
            attended.append(out.transpose(1, 2).reshape(q.shape))
        return torch.cat([*attended, filling])


def _split(rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    """The rows of each group, and those that fill up behind them."""
    parts: tuple[Tensor, ...] = torch.split(rows, [*sizes, len(rows) - sum(sizes)])
    return parts


def _norm(rows: Tensor, affine: Affine, epsilon: float) -> Tensor:
    return F.layer_norm(rows, affine.weight.shape, *affine, eps=epsilon)


def _positions(batch: EncodedPairs, padding_idx: int | None) -> NDArray[np.int64]:
    """The position of each token in its pair.

    RoBERTa's count from behind the padding id and skip that token, which a text may spell.
    """
    counted = np.ones(len(batch.token_ids), np.int64)
    if padding_idx is not None:
        counted = (batch.token_ids != padding_idx).astype(np.int64)
    before = np.concatenate([[0], np.cumsum(counted)])
    within = before[1:] - np.repeat(before[batch.cu_seqlens[:-1]], batch.lengths)
    positions: NDArray[np.int64] = within - 1 if padding_idx is None else within * counted + padding_idx
    return positions
