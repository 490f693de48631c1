"""The BERT family: where each transformers architecture stores the weights that all of them share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor

from plackett.families import family_of


class Affine(NamedTuple):
    """The weight and bias of a linear layer or a layer norm."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class LayerWeights:
    """One layer: attention and feed-forward, each added to its input and normed."""

    query: Affine
    key: Affine
    value: Affine
    attention: Affine
    attention_norm: Affine
    up: Affine
    down: Affine
    output_norm: Affine


@dataclass(frozen=True)
class EncoderWeights:
    """A BERT and its head, in terms common to all families. The tensors are the module's, not copies."""

    words: Tensor
    positions: Tensor
    types: Tensor | None
    embeddings_norm: Affine
    project: Affine | None
    layers: tuple[LayerWeights, ...]
    dense: Affine
    activation: str
    output: Affine
    heads: int
    epsilon: float
    padding_idx: int | None
    """Positions start after this token id and skip it; None starts at 0."""


@dataclass(frozen=True)
class Layout:
    """The layout of a family's weights: its class, and names in the state dict.

    `layer` maps the fields of `LayerWeights` to names in each of `layers`.
    """

    classifier: str
    encoder: str
    layers: str
    layer: Mapping[str, str]
    dense: str
    output: str


_BERT = Layout(
    classifier="BertForSequenceClassification",
    encoder="bert",
    layers="encoder.layer",
    layer={
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "output_norm": "output.LayerNorm",
    },
    dense="bert.pooler.dense",
    output="classifier",
)
_ELECTRA = replace(
    _BERT,
    classifier="ElectraForSequenceClassification",
    encoder="electra",
    dense="classifier.dense",
    output="classifier.out_proj",
)
_ROBERTA = replace(
    _ELECTRA,
    classifier="RobertaForSequenceClassification",
    encoder="roberta",
)
_DISTILBERT = Layout(
    classifier="DistilBertForSequenceClassification",
    encoder="distilbert",
    layers="transformer.layer",
    layer={
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
        "output_norm": "output_layer_norm",
    },
    dense="pre_classifier",
    output="classifier",
)

# Model type -> layout, for families whose head is known to `plackett.families`.
LAYOUTS = {
    "bert": _BERT,
    "camembert": replace(_ROBERTA, classifier="CamembertForSequenceClassification"),
    "distilbert": _DISTILBERT,
    "electra": _ELECTRA,
    "roberta": _ROBERTA,
    "xlm-roberta": replace(_ROBERTA, classifier="XLMRobertaForSequenceClassification"),
}


def read_weights(model: torch.nn.Module) -> EncoderWeights | None:
    """Return the weights of a plain fp32 classifier of the BERT family; None if it may compute something else."""
    config: Any = getattr(model, "config", None)
    layout = LAYOUTS.get(getattr(config, "model_type", ""))
    if layout is None or not _is_plain(model, layout, config):
        return None
    state = _State(model.state_dict())
    try:
        weights = _weights(state, layout, config)
    except KeyError:  # another transformers version uses other names; its module handles them
        return None
    return None if state.tensors else weights  # leftover weights mean an unknown part


def _is_plain(model: torch.nn.Module, layout: Layout, config: Any) -> bool:
    return (
        type(model) is getattr(transformers, layout.classifier)
        and (getattr(config, "hidden_act", None) or config.activation) == "gelu"
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "add_cross_attention", False)
        and all(parameter.dtype == torch.float32 for parameter in model.parameters())
    )


class _State:
    """A state dict whose weights are removed when they are read."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def affine(self, name: str) -> Affine:
        return Affine(self.tensors.pop(f"{name}.weight"), self.tensors.pop(f"{name}.bias"))


def _weights(state: _State, layout: Layout, config: Any) -> EncoderWeights:
    family = family_of(config.model_type)
    embeddings = f"{layout.encoder}.embeddings"
    project = f"{layout.encoder}.embeddings_project"
    return EncoderWeights(
        words=state.tensors.pop(f"{embeddings}.word_embeddings.weight"),
        positions=state.tensors.pop(f"{embeddings}.position_embeddings.weight"),
        types=state.tensors.pop(f"{embeddings}.token_type_embeddings.weight", None),
        embeddings_norm=state.affine(f"{embeddings}.LayerNorm"),
        project=state.affine(project) if f"{project}.weight" in state.tensors else None,
        layers=tuple(
            LayerWeights(
                **{
                    part: state.affine(f"{layout.encoder}.{layout.layers}.{number}.{name}")
                    for part, name in layout.layer.items()
                }
            )
            for number in range(config.num_hidden_layers)
        ),
        dense=state.affine(layout.dense),
        activation=family.activation,
        output=state.affine(layout.output),
        heads=config.num_attention_heads,
        epsilon=getattr(config, "layer_norm_eps", 1e-12),  # DistilBERT's is fixed in its code
        padding_idx=config.pad_token_id if family.behind_padding else None,
    )
