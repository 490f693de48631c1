"""The torch module: backbone and head, from any sequence-classification checkpoint."""

import contextlib
import copy
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import eager_attention_forward
from transformers.utils import logging as transformers_logging

from plackett._extras import require
from plackett.checkpoints.exports import exports_of
from plackett.checkpoints.folder import Checkpoint, has_weights
from plackett.errors import CheckpointError, SettingError
from plackett.tokenization.batches import EncodedPairs

Reranker = PreTrainedModel

# Families of BERT's own layers, under a head that reads the first token only.
FIRST_TOKEN = {"bert", "camembert", "electra", "roberta", "xlm-roberta"}


def load_model(checkpoint: Checkpoint) -> Reranker:
    """The checkpoint's classifier in fp32. Weights missing from the file are an error, never random numbers."""
    _check_weights(checkpoint)
    with quiet():
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                checkpoint.folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:  # whatever transformers meets in a configuration that does not fit together
            raise _cannot_be_loaded(checkpoint, error) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder} lacks the weights {', '.join(missing[:3])}: it is not a trained reranker"
        )
    classifier: Reranker = model
    return classifier


def new_model(base: Checkpoint, *, layers: int | None, dropout: float | None, seed: int) -> Reranker:
    """The encoder of `base` under a new one-logit head.

    `layers` keeps the first so many layers; `dropout` replaces the base's own rates. The head is initialised by `seed`.
    """
    torch.manual_seed(seed)
    with quiet():
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                base.folder,
                config=_new_config(base, layers, dropout),
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except SettingError:
            raise
        except Exception as error:  # as in load_model
            raise _cannot_be_loaded(base, error) from error
    missing = sorted(name for name in report["missing_keys"] if ".layer" in name or ".embeddings." in name)
    if missing:  # poolers and heads may be new; an encoder may not
        raise CheckpointError(f"{base.folder} lacks the weights {', '.join(missing[:3])}: it is not a trained encoder")
    classifier: Reranker = model
    return classifier


def first_token_only(model: Reranker) -> None:
    """Compute the last layer for the first token of each pair, which is all that these heads read: exact, cheaper."""
    if model.config.model_type in FIRST_TOKEN:
        encoder: Any = model.base_model
        last = encoder.encoder.layer[-1]
        last.forward = types.MethodType(_first_token_forward, last)


def _first_token_forward(
    layer: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **options: Any
) -> torch.Tensor:
    """What a layer of BERT computes, with one query row a pair: (pairs, tokens, hidden) -> (pairs, 1, hidden)."""
    attention = layer.attention.self
    first = hidden_states[:, :1]

    def by_head(rows: torch.Tensor) -> torch.Tensor:
        return rows.view(len(rows), -1, attention.num_attention_heads, attention.attention_head_size).transpose(1, 2)

    attend = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)
    attended, _weights = attend(
        attention,
        by_head(attention.query(first)),
        by_head(attention.key(hidden_states)),
        by_head(attention.value(hidden_states)),
        attention_mask if attention_mask is None else attention_mask[:, :, :1],
        dropout=attention.dropout.p if layer.training else 0.0,
        scaling=attention.scaling,
    )
    output: torch.Tensor = layer.feed_forward_chunk(layer.attention.output(attended.reshape(first.shape), first))
    return output


def with_lora(model: Reranker, options: Mapping[str, Any]) -> Reranker:
    """The model frozen under adapters, options of peft's LoraConfig by its names; the head is trained whole."""
    peft = require("peft", extra="lora")
    known = peft.LoraConfig.__dataclass_fields__
    for key in options.keys() - known.keys():
        raise SettingError.unknown("option of lora", key, known)
    heads = [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]
    poolers = {name.rpartition(".")[2] for name, _ in model.base_model.named_modules() if name.endswith("pooler")}
    try:
        config = peft.LoraConfig(**{"task_type": "SEQ_CLS", "modules_to_save": [*heads, *sorted(poolers)], **options})
        adapted: Reranker = peft.get_peft_model(model, config)
    except (TypeError, ValueError) as error:
        raise SettingError(f"the options of lora do not fit: {error}") from error
    return adapted


def without_lora(model: Reranker) -> Reranker:
    """A plain classifier with the adapters merged into a copy of its weights; itself if it has none."""
    if not hasattr(model, "peft_config"):
        return model
    adapted: Any = copy.deepcopy(model)
    merged: Reranker = adapted.merge_and_unload()
    return merged


def _check_weights(checkpoint: Checkpoint) -> None:
    exports = sorted({engine for engine, _ in exports_of(checkpoint.folder)})
    if exports and not has_weights(checkpoint.folder) and not any(checkpoint.folder.glob("pytorch_model*.bin*")):
        raise CheckpointError(
            f"{checkpoint.folder} holds no weights for torch, only exports; name their engine: {', '.join(exports)}"
        )


def _cannot_be_loaded(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    if "trust_remote_code" in str(error):
        return CheckpointError(
            f"{checkpoint.folder} brings code of its own, which only trust_remote_code=True would run, and Plackett "
            "never does: take a checkpoint of a family that transformers knows"
        )
    return CheckpointError(f"{checkpoint.folder} cannot be loaded: {error}")


def _new_config(base: Checkpoint, layers: int | None, dropout: float | None) -> Any:
    config: Any = AutoConfig.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False)
    settings: dict[str, Any] = {"num_labels": 1}
    if layers is not None:
        if not 0 < layers <= config.num_hidden_layers:
            raise SettingError(
                f"layers={layers} is outside 1 to {config.num_hidden_layers}, the layers of {base.folder}"
            )
        settings["num_hidden_layers"] = layers
    if dropout is not None:  # each family has other names for its rates
        rates = (
            name for name, value in config.to_dict().items() if "dropout" in name and isinstance(value, int | float)
        )
        settings |= dict.fromkeys(rates, dropout)
    return AutoConfig.from_pretrained(base.folder, local_files_only=True, trust_remote_code=False, **settings)


def padded_inputs(batch: EncodedPairs, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """What the module's forward takes: int64 tensors (pairs, tokens)."""
    token_ids, type_ids, mask = map(torch.from_numpy, batch.padded(checkpoint.pad_id))
    inputs = {"input_ids": token_ids, "attention_mask": mask}
    return inputs | {"token_type_ids": type_ids} if checkpoint.token_types else inputs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No reports, bars and warnings of transformers: what matters in them is raised as an error."""
    logs: Any = transformers_logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
