"""The settings of an embedding model of sentence-transformers: its modules, pooling, prompts and similarity.

`modules.json` names a chain; Plackett reads Transformer, Pooling and Normalize. Any other setting that would change the
embeddings in other libraries raises a CheckpointError that names it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plackett.checkpoints.jsons import read_json, read_optional
from plackett.checkpoints.modules import class_of, folder_of, read_modules
from plackett.checkpoints.own_files import MODULES, SENTENCE_TRANSFORMERS
from plackett.errors import CheckpointError

POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
SIMILARITIES = {None: True, "cosine": True, "dot": False}  # name -> whether embeddings are normalised

ROLES = ("query", "document")  # the prompts that `encode_query` and `encode_document` of sentence-transformers use
UNUSED = ("passage", "corpus")  # prompts that `encode_document` tries after `document`, which always exists

logger = logging.getLogger(__name__)

# Before release 6, each pooling had a switch. The results of those that are on are concatenated in this order.
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# Keys of sentence_bert_config.json that are read, and values of other keys that change nothing.
_READ = {"max_seq_length", "do_lower_case"}
_HARMLESS: Mapping[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "tokenizer_name_or_path": None,
    "unpad_inputs": None,
}


@dataclass(frozen=True)
class Embedding:
    """How token states become embeddings. `transformer` is the folder of the encoder.

    poolings: names, whose results are concatenated. normalised: whether embeddings have length 1. default_prompt,
    prompts: prefixes of texts, by role. max_length: token limit; None uses the encoder's.
    """

    transformer: Path
    poolings: tuple[str, ...] = ("mean",)
    normalised: bool = True
    default_prompt: str = ""
    prompts: Mapping[str, str] | None = None
    max_length: int | None = None
    lower_case: bool = False

    def prompt(self, role: str | None) -> str:
        """Return the prefix of a `query`, a `document`, or a text without a role."""
        return self.default_prompt if role is None else (self.prompts or {}).get(role, "")


def read_embedding(folder: Path) -> Embedding:
    """Read the embedding settings of a folder; a plain encoder uses mean pooling, as in sentence-transformers."""
    saved = read_optional(folder / SENTENCE_TRANSFORMERS)
    kind = saved.get("model_type", "SentenceTransformer")
    if not (folder / MODULES).is_file() or kind == "CrossEncoder":
        return Embedding(folder)
    if kind != "SentenceTransformer":
        raise CheckpointError(f"{folder} is a {kind}; a bi-encoder must be a SentenceTransformer")

    transformer, pooling, normalised = _modules(folder)
    bert = _transformer_settings(transformer)
    default, prompts = _prompts(folder, saved)
    if not pooling.get("include_prompt", True) and (default or any(prompts.values())):
        raise CheckpointError(f"{folder}: pooling without the prompt (include_prompt) is not supported")
    return Embedding(
        transformer=transformer,
        poolings=_poolings(folder, pooling),
        normalised=_is_unit(folder, saved) or normalised,
        default_prompt=default,
        prompts=prompts,
        max_length=_max_length(transformer, bert),
        lower_case=bool(bert.get("do_lower_case")),
    )


def _modules(folder: Path) -> tuple[Path, dict[str, Any], bool]:
    """Return the folder of the encoder, the settings of the pooling, and whether embeddings are normalised."""
    chain = read_modules(folder)
    names = [_module_name(module) for module in chain]
    if names[:2] != ["Transformer", "Pooling"] or set(names[2:]) - {"Normalize"}:
        raise CheckpointError(
            f"{folder} chains the modules {', '.join(names)}; Plackett embeds with Transformer, Pooling and Normalize"
        )
    paths = [folder_of(folder, module) for module in chain]
    for path in paths[2:]:
        if read_optional(path / "config.json").get("module_input_name", "sentence_embedding") != "sentence_embedding":
            raise CheckpointError(f"{path} normalises something other than text embeddings, which is not supported")
    return paths[0], read_json(paths[1] / "config.json"), len(chain) > 2


def _module_name(module: Mapping[str, Any]) -> str:
    """Return the class of a module, with its full name unless it is part of sentence-transformers."""
    name = str(module.get("type", "?"))
    return class_of(module) if name.startswith("sentence_transformers.") else name


def _poolings(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    mode = config.get("pooling_mode")
    if mode is None:
        mode = [name for key, name in _SWITCHES.items() if config.get(key)] or "mean"
    modes = tuple(mode) if isinstance(mode, list) else (mode,)
    unknown = [name for name in modes if name not in POOLINGS]
    if unknown or not modes:
        raise CheckpointError(f"{folder}: the pooling {mode!r} is not supported; supported are {', '.join(POOLINGS)}")
    return modes


def _transformer_settings(folder: Path) -> dict[str, Any]:
    config = read_optional(folder / "sentence_bert_config.json")
    for key, value in config.items():
        if key not in _READ and value and value != _HARMLESS.get(key):
            raise CheckpointError(f"{folder / 'sentence_bert_config.json'}: {key} is not supported ({value!r:.100})")
    return config


def _max_length(folder: Path, config: Mapping[str, Any]) -> int | None:
    length = config.get("max_seq_length")
    if length is not None and (type(length) is not int or length < 1):
        raise CheckpointError(f"{folder / 'sentence_bert_config.json'}: max_seq_length is {length!r}")
    return length


def _is_unit(folder: Path, saved: Mapping[str, Any]) -> bool:
    name = saved.get("similarity_fn_name")
    if name not in SIMILARITIES:
        raise CheckpointError(f"{folder}: the similarity {name!r} is not supported; supported are cosine and dot")
    if saved.get("truncate_dim") is not None:
        raise CheckpointError(f"{folder}: truncate_dim is not supported ({saved['truncate_dim']!r})")
    return SIMILARITIES[name]


def _prompts(folder: Path, saved: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the prompt of texts without a role, and those of queries and documents."""
    prompts, default = saved.get("prompts") or {}, saved.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise CheckpointError(f"{folder}: prompts do not map names to texts")
    if default is not None and default not in {*prompts, *ROLES}:
        raise CheckpointError(f"{folder}: default_prompt_name is {default!r}, but the prompts are {', '.join(prompts)}")
    _warn_of_unused(folder, prompts)
    return prompts.get(default) or "", {role: prompts.get(role) or "" for role in ROLES}


def _warn_of_unused(folder: Path, prompts: Mapping[str, str | None]) -> None:
    unused = next((name for name in UNUSED if prompts.get(name)), None)
    if unused and not prompts.get("document"):
        logger.warning(
            "%s: the prompt %r is ignored, as in sentence-transformers; rename it to document in %s to use it",
            *(folder, unused, "config_sentence_transformers.json"),
        )
