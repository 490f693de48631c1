"""Packed forward passes through transformers' own modules, for families beyond BERT's.

All tokens of a batch form one row of (1, tokens, hidden), which transformers' modules process unchanged: embeddings,
norms, rotary positions, feed-forward. Only attention depends on pairs, and is replaced. To add a family, add a
`PackedFamily`.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from plackett._compat.transformers import quiet, register_attention, replace_forward
from plackett.engines.torch import disentangled
from plackett.engines.torch.attention import Pairs, filled, grouped
from plackett.engines.torch.linear import Linear
from plackett.engines.torch.packed import positions_of
from plackett.tokenization.batches import EncodedPairs

NAME = "plackett_packed"
"""Name of the attention within pairs, as a value of `attn_implementation`."""

Module = Any
"""A transformers classifier; its parts have no common type."""


@dataclass(frozen=True)
class Inputs:
    """One packed batch: each (1, tokens)."""

    ids: Tensor
    positions: Tensor
    types: Tensor


def _run_base(model: Module, inputs: Inputs) -> Tensor:
    """Run the encoder or decoder below the head."""
    states: Tensor = model.base_model(input_ids=inputs.ids, position_ids=inputs.positions).last_hidden_state
    return states


def _fits_all(_: Any) -> bool:
    """Every configuration."""
    return True


def _prepare_nothing(_: Module) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class PackedFamily:
    """The packed forward pass of a family's modules.

    classifier: the class in transformers; objects of any other class, even a subclass, run in padded batches. head: the
    classifier and the pooled states, (pairs, hidden) -> logits. pooling: how a pair's tokens become one state ("first",
    "last" or "mean"), given the configuration. run: the classifier and a batch -> states, (1, tokens, hidden). fits:
    whether this record supports a configuration. prepare: replaces, once, attention that does not use transformers'
    interface. padding_idx: the padding token, if positions start after its id.
    """

    classifier: str
    head: Callable[[Module, Tensor], Tensor]
    pooling: Callable[[Any], str]
    run: Callable[[Module, Inputs], Tensor] = _run_base
    fits: Callable[[Any], bool] = _fits_all
    prepare: Callable[[Module], None] = _prepare_nothing
    padding_idx: int | None = None


def _run_with_types(model: Module, inputs: Inputs) -> Tensor:
    states: Tensor = model.base_model(
        input_ids=inputs.ids, position_ids=inputs.positions, token_type_ids=inputs.types
    ).last_hidden_state
    return states


def _run_deberta(model: Module, inputs: Inputs) -> Tensor:
    """Run DeBERTa without the masks and relative positions of the whole row, which `Disentangled` does not use."""
    base = model.deberta
    states: Tensor = base.embeddings(input_ids=inputs.ids, token_type_ids=inputs.types, position_ids=inputs.positions)
    for layer in base.encoder.layer:
        states = layer(states, None)[0]
    return states


def _prepare_deberta(model: Module) -> None:
    embeddings = model.deberta.encoder.get_rel_embedding()
    for layer in model.deberta.encoder.layer:
        attention = layer.attention.self
        positions = disentangled.Positions.of(attention, embeddings)
        replace_forward(attention, partial(_disentangled, positions))


def _disentangled(
    positions: disentangled.Positions, attention: Any, hidden: Tensor, *_: Any, **__: Any
) -> tuple[Tensor, None]:
    """Return the forward pass of DeBERTa's attention: (1, tokens, hidden) -> (1, tokens, hidden)."""
    projections = (attention.query_proj, attention.key_proj, attention.value_proj)
    return _projected(hidden, projections, attention.num_attention_heads, positions.attend), None


def _projected(
    hidden: Tensor, projections: Sequence[nn.Module], heads: int, attend: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """Project tokens to queries, keys and values, and attend within pairs: (1, tokens, hidden) -> the same."""
    parts = [project(hidden[0]).view(hidden.shape[1], heads, -1) for project in projections]
    return grouped(parts, _PAIRS.get(), attend).flatten(1).to(hidden.dtype)[None]


def _run_mpnet(model: Module, inputs: Inputs) -> Tensor:
    """Run MPNet without the position bias of the whole row."""
    base = model.mpnet
    states: Tensor = base.embeddings(input_ids=inputs.ids, position_ids=inputs.positions)
    for layer in base.encoder.layer:
        states = layer(states)[0]
    return states


def _prepare_mpnet(model: Module) -> None:
    encoder = model.mpnet.encoder
    row = torch.empty(1, model.config.max_position_embeddings, device=model.device)
    bias = encoder.compute_position_bias(row)[0].float()  # depends on distances only: the start serves shorter pairs
    for layer in encoder.layer:
        replace_forward(layer.attention.attn, partial(_biased, bias))


def _biased(bias: Tensor, attention: Any, hidden: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
    """Return the forward pass of MPNet's attention: (1, tokens, hidden) -> (1, tokens, hidden)."""

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        length = query.shape[2]
        return F.scaled_dot_product_attention(query, key, value, bias[:, :length, :length])

    return (attention.o(_projected(hidden, (attention.q, attention.k, attention.v), len(bias), attend)),)


def _pooling_of_modernbert(config: Any) -> str:
    return "first" if config.classifier_pooling == "cls" else str(config.classifier_pooling)


def _last(_: Any) -> str:
    return "last"


def _first(_: Any) -> str:
    return "first"


def _decoder(classifier: str) -> PackedFamily:
    """Return the record of a decoder whose attention depends only on token order, windows and groups of heads."""
    return PackedFamily(
        classifier,
        head=lambda model, states: model.score(states),
        pooling=_last,
        fits=lambda config: getattr(config, "is_causal", True),
    )


FAMILIES: Mapping[str, PackedFamily] = {
    "albert": PackedFamily(
        "AlbertForSequenceClassification",
        head=lambda model, states: model.classifier(model.albert.pooler_activation(model.albert.pooler(states))),
        pooling=_first,
        run=_run_with_types,
    ),
    "deberta-v2": PackedFamily(
        "DebertaV2ForSequenceClassification",
        head=lambda model, states: model.classifier(model.pooler(states[:, None])),
        pooling=_first,
        run=_run_deberta,
        fits=lambda config: getattr(config, "conv_kernel_size", 0) == 0 and config.relative_attention,
        prepare=_prepare_deberta,
    ),
    "gte": PackedFamily(
        "GteForSequenceClassification",
        head=lambda model, states: model.classifier(model.gte.pooler(states[:, None])),
        pooling=_first,
        run=_run_with_types,
    ),
    "modernbert": PackedFamily(
        "ModernBertForSequenceClassification",
        head=lambda model, states: model.classifier(model.head(states)),
        pooling=_pooling_of_modernbert,
    ),
    "mpnet": PackedFamily(
        "MPNetForSequenceClassification",
        head=lambda model, states: model.classifier(states[:, None]),
        pooling=_first,
        run=_run_mpnet,
        prepare=_prepare_mpnet,
        padding_idx=1,
    ),
    "gemma": _decoder("GemmaForSequenceClassification"),
    "llama": _decoder("LlamaForSequenceClassification"),
    "mistral": _decoder("MistralForSequenceClassification"),
    "qwen2": _decoder("Qwen2ForSequenceClassification"),
    "qwen3": _decoder("Qwen3ForSequenceClassification"),
}


_UNEVEN = {"dynamic", "longrope"}
"""Rotary positions whose frequencies depend on the longest pair of a batch."""

_PAIRS: ContextVar[Pairs] = ContextVar("pairs")


def packed_family(model: nn.Module) -> PackedFamily | None:
    """Return the record for running a classifier packed; None if it may compute something else."""
    config: Any = getattr(model, "config", None)
    family = FAMILIES.get(getattr(config, "model_type", ""))
    if family is None or type(model) is not getattr(transformers, family.classifier):
        return None
    return family if family.fits(config) and not rotary_depends_on_batch(config) else None


def rotary_depends_on_batch(config: Any) -> bool:
    """Whether the rotary positions of a model depend on the longest pair of a batch."""
    return not _UNEVEN.isdisjoint(_rotary_types(config))


def _rotary_types(config: Any) -> set[str]:
    """Return the types of rotary positions of all layers."""
    parameters = getattr(config, "rope_parameters", None) or {}
    parts = [parameters, *(part for part in parameters.values() if isinstance(part, dict))]
    return {str(part.get("rope_type", "default")) for part in parts}


def sharing_copy(model: nn.Module) -> nn.Module:
    """Copy the modules but share the weights, so that replacing parts does not change the model."""
    return copy.deepcopy(model, {id(weights): weights for weights in model.parameters()})


class PackedModules:
    """Runs a classifier, modifying it permanently: pass a copy if it is still needed."""

    def __init__(self, model: Module, family: PackedFamily, *, token_types: bool, pad_id: int) -> None:
        self._model = model.eval()
        self._family = family
        self._token_types = token_types
        self._pad_id = pad_id
        self._pooling = family.pooling(self._model.config)
        with quiet(), torch.no_grad():
            self._model.set_attn_implementation(NAME)
            family.prepare(self._model)
            _replace_linears(self._model.base_model)

    def __call__(self, batch: EncodedPairs) -> Tensor:
        """Return logits of the pairs, in order, (pairs, labels)."""
        order = np.argsort(batch.lengths, kind="stable")
        batch = batch.select(order)
        device = self._model.device
        types = batch.type_ids if self._token_types else np.zeros_like(batch.type_ids)
        positions = positions_of(batch, self._family.padding_idx)
        inputs = Inputs(*(filled(values, device)[None] for values in (batch.token_ids, positions, types)))

        token = _PAIRS.set(Pairs.of(batch, device))
        try:
            states = self._family.run(self._model, inputs)[0]
        finally:
            _PAIRS.reset(token)
        pooled = self._pooled(states.float(), batch)
        return self._family.head(self._model, pooled)[np.argsort(order)]

    def _pooled(self, states: Tensor, batch: EncodedPairs) -> Tensor:
        """(tokens, hidden) -> (pairs, hidden)."""
        starts = batch.cu_seqlens[:-1]
        if self._pooling == "mean":
            lengths = torch.from_numpy(batch.lengths).to(states.device)
            pairs = torch.repeat_interleave(torch.arange(len(batch), device=states.device), lengths)
            sums = states.new_zeros(len(batch), states.shape[1]).index_add_(0, pairs, states[: len(pairs)])
            return sums / lengths[:, None]
        rows = starts if self._pooling == "first" else _last_tokens(batch, self._pad_id)
        return states[torch.from_numpy(rows).to(states.device)]


def _last_tokens(batch: EncodedPairs, pad_id: int) -> NDArray[np.int64]:
    """Return the last token of each pair other than padding, where transformers' decoders read the score."""
    starts = batch.cu_seqlens[:-1]
    places = np.where(batch.token_ids == pad_id, 0, np.arange(len(batch.token_ids)))
    return np.maximum(np.maximum.reduceat(places, starts), starts)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within pairs, with transformers' interface: (1, heads, tokens, width) -> (1, tokens, heads, width)."""
    causal = bool(module.is_causal)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        length, repeated = query.shape[2], query.shape[1] // key.shape[1]
        if repeated > 1:
            key, value = (part.repeat_interleave(repeated, dim=1) for part in (key, value))
        mask = None
        if sliding_window is not None and sliding_window < length:
            mask = _window(length, sliding_window, causal, query.device)
        is_causal = causal and mask is None
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal, scale=scaling)

    parts = [part[0].transpose(0, 1) for part in (query, key, value)]
    return grouped(parts, _PAIRS.get(), attend).to(query.dtype)[None], None


def _window(length: int, window: int, causal: bool, device: torch.device) -> Tensor:
    """Return a mask of tokens less than `window` apart, and if `causal` no later ones: bool (tokens, tokens)."""
    places = torch.arange(length, device=device)
    distances = places[:, None] - places
    return (distances < window) & (distances >= 0 if causal else distances > -window)


register_attention(NAME, _attend)


class _Linear(nn.Module):
    """A linear layer in oneDNN's layout, instead of torch's."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = linear.bias if linear.bias is not None else linear.weight.new_zeros(linear.out_features)
        self._linear = Linear(linear.weight.detach(), bias.detach(), dtype=linear.weight.dtype)

    def forward(self, rows: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return self._linear(rows.flatten(0, -2)).view(*rows.shape[:-1], -1)


def _replace_linears(module: nn.Module) -> None:
    """Replace torch's linear layers one by one, so that at most one is in memory twice."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, _Linear(child))
        else:
            _replace_linears(child)
