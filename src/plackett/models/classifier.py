"""Sequence classifiers as torch modules: a trained one, or an encoder with a new head."""

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from plackett._compat.transformers import heads_in_fp32, quiet
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.weights import check_torch_weights
from plackett.errors import CheckpointError, SettingError
from plackett.tokenization.batches import EncodedPairs

Reranker = PreTrainedModel


def load_model(checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32) -> Reranker:
    """Load the checkpoint's classifier in fp32, or with its encoder in another type.

    Raises CheckpointError for weights that are missing or of another shape; none are replaced by random numbers.
    """
    check_torch_weights(checkpoint.folder)
    config = _config(checkpoint)
    if config.num_labels != checkpoint.labels:
        config.num_labels = checkpoint.labels
    model, missing, wrong = _loaded(checkpoint, config, dtype)
    _check_loaded(checkpoint, missing, wrong, "reranker")
    return model


def new_model(base: Checkpoint, *, layers: int | None, dropout: float | None, seed: int) -> Reranker:
    """Put a new one-logit head, initialised by `seed`, on the encoder of `base`.

    `layers` keeps only the first N layers; `dropout` overrides the base's own rates.
    """
    torch.manual_seed(seed)
    model, missing, wrong = _loaded(base, _new_config(base, layers, dropout))

    # Poolers and heads may be new; an encoder may not.
    encoder = {name: shapes for name, shapes in wrong.items() if _of_encoder(name)}
    _check_loaded(base, filter(_of_encoder, missing), encoder, "encoder")
    return model


def padded_inputs(batch: EncodedPairs, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Arguments of the module's forward pass: int64 tensors (pairs, tokens)."""
    of_model = checkpoint.inputs
    padded = batch.padded(max(of_model.pad_id, 0), left=of_model.padding == "left")
    token_ids, type_ids, mask = map(torch.from_numpy, padded)
    inputs = {"input_ids": token_ids, "attention_mask": mask}
    return inputs | {"token_type_ids": type_ids} if of_model.token_types else inputs


_HEADS = ("classifier", "score", "classification_head", "logits_proj", "head", "pre_classifier", "pooler")
"""Names of heads and their parts, which stay in fp32 whatever the type of the encoder."""

_Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def _loaded(
    checkpoint: Checkpoint, config: Any = None, dtype: torch.dtype = torch.float32
) -> tuple[Reranker, set[str], dict[str, _Shapes]]:
    """Return the model, the names of missing weights, and the shapes that differ (file, model)."""
    with quiet(), contextlib.nullcontext() if dtype == torch.float32 else heads_in_fp32(_HEADS):
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=bool(checkpoint.code),
                ignore_mismatched_sizes=True,  # reported to the caller, which raises a clearer error
                output_loading_info=True,
            )
        except Exception as error:  # transformers raises many kinds for an inconsistent configuration
            raise cannot_be_loaded(checkpoint, error) from error
    _settle(model, checkpoint)
    wrong = {name: (tuple(saved), tuple(own)) for name, saved, own in report["mismatched_keys"]}
    return model, set(report["missing_keys"]) - wrong.keys(), wrong


def _settle(model: Reranker, checkpoint: Checkpoint) -> None:
    """Disable the cache of past tokens, and set a padding id, which decoders require for batches."""
    config: Any = model.config
    text = config.get_text_config()
    if isinstance(text, dict):  # not a key of this family
        text = config
    for part in (config, text):
        part.use_cache = False
    if getattr(text, "pad_token_id", None) is None:
        text.pad_token_id = checkpoint.inputs.pad_id


def _of_encoder(name: str) -> bool:
    return ".layer" in name or ".embeddings." in name


def _check_loaded(checkpoint: Checkpoint, missing: Iterable[str], wrong: dict[str, _Shapes], kind: str) -> None:
    if wrong:
        name = min(wrong)
        saved, own = wrong[name]
        others = f" ({len(wrong) - 1} more differ)" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"the weights in {checkpoint.folder} do not fit its config.json: {name} has the shape {saved} in the file "
            f"and {own} by the configuration{others}. Download or save the checkpoint again"
        )
    absent = sorted(missing)
    if absent:
        raise CheckpointError(
            f"{checkpoint.folder} lacks the weights {', '.join(absent[:3])}: it is not a trained {kind}"
        )


def cannot_be_loaded(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    """Return the error for an exception that transformers raised while loading a checkpoint."""
    if "trust_remote_code" in str(error):
        return CheckpointError(
            f"{checkpoint.folder} needs code from its own folder (trust_remote_code), which is never run here: "
            "choose a checkpoint of a family that transformers supports"
        )
    return CheckpointError(f"{checkpoint.folder} cannot be loaded: {error}")


def _new_config(base: Checkpoint, layers: int | None, dropout: float | None) -> Any:
    config = _config(base)
    settings: dict[str, Any] = {"num_labels": 1}
    if layers is not None:
        if not 0 < layers <= config.num_hidden_layers:
            raise SettingError(
                f"layers={layers} is not from 1 to {config.num_hidden_layers}, the number of layers in {base.folder}"
            )
        settings["num_hidden_layers"] = layers
    if dropout is not None:  # the names of the rates differ between families
        rates = (
            name for name, value in config.to_dict().items() if "dropout" in name and isinstance(value, int | float)
        )
        settings |= dict.fromkeys(rates, dropout)
    return _config(base, **settings)


def _config(base: Checkpoint, **settings: Any) -> Any:
    with quiet():
        try:
            return AutoConfig.from_pretrained(
                base.folder, local_files_only=True, trust_remote_code=bool(base.code), **settings
            )
        except Exception as error:  # as in `_loaded`
            raise cannot_be_loaded(base, error) from error
