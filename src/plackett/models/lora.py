"""LoRA: small trained adapters on a frozen model, and merging them into a plain model."""

import copy
from collections.abc import Mapping
from typing import Any

from plackett._compat.transformers import quiet
from plackett._extras import require
from plackett.errors import SettingError
from plackett.models.classifier import Reranker


def with_lora(model: Reranker, options: Mapping[str, Any]) -> Reranker:
    """Freeze the model and add adapters; the head is trained in full.

    `options` are arguments of peft's LoraConfig.
    """
    peft = require("peft", extra="lora")
    known = peft.LoraConfig.__dataclass_fields__
    for key in options.keys() - known.keys():
        raise SettingError.unknown("option of lora", key, known)

    trained_whole = [*_heads(model), *sorted(_poolers(model))]
    try:
        config = peft.LoraConfig(**{"task_type": "SEQ_CLS", "modules_to_save": trained_whole, **options})
        with quiet():
            adapted: Reranker = peft.get_peft_model(model, config)
    except (TypeError, ValueError, RuntimeError) as error:  # of torch: no memory for so many numbers
        raise SettingError(f"invalid lora options: {error}") from error
    return adapted


def without_lora(model: Reranker) -> Reranker:
    """Return a plain classifier with the adapters merged into a copy of its weights; the model itself without any."""
    if not hasattr(model, "peft_config"):
        return model
    adapted: Any = copy.deepcopy(model)
    merged: Reranker = adapted.merge_and_unload()
    return merged


def _heads(model: Reranker) -> list[str]:
    """Return the children with weights other than the encoder."""
    children = [name for name, module in model.named_children() if any(True for _ in module.parameters())]
    return [name for name in children if name != model.base_model_prefix]


def _poolers(model: Reranker) -> set[str]:
    return {name.rpartition(".")[2] for name, _ in model.base_model.named_modules() if name.endswith("pooler")}
