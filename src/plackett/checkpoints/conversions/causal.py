"""Causal language models that score a pair by one token's logit ("yes"), often minus another's ("no").

Such a model is equivalent to a sequence classifier whose head is a row of its output matrix, or the difference of two
rows: both read the last token of the rendered template. So the weights are linked and one row is added.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from plackett.checkpoints.conversions.folders import (
    add_weights,
    headers,
    link_files,
    modules_of,
    replace_json,
    rows_of,
    unlink,
)
from plackett.checkpoints.conversions.known import KNOWN, Known
from plackett.checkpoints.heads import architectures_of
from plackett.checkpoints.inputs import read_tokenizer_json
from plackett.checkpoints.jsons import read_json, read_optional, whole, write_json
from plackett.checkpoints.own_files import CONFIG, MODULES, SENTENCE_TRANSFORMERS, TOKENIZER_CONFIG
from plackett.checkpoints.settings import FIRST_MODULE, first_module, prompt_of
from plackett.checkpoints.templates import ChatTemplate, read_template, write_modules
from plackett.errors import CheckpointError

_LOGITS = "causal_logits"
"""The output of the module Transformer that LogitScore reads."""

CAUSAL, CLASSIFIER = "ForCausalLM", "ForSequenceClassification"

# Transformations of vocabulary logits in some families, which a classifier's head does not apply. Some families have
# them by default.
_SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling")
_SCALED_BY_DEFAULT = {"gemma2": "final_logit_softcapping", "minicpm3": "logits_scaling"}
_HEADS = ("lm_head.weight", "embed_out.weight")
_BIASES = ("lm_head.bias", "embed_out.bias")
_EMBEDDINGS = ("model.embed_tokens.weight", "transformer.wte.weight", "gpt_neox.embed_in.weight")


def fits(folder: Path) -> bool:
    """Whether a folder has the module that turns a language model's logits into a score, or is known by name."""
    return [name for name, _ in modules_of(folder)] == ["Transformer", "LogitScore"] or _known(folder) is not None


def convert(inputs: list[Path], target: Path) -> None:
    """Write the classifier equivalent to a causal reranker."""
    [folder] = inputs
    known = _known(folder)
    config = read_json(folder / CONFIG)
    _check(folder, config)
    true, false = _of_module(folder) if known is None else known.tokens_of(folder)

    link_files(folder, target)
    name = _matrix(folder, config)
    rows = rows_of(folder, name, [true] if false is None else [true, false])
    score = rows if false is None else rows[:1] - rows[1:]
    if known is not None:
        config.pop("auto_map", None)  # code that the entry in KNOWN replaces
        score = score * np.float32(known.scale)
    add_weights(target, {"score.weight": score}, "model-score.safetensors")

    label = _label(folder, true, false)
    replace_json(
        target / CONFIG,
        config
        | {
            "architectures": [name.replace(CAUSAL, CLASSIFIER) for name in architectures_of(config)],
            "id2label": {"0": label},
            "label2id": {label: 0},
            "tie_word_embeddings": False,
        },
    )
    template = _template_of(folder, known)
    if template is None:
        raise CheckpointError(
            f"{folder} scores by a token's logit and has no chat template, so Plackett does not know how to render a "
            "pair"
        )
    for name in (*FIRST_MODULE, SENTENCE_TRANSFORMERS, TOKENIZER_CONFIG, MODULES):
        unlink(target / name)
    write_modules(target, template)
    if known is not None:
        settings = read_optional(target / TOKENIZER_CONFIG)
        write_json(target / TOKENIZER_CONFIG, settings | {"model_max_length": known.max_length})


def _template_of(folder: Path, known: Known | None) -> ChatTemplate | None:
    """Return the template of a causal reranker: its own, or the one in its authors' code."""
    if known is not None:
        return ChatTemplate(known.template, format="flat")
    settings = read_optional(folder / SENTENCE_TRANSFORMERS)
    return read_template(folder, first_module(folder), prompt_of(settings))


def _of_module(folder: Path) -> tuple[int, int | None]:
    """Return the token whose logit is the score, and the one whose logit is subtracted, as LogitScore names them."""
    path = modules_of(folder)[1][1] / CONFIG
    config = read_json(path)
    source = config.get("module_input_name", _LOGITS)
    if source != _LOGITS:
        raise CheckpointError(f"{path} sets module_input_name to {source!r}; Plackett supports {_LOGITS!r}")
    true, false = (whole(config, key) for key in ("true_token_id", "false_token_id"))
    if true is None or true < 0:
        raise CheckpointError(f"{path} names no true_token_id, the token whose logit is the score")
    if false is not None and (false < 0 or false == true):
        raise CheckpointError(f"{path} sets false_token_id to {false}; name another token than {true}, or none")
    return true, false


def _label(folder: Path, true: int, false: int | None) -> str:
    """Describe the score by its tokens, such as "yes minus no"."""
    tokenizer = read_tokenizer_json(folder)
    names = [
        None if tokenizer is None else tokenizer.id_to_token(token) for token in (true, false) if token is not None
    ]
    return " minus ".join(name or f"token {token}" for name, token in zip(names, (true, false), strict=False))


def _check(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a model whose score is not a linear function of its last state."""
    family = str(config.get("model_type"))
    default = _SCALED_BY_DEFAULT.get(family)
    scaled = [key for key in _SCALED if config.get(key, 0 if key == default else None) not in (None, 1)]
    if scaled:
        raise CheckpointError(
            f"{folder} is of the family {family}, which scales or caps the logits of the vocabulary ({scaled[0]} in "
            f"{CONFIG}); Plackett does not support that in causal rerankers"
        )
    if not any(name.endswith(CAUSAL) for name in architectures_of(config)):
        raise CheckpointError(f"{folder} scores by a token's logit, but its architecture is not {CAUSAL}")


def _matrix(folder: Path, config: Mapping[str, Any]) -> str:
    """Return the name of the output matrix: the head's, or the embeddings' if they are tied."""
    names = headers(folder)
    own, tied, bias = (next((name for name in kind if name in names), None) for kind in (_HEADS, _EMBEDDINGS, _BIASES))
    if bias is not None:
        raise CheckpointError(
            f"{folder} has the weights {bias}, which a sequence classifier has no place for; Plackett does not support "
            "causal rerankers of this family"
        )
    if own is None and config.get("tie_word_embeddings", True):
        own = tied
    if own is None:
        raise CheckpointError(f"{folder} has no output matrix ({', '.join(_HEADS)}) to compute a token's logit with")
    return own


def _known(folder: Path) -> Known | None:
    """Return the published reranker that a plain causal folder has the name of; None for any other folder."""
    config = read_optional(folder / CONFIG)
    if (folder / MODULES).is_file() or not any(name.endswith(CAUSAL) for name in architectures_of(config)):
        return None
    return next((known for known in KNOWN if known.is_named(folder)), None)
