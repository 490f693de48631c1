"""A last layer that computes only what the head reads: the first token of each pair."""

from typing import Any

from torch import Tensor

from plackett._compat.transformers import attend, replace_forward
from plackett.families import family_of
from plackett.models.classifier import Reranker


def first_token_only(model: Reranker) -> None:
    """Compute the last layer only for the first token of each pair: exact, because these heads read no other token.

    Models of other families are returned unchanged.
    """
    if family_of(model.config.model_type).first_token_head:
        encoder: Any = model.base_model
        replace_forward(encoder.encoder.layer[-1], _first_token_forward)


def _first_token_forward(
    layer: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **options: Any
) -> Tensor:
    """Forward pass of a BERT layer with one query row per pair: (pairs, tokens, hidden) -> (pairs, 1, hidden)."""
    attention = layer.attention.self
    first = hidden_states[:, :1]

    def by_head(rows: Tensor) -> Tensor:
        return rows.view(len(rows), -1, attention.num_attention_heads, attention.attention_head_size).transpose(1, 2)

    attended = attend(
        attention,
        by_head(attention.query(first)),
        by_head(attention.key(hidden_states)),
        by_head(attention.value(hidden_states)),
        attention_mask if attention_mask is None else attention_mask[:, :, :1],
        dropout=attention.dropout.p if layer.training else 0.0,
    )
    output: Tensor = layer.feed_forward_chunk(layer.attention.output(attended.reshape(first.shape), first))
    return output
