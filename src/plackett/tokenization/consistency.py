"""Consistency of `tokenizer.json`, `tokenizer_config.json` and the embeddings of a checkpoint.

Plackett tokenises by `tokenizer.json` alone. transformers adds the tokens that `tokenizer_config.json` names, and
builds the normaliser of known classes from its keys. If the two files differed, so would scores.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from plackett.checkpoints.jsons import read_optional
from plackett.checkpoints.own_files import CONFIG, SPECIAL_TOKENS
from plackett.errors import CheckpointError
from plackett.tokenization.rebuilt import check_rebuilt

_CONFIG = "tokenizer_config.json"
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LISTED = ("extra_special_tokens", "additional_special_tokens")

# Key of tokenizer_config.json -> part of tokenizer.json, type of that part, and its key there.
_SAME = {
    "do_lower_case": ("normalizer", "BertNormalizer", "lowercase"),
    "strip_accents": ("normalizer", "BertNormalizer", "strip_accents"),
    "tokenize_chinese_chars": ("normalizer", "BertNormalizer", "handle_chinese_chars"),
    "add_prefix_space": ("pre_tokenizer", "ByteLevel", "add_prefix_space"),
}

# Key of tokenizer_config.json -> part of tokenizer.json, a step of that part, and the value with which it is there.
_STEPS = {
    "do_lower_case": ("normalizer", "Lowercase", True),
    "keep_accents": ("normalizer", "StripAccents", False),
    "split_by_punct": ("pre_tokenizer", "Punctuation", True),
}
_READ_BY = {
    "Albert": ("do_lower_case", "keep_accents"),
    "RemBert": ("do_lower_case", "keep_accents"),
    "XLNet": ("do_lower_case",),
    "DebertaV2": ("do_lower_case", "split_by_punct"),
}
"""Tokenizer classes whose steps follow these keys."""

_PREFIXED = frozenset({"Albert", "Barthez", "BigBird", "Camembert", "RemBert", "XLMRoberta"})
"""Classes that mark the beginning of words, controlled by the key add_prefix_space."""


def check_tokenizer(tokenizer: Tokenizer, folder: Path, vocabulary: int | None) -> None:
    """Raise CheckpointError if files are inconsistent; `vocabulary` is the number of embeddings, if known."""
    config = _settings(folder)
    named = list(_tokens(config, folder))
    _check_switches(folder, config)
    _check_parts(tokenizer, folder, config)
    _check_steps(tokenizer, folder, config)
    check_rebuilt(tokenizer, folder, config, read_optional(folder / CONFIG))
    _check_order(tokenizer, folder)
    for key, token, wanted in named:
        found = tokenizer.token_to_id(token)
        if found is None or (wanted is not None and found != wanted):
            raise CheckpointError(
                f"{folder / _CONFIG} names the token {token!r} ({key}), which other libraries add to the "
                f"tokenizer, and which tokenizer.json {'lacks' if found is None else 'has at another id'}; save the "
                "tokenizer again with transformers"
            )
    if vocabulary is not None:
        name, last = _last_token(tokenizer)
        if last >= vocabulary:
            raise CheckpointError(
                f"the tokenizer of {folder} has token ids up to {last} ({name!r}), but its model has {vocabulary} "
                "embeddings (vocab_size in config.json): they belong to different models"
            )


def add_named(tokenizer: Tokenizer, folder: Path) -> None:
    """Keep special tokens named in the settings whole, as other libraries do, even if `tokenizer.json` does not.

    Called after `check_tokenizer`, which ensures that all are in the vocabulary.
    """
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    config = _settings(folder)
    forgotten = {key: token for key, token, _ in _tokens(config, folder) if token not in added}
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False, **_sides(config.get(key)))
            for key, token in forgotten.items()
        ]
    )


def _sides(token: object) -> dict[str, bool]:
    """Return how a token treats adjacent spaces and words."""
    given = token if isinstance(token, dict) else {}
    return {name: given.get(name) is True for name in ("lstrip", "rstrip", "single_word")}


def _settings(folder: Path) -> Mapping[str, Any]:
    """Return the settings of the tokenizer, with the tokens of the older file if they name no added tokens."""
    config = read_optional(folder / _CONFIG)
    return config if "added_tokens_decoder" in config else config | read_optional(folder / SPECIAL_TOKENS)


def _check_order(tokenizer: Tokenizer, folder: Path) -> None:
    texts = [text for text in tokenizer.encode("a", "a").sequence_ids if text is not None]
    if texts != sorted(texts):
        raise CheckpointError(
            f"{folder / 'tokenizer.json'} puts the document before the query (post_processor), which Plackett does not "
            "support"
        )


def _last_token(tokenizer: Tokenizer) -> tuple[str, int]:
    """Return text and id of the token with the highest id, including tokens added around a pair.

    Listing the whole vocabulary takes 40 ms, so it is listed only if its ids have gaps.
    """
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    last = tokenizer.id_to_token(size - 1)
    ids: dict[str, int] = {last: size - 1} if last is not None else tokenizer.get_vocab(with_added_tokens=True)
    around = tokenizer.encode("", "")
    return max([*ids.items(), *zip(around.tokens, around.ids, strict=True)], key=lambda item: item[1])


def _check_switches(folder: Path, config: Mapping[str, Any]) -> None:
    for key in (*_SAME, *_STEPS):
        if not isinstance(config.get(key), bool | None):
            raise CheckpointError(f"{folder / _CONFIG} sets {key} to {config[key]!r:.40}, which is not true or false")


def _check_parts(tokenizer: Tokenizer, folder: Path, config: Mapping[str, Any]) -> None:
    for key, (part, kind, name) in _SAME.items():
        value = config.get(key)
        if not isinstance(value, bool):
            continue
        for step in _steps(tokenizer, part):
            if step.get("type") == kind and step.get(name) not in (None, value):
                raise _differ(folder, key, value, f"has {name} = {step[name]}")


def _check_steps(tokenizer: Tokenizer, folder: Path, config: Mapping[str, Any]) -> None:
    kind = str(config.get("tokenizer_class")).removesuffix("Fast").removesuffix("Tokenizer")
    marks = [item.get("prepend_scheme") for item in _steps(tokenizer, "pre_tokenizer")]
    if kind in _PREFIXED and not config.get("add_prefix_space", True) and "never" not in marks:
        raise _differ(folder, "add_prefix_space", config["add_prefix_space"], f"has prepend_scheme = {marks[-1]}")
    for key in _READ_BY.get(kind, ()):
        part, step, value = _STEPS[key]
        found = any(item.get("type") == step for item in _steps(tokenizer, part))
        if isinstance(config.get(key), bool) and found != (config[key] == value):
            raise _differ(folder, key, config[key], f"{'has' if found else 'lacks'} the step {step}")


def _steps(tokenizer: Tokenizer, part: str) -> list[dict[str, Any]]:
    """Yield the settings of each step of a normaliser or pre-tokeniser."""
    own = getattr(tokenizer, part)
    settings = json.loads(own.__getstate__()) if own is not None else {}
    steps: list[dict[str, Any]] = settings.get("normalizers") or settings.get("pretokenizers") or [settings]
    return steps


def _differ(folder: Path, key: str, value: object, there: str) -> CheckpointError:
    return CheckpointError(
        f"{folder / _CONFIG} sets {key} to {value}, but tokenizer.json {there}; other libraries follow the first "
        "file, Plackett the second: make them agree"
    )


def _tokens(config: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str, int | None]]:
    """Yield key, text and, if given, id of each token that a configuration names."""
    try:
        for number, token in (config.get("added_tokens_decoder") or {}).items():
            yield "added_tokens_decoder", _text(token), int(number)
        for key in _LISTED:
            tokens = config.get(key) or []
            for token in tokens.values() if isinstance(tokens, dict) else tokens:
                yield key, _text(token), None
        for key in _NAMED:
            if config.get(key) is not None:
                yield key, _text(config[key]), None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / _CONFIG} describes a token in a way that cannot be read: {error!r}"
        ) from error


def _text(token: Any) -> str:
    text = token["content"] if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not text")
    return text
