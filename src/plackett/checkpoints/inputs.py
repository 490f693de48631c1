"""The input settings of a checkpoint's model: token limit, token types, padding, vocabulary.

They are read as transformers and sentence-transformers read them. Missing keys have the defaults of the family's
configuration class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from plackett.checkpoints.jsons import read_optional, whole
from plackett.errors import CheckpointError, SettingError
from plackett.families import Family, family_of

UNLIMITED = 10**9
"""The limit of models without position embeddings."""

SLIDING = "sliding_attention"
"""The type of a layer whose tokens attend only to a window of tokens before them."""

NEVER = -1
"""A padding id that is not a token, for models that search their input for padding although it has none."""

# Classes whose tokenizers return token types when `model_input_names` is missing. Neither major version writes those
# names; for the generic classes, only the version in config.json tells.
_TYPES = frozenset(
    {
        *("Bert", "Canine", "ConvBert", "Deberta", "DebertaV2", "Electra", "FNet", "LayoutLM", "LayoutLMv2"),
        *("Lxmert", "MarkupLM", "MobileBert", "SqueezeBert", "Tapas", "DPRQuestionEncoder", "DPRContextEncoder"),
    }
)
_TYPES_4 = _TYPES | {
    *("Albert", "BertJapanese", "Bertweet", "CTRL", "Cpm", "Flaubert", "Funnel", "Herbert", "Phobert"),
    *("PreTrained", "RemBert", "RoCBert", "RoFormer", "Splinter", "XLM", "XLNet"),
}


@dataclass(frozen=True)
class Inputs:
    """The input of a model.

    max_length: tokens per pair.
    truncation_side: where long texts are cut; None uses the setting in `tokenizer.json`, by default the right.
    token_types: whether the model reads the tokenizer's token types; it is given zeros or nothing otherwise.
    pad_id: the id that pads batches; `NEVER` if no token can.
    padding: the side that is padded, or "none" if a batch must contain pairs of equal length.
    vocabulary: number of embeddings; None if the configuration does not tell.
    window: number of tokens that each token attends to, if every layer has a sliding window; otherwise None.
    """

    max_length: int
    truncation_side: str | None = None
    token_types: bool = False
    pad_id: int = 0
    padding: str = "right"
    vocabulary: int | None = None
    window: int | None = None


def read_inputs(
    folder: Path, config: Mapping[str, Any], wanted: int | None, *, limit: object = None, trains: bool = False
) -> Inputs:
    """Read the settings of a folder.

    `wanted` is a token limit that overrides the folder's, `limit` one that overrides the tokenizer's. `trains` means
    that the model will be trained, in padded batches, whether or not its configuration defines padding.
    """
    family = family_of(str(config.get("model_type", "")))
    config = of_text(config)
    tokenizer_config = read_optional(folder / "tokenizer_config.json")
    if limit is not None:
        tokenizer_config = tokenizer_config | {"model_max_length": limit}
    _check_class(folder, tokenizer_config)
    _check_class(folder, config)
    pad_id = _pad_id(folder, config, tokenizer_config, family, trains)
    return Inputs(
        max_length=_max_length(folder, config, tokenizer_config, family, wanted),
        truncation_side=_truncation_side(folder, tokenizer_config),
        token_types=reads_types(config, tokenizer_config),
        pad_id=pad_id,
        padding="none" if pad_id == NEVER else family.padding,
        vocabulary=whole(config, "vocab_size", family.vocabulary),
        window=_window(config),
    )


def _check_class(folder: Path, settings: Mapping[str, Any]) -> None:
    name = settings.get("tokenizer_class")
    if name is not None and not (isinstance(name, str) and name):
        raise CheckpointError(f"a configuration in {folder} has the tokenizer_class {name!r:.40}, which is not a name")


def reads_types(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], major: int | None = None) -> bool:
    """Whether the model receives the tokenizer's token types.

    `major` is the version of transformers that reads the folder; None means the one that wrote it, as in training.
    """
    family = family_of(str(config.get("model_type", "")))
    types = whole(config, "type_vocab_size", family.types)
    if not family.takes_types or (types is not None and types < 2):
        return False
    names = tokenizer_config.get("model_input_names")
    if names is not None:
        if not isinstance(names, list):
            raise CheckpointError(f"model_input_names in tokenizer_config.json is {names!r:.100}, not a list of names")
        return "token_type_ids" in names
    unknown_family = family.types is None and family.vocabulary is None
    if unknown_family and "type_vocab_size" not in config:  # nothing indicates types
        return False

    return _tokenizer_gives_types(config, tokenizer_config, family, major)


def _tokenizer_gives_types(
    config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], family: Family, major: int | None
) -> bool:
    """Whether the tokenizer's class returns types in the release of transformers that reads it."""
    name = tokenizer_config.get("tokenizer_class") or config.get("tokenizer_class")
    if not isinstance(name, str):
        return family.gives_types
    before_5 = _written_before_5(config) if major is None else major < 5
    return name.removesuffix("Fast").removesuffix("Tokenizer") in (_TYPES_4 if before_5 else _TYPES)


def _written_before_5(config: Mapping[str, Any]) -> bool:
    number = str(config.get("transformers_version", "")).partition(".")[0]
    return number.isdecimal() and int(number) < 5


def of_text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of the part that reads text, in families with several parts, with the usual keys."""
    family = family_of(str(config.get("model_type", "")))
    nested = config.get("text_config")
    text = {**config, **nested, "model_type": config.get("model_type", "")} if isinstance(nested, dict) else config
    return {**text, **{usual: text[name] for name, usual in family.aliases.items() if name in text}}


def _max_length(
    folder: Path, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], family: Family, wanted: int | None
) -> int:
    """Return the requested limit, else the tokenizer's, within the number of position embeddings."""
    positions = _positions(config, family)
    if positions < 1:
        raise CheckpointError(f"the configuration of {folder} leaves no positions for tokens")
    if wanted is not None:
        if isinstance(wanted, bool) or not isinstance(wanted, Integral) or not 0 < wanted <= positions:
            raise SettingError(
                f"max_length={wanted!r} is not a whole number from 1 to {positions}, the positions of {folder}"
            )
        return int(wanted)
    limit = tokenizer_config.get("model_max_length", tokenizer_config.get("max_len"))
    if limit is None:
        return positions
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 1:
        raise CheckpointError(
            f"a configuration in {folder} has the token limit {str(limit)[:40]!r}, which must be a number of 1 or more"
        )
    return int(min(limit, positions))


def _positions(config: Mapping[str, Any], family: Family) -> int:
    names = {family.positions_key, "max_position_embeddings"}
    key = next((name for name in sorted(names, reverse=True) if name in config), family.positions_key)
    positions = whole(config, key, family.positions) or 0
    if positions < 1:  # 0 and -1 mean relative positions, which have no limit
        return UNLIMITED
    if not family.behind_padding:
        return positions
    padding = whole(config, "pad_token_id", family.pad_id) if family.fixed_padding is None else family.fixed_padding
    return positions - (padding or 0) - 1


def _window(config: Mapping[str, Any]) -> int | None:
    """Return the sliding window that limits all layers; None if some layers see every token."""
    kinds = config.get("layer_types")
    if isinstance(kinds, list) and any(kind != SLIDING for kind in kinds):
        return None
    # Qwen's windows are off unless this key says otherwise; other families do not have it.
    default = not str(config.get("model_type", "")).startswith("qwen")
    return whole(config, "sliding_window") if config.get("use_sliding_window", default) else None


def _truncation_side(folder: Path, tokenizer_config: Mapping[str, Any]) -> str | None:
    side = tokenizer_config.get("truncation_side")
    if side not in (None, "left", "right"):
        raise CheckpointError(f"{folder / 'tokenizer_config.json'}: truncation_side is {side!r}, not left or right")
    return side


def _pad_id(
    folder: Path, config: Mapping[str, Any], tokenizer_config: Mapping[str, Any], family: Family, trains: bool
) -> int:
    """Return the padding id: the configuration's, else the tokenizer's, else the end-of-text token.

    Models without a padding id read the last token. The end-of-text token works only if the tokenizer never appends it,
    as it would then be mistaken for padding.
    """
    pad_id = whole(config, "pad_token_id", family.pad_id)
    if pad_id is not None:
        return pad_id
    tokenizer = read_tokenizer_json(folder)
    if tokenizer is None:
        return NEVER
    end = _token_id(tokenizer, token_name(folder, tokenizer_config, "eos_token"))
    pad_id = _token_id(tokenizer, token_name(folder, tokenizer_config, "pad_token"))
    if pad_id is not None and pad_id != end:
        return pad_id
    ends = end is None or tokenizer.encode("a", "a").ids[-1:] == [end]
    return NEVER if end is None or (ends and not trains) else end


def token_name(folder: Path, tokenizer_config: Mapping[str, Any], key: str) -> str | None:
    """Return the text of a special token such as `pad_token`."""
    for settings in (tokenizer_config, read_optional(folder / "special_tokens_map.json")):
        value = settings.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value
    return None


def read_tokenizer_json(folder: Path) -> Tokenizer | None:
    """Return the tokenizer of `tokenizer.json`; None if there is no such file."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the Rust side raises bare Exceptions
        raise CheckpointError(f"the tokenizer of {folder} cannot be read: {error}") from error


def _token_id(tokenizer: Tokenizer, token: str | None) -> int | None:
    found: int | None = None if token is None else tokenizer.token_to_id(token)
    return found
