"""Differences in how other libraries read a checkpoint: transformers 4 and 5, sentence-transformers 4 to 6.

Settings that others follow and Plackett does not are refused when it loads; see `settings`. This module covers settings
that every library reads, but differently.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from plackett.checkpoints.activations import saved_activation
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.inputs import UNLIMITED, of_text, reads_types
from plackett.checkpoints.jsons import read_json, read_optional
from plackett.checkpoints.older import older_keys
from plackett.checkpoints.own_files import CONFIG, SENTENCE_TRANSFORMERS, TOKENIZER_CONFIG
from plackett.checkpoints.settings import first_module, is_chain
from plackett.families import family_of


def misread(checkpoint: Checkpoint) -> list[str]:
    """Return what other libraries would read differently from Plackett, one line each; empty if all agree."""
    config = read_json(checkpoint.folder / CONFIG)
    tokenizer_config = read_optional(checkpoint.folder / TOKENIZER_CONFIG)
    return [
        *_types(checkpoint, config, tokenizer_config),
        *_limits(checkpoint, config, tokenizer_config),
        *_side(checkpoint, config, tokenizer_config),
        *_activations(checkpoint, config),
        *_older(config, tokenizer_config),
    ]


def _types(checkpoint: Checkpoint, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> Iterator[str]:
    given = checkpoint.inputs.token_types
    for major in (4, 5):
        if reads_types(of_text(config), tokenizer_config, major) != given:
            yield (
                f"transformers {major} gives the model {'no' if given else 'its'} token types: {TOKENIZER_CONFIG} has "
                "no model_input_names"
            )


def _limits(checkpoint: Checkpoint, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> Iterator[str]:
    """Token limits: sentence-transformers considers the number of positions, but not where they begin."""
    family, text = family_of(checkpoint.model_type), of_text(config)
    positions = text.get("max_position_embeddings", text.get(family.positions_key, family.positions))
    most = positions if positions and positions > 0 else UNLIMITED
    stated = tokenizer_config.get("model_max_length", tokenizer_config.get("max_len"))
    of_tokenizer = int(min(most, UNLIMITED if stated is None else stated))
    of_module = int(min(most, first_module(checkpoint.folder).get("max_seq_length") or of_tokenizer))
    for library, limit in (("4 to 5.3", of_tokenizer), ("5.4 and later", of_module)):
        if limit != checkpoint.max_length:
            yield f"sentence-transformers {library} reads {limit} tokens of a pair, Plackett {checkpoint.max_length}"


def _side(checkpoint: Checkpoint, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> Iterator[str]:
    """Padding on the other side, in models whose positions are counted from the left."""
    text, side = of_text(config), checkpoint.inputs.padding
    relative = family_of(checkpoint.model_type).behind_padding or "rope_theta" in text or "rope_parameters" in text
    default = "left" if str(tokenizer_config.get("tokenizer_class")).startswith("XLNet") else "right"
    stated = tokenizer_config.get("padding_side", default)
    if side not in ("none", stated) and not relative:
        yield f"other libraries pad on the {stated}, which changes this family's scores; Plackett pads on the {side}"


def _activations(checkpoint: Checkpoint, config: dict[str, Any]) -> Iterator[str]:
    folder, ranks = checkpoint.folder, checkpoint.model.ranks
    saved = read_optional(folder / SENTENCE_TRANSFORMERS) if is_chain(folder) else {}
    before, now = (saved_activation(config, place, ranks=ranks) for place in ({}, saved))
    if before != now:
        yield f"sentence-transformers 4 to 5.3 applies the activation {before}, later releases {now}"


_BY_EAGER = {
    "doge": "computes a different attention",
    "gemma2": "ignores attn_logit_softcapping",
}
"""Families whose default attention (sdpa) differs in transformers 4, whatever the folder's settings, and how."""


def _older(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> Iterator[str]:
    if tokenizer_config.get("tokenizer_class") == "TokenizersBackend":
        yield "transformers 4 cannot load the tokenizer class TokenizersBackend"
    family = str(config.get("model_type"))
    if family in _BY_EAGER:
        yield f"transformers 4 {_BY_EAGER[family]}, unless {family} is loaded with attn_implementation='eager'"
    text = of_text(config)
    lacking = {key for key, value in older_keys(config).items() if text.get(key) != value}
    if lacking:
        yield f"transformers 4 reads {', '.join(sorted(lacking))}, which {CONFIG} lacks or sets differently"
