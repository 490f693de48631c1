"""The forward pass of the BERT family without padding.

The tokens of a batch are rows of one matrix, (tokens, hidden), shortest pair first. Only attention depends on pairs.
The last layer is computed only for the first token of each pair, which the head reads. In bf16, products with weights
use bf16; residuals, norms and the head stay in fp32.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plackett.engines.torch.attention import ForFirstTokens, Pairs, between_tokens, filled
from plackett.engines.torch.linear import Linear
from plackett.engines.torch.weights import Affine, EncoderWeights, LayerWeights
from plackett.tokenization.batches import EncodedPairs

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "gelu": F.gelu}


class PackedEncoder:
    """Runs the given weights, which are partly copied and must not change while in use."""

    def __init__(self, weights: EncoderWeights, *, token_types: bool, dtype: torch.dtype = torch.float32) -> None:
        self._weights = replace(weights, layers=())  # layers are copied, so drop the originals
        self._token_types = token_types
        self._activation = ACTIVATIONS[weights.activation]
        self._project = Linear(*weights.project, dtype=torch.float32) if weights.project else None
        self._layers = [_Layer(layer, weights, dtype) for layer in weights.layers[:-1]]
        self._last = _LastLayer(weights.layers[-1], weights, dtype)

    def __call__(self, batch: EncodedPairs) -> Tensor:
        """Return logits of the pairs, in order, (pairs, labels)."""
        order = np.argsort(batch.lengths, kind="stable")
        batch = batch.select(order)
        pairs = Pairs.of(batch, self._weights.words.device)
        hidden = self._embed(batch)
        for layer in self._layers:
            hidden = layer(hidden, pairs)
        return self._head(self._last(hidden, pairs))[np.argsort(order)]

    def _embed(self, batch: EncodedPairs) -> Tensor:
        weights = self._weights
        embedded = F.embedding(self._rows(batch.token_ids), weights.words)
        embedded += F.embedding(self._rows(positions_of(batch, weights.padding_idx)), weights.positions)
        if weights.types is not None:
            type_ids = batch.type_ids if self._token_types else np.zeros_like(batch.type_ids)
            embedded += F.embedding(self._rows(type_ids), weights.types)
        embedded = _norm(embedded, weights.embeddings_norm, weights.epsilon)
        return self._project(embedded) if self._project else embedded

    def _head(self, first: Tensor) -> Tensor:
        return F.linear(self._activation(F.linear(first, *self._weights.dense)), *self._weights.output)

    def _rows(self, values: NDArray[np.int64]) -> Tensor:
        return filled(values, self._weights.words.device)


class _Layer:
    """Self-attention and feed-forward, each added to its input and normed."""

    def __init__(self, layer: LayerWeights, weights: EncoderWeights, dtype: torch.dtype) -> None:
        self._heads = weights.heads
        of_inputs = zip(layer.query, layer.key, layer.value, strict=True)
        self._query_key_value = Linear(*map(torch.cat, of_inputs), dtype=dtype)
        self._rest = _AfterAttention(layer, weights.epsilon, dtype)

    def __call__(self, hidden: Tensor, pairs: Pairs) -> Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        return self._rest(between_tokens(self._query_key_value(hidden), pairs, self._heads), hidden)


class _LastLayer:
    """The last layer, for first tokens only."""

    def __init__(self, layer: LayerWeights, weights: EncoderWeights, dtype: torch.dtype) -> None:
        self._query = Linear(*layer.query, dtype=dtype)
        self._attend = ForFirstTokens(layer.key, layer.value, weights.heads)
        self._rest = _AfterAttention(layer, weights.epsilon, dtype)

    def __call__(self, hidden: Tensor, pairs: Pairs) -> Tensor:
        """(tokens, hidden) -> (pairs, hidden)."""
        first = hidden[pairs.first]
        return self._rest(self._attend(self._query(first), hidden, pairs), first)


class _AfterAttention:
    """The part of a layer after attention."""

    def __init__(self, layer: LayerWeights, epsilon: float, dtype: torch.dtype) -> None:
        self._attention, self._attention_norm = Linear(*layer.attention, dtype=dtype), layer.attention_norm
        self._up, self._down = Linear(*layer.up, dtype=dtype, gelu=True), Linear(*layer.down, dtype=dtype)
        self._output_norm, self._epsilon = layer.output_norm, epsilon

    def __call__(self, attended: Tensor, rows: Tensor) -> Tensor:
        """Both arguments are (rows, hidden); `rows` is the input of the layer."""
        rows = _norm(self._attention(attended, residual=rows), self._attention_norm, self._epsilon)
        return _norm(self._down(self._up(rows), residual=rows), self._output_norm, self._epsilon)


def _norm(rows: Tensor, affine: Affine, epsilon: float) -> Tensor:
    return F.layer_norm(rows, affine.weight.shape, *affine, eps=epsilon)


def positions_of(batch: EncodedPairs, padding_idx: int | None = None) -> NDArray[np.int64]:
    """Return the position of each token in its pair.

    RoBERTa's positions start after the padding id and skip that token, which texts may contain.
    """
    counted = np.ones(len(batch.token_ids), np.int64)
    if padding_idx is not None:
        counted = (batch.token_ids != padding_idx).astype(np.int64)
    before = np.concatenate([[0], np.cumsum(counted)])
    within = before[1:] - np.repeat(before[batch.cu_seqlens[:-1]], batch.lengths)
    positions: NDArray[np.int64] = within - 1 if padding_idx is None else within * counted + padding_idx
    return positions
