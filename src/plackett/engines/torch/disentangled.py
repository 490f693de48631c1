"""DeBERTa's disentangled attention over pairs of equal length, without masks and gathers.

Scores are q_i k_j + q_i K(i - j) + k_j Q(i - j), where K and Q are projections of distance embeddings. They depend only
on the weights, and are computed once. For pairs of n tokens, the products with all 2 n - 1 distances form a matrix (n,
2 n - 1), whose row i is needed from column n - 1 - i on: a view with other strides.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plackett._compat.transformers import log_buckets


@dataclass(frozen=True)
class Positions:
    """One layer's scaled projections of distance embeddings: (heads, distances, width), None if it has none.

    buckets, most: how distances share embeddings; see `log_buckets`. span: the index of distance 0.
    """

    keys: Tensor | None
    queries: Tensor | None
    scale: float
    buckets: int
    most: int
    span: int

    @classmethod
    def of(cls, attention: Any, embeddings: Tensor) -> "Positions":
        """Return the projections of one of transformers' modules."""
        kinds, heads = attention.pos_att_type, attention.num_attention_heads
        scale = 1 / math.sqrt(attention.attention_head_size * (1 + len({"c2p", "p2c"} & set(kinds))))
        span = attention.pos_ebd_size
        rows = embeddings[: 2 * span].float()

        def projected(kind: str, shared: Any, own: str) -> Tensor | None:
            if kind not in kinds:
                return None
            layer = shared if attention.share_att_key else getattr(attention, own)
            product = F.linear(rows, layer.weight.float(), layer.bias.float())
            return product.view(len(rows), heads, -1).transpose(0, 1) * scale

        return cls(
            keys=projected("c2p", attention.key_proj, "pos_key_proj"),
            queries=projected("p2c", attention.query_proj, "pos_query_proj"),
            scale=scale,
            buckets=attention.position_buckets,
            most=attention.max_relative_positions,
            span=span,
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend among pairs of equal length: each (pairs, heads, tokens, width)."""
        length = query.shape[2]
        distances = torch.arange(1 - length, length, device=query.device)
        places = (log_buckets(distances, self.buckets, self.most) + self.span).clamp(0, 2 * self.span - 1)
        bias = None
        if self.keys is not None:
            bias = _skewed(query @ self.keys[:, places.flip(0)].transpose(1, 2))
        if self.queries is not None:
            of_keys = _skewed(key @ self.queries[:, places].transpose(1, 2)).transpose(2, 3)
            bias = of_keys.contiguous() if bias is None else bias + of_keys
        return F.scaled_dot_product_attention(query, key, value, bias, scale=self.scale)


def _skewed(products: Tensor) -> Tensor:
    """Return a view (pairs, heads, n, n) of (pairs, heads, n, 2 n - 1), whose row i starts at column n - 1 - i."""
    pairs, heads, length, width = products.shape
    strides = (heads * length * width, length * width, width - 1, 1)
    return products.contiguous().as_strided((pairs, heads, length, length), strides, length - 1)
