"""Tokenizers of BERT's classes, which transformers 5 rebuilds.

It keeps the vocabulary and the added tokens of `tokenizer.json`; the other steps follow `tokenizer_config.json` and the
defaults of the class.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from plackett.errors import CheckpointError

_CLASSES = frozenset(
    {
        *("Bert", "ConvBert", "DistilBert", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "Electra"),
        *("LayoutLM", "Lxmert", "MobileBert", "SqueezeBert"),
    }
)
_FAMILIES = frozenset(
    {
        *("bert", "convbert", "distilbert", "electra", "ernie", "layoutlm", "megatron-bert", "mobilebert"),
        *("nomic_bert", "squeezebert", "visual_bert"),
    }
)
"""Families whose tokenizer has such a class if no file names one."""

_ENDING = frozenset({"Albert", "Deberta", "DebertaV2", "MPNet", "RemBert", "Roberta"})
"""Other classes that add the tokens named in the settings around texts; their other steps are not compared here."""

_LONGEST_WORD = 100


def check_rebuilt(tokenizer: Tokenizer, folder: Path, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise CheckpointError if `tokenizer.json` differs from what the class of a folder's tokenizer builds.

    `settings` are the tokenizer's settings, `config` is the content of `config.json`.
    """
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    kind = str(name).removesuffix("Fast").removesuffix("Tokenizer")
    if kind in _ENDING:
        _check_ends(tokenizer, folder, settings)
    if kind not in _CLASSES and (name or config.get("model_type") not in _FAMILIES):
        return
    for part, (read, built) in _PARTS.items():
        found, expected = read(tokenizer), built(settings)
        if found != expected:
            raise CheckpointError(
                f"{folder / 'tokenizer.json'} has {part} {found}, but {name or 'BertTokenizer'}, the class of this "
                f"tokenizer, has {expected} in other libraries; make them agree, or set tokenizer_class to "
                "PreTrainedTokenizerFast if tokenizer.json is right"
            )


def _check_ends(tokenizer: Tokenizer, folder: Path, settings: Mapping[str, Any]) -> None:
    around = [token for token, _ in _around(tokenizer)]
    for key, found in {"cls_token": around[:1], "sep_token": around[-1:]}.items():
        token = _token(settings, key, "")
        if token and found != [token]:
            raise CheckpointError(
                f"{folder / 'tokenizer_config.json'} names {token!r} as {key}, but tokenizer.json puts "
                f"{' '.join(around) or 'nothing'} around the texts: make them agree"
            )


def _normalizer(tokenizer: Tokenizer) -> dict[str, Any]:
    step = _state(tokenizer.normalizer)
    steps = step.get("normalizers", [])
    # sentence-transformers saves its `do_lower_case` as an additional first step.
    if [item.get("type") for item in steps] == ["Lowercase", "BertNormalizer"] and steps[1].get("lowercase"):
        step = steps[1]
    return step | {"strip_accents": _strips(step)} if step.get("type") == "BertNormalizer" else step


def _built_normalizer(settings: Mapping[str, Any]) -> dict[str, Any]:
    lower, chinese = settings.get("do_lower_case"), settings.get("tokenize_chinese_chars")
    step = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": chinese if isinstance(chinese, bool) else True,
        "strip_accents": settings.get("strip_accents"),
        "lowercase": lower if isinstance(lower, bool) else True,
    }
    return step | {"strip_accents": _strips(step)}


def _strips(step: Mapping[str, Any]) -> object:
    """Whether accents are stripped: by default if the text is lower-cased."""
    said = step.get("strip_accents")
    return said if isinstance(said, bool) else step.get("lowercase")


def _words(tokenizer: Tokenizer) -> dict[str, object]:
    model: Any = tokenizer.model
    names = ("continuing_subword_prefix", "max_input_chars_per_word", "unk_token")
    return {"type": type(model).__name__} | {name: getattr(model, name, None) for name in names}


def _around(tokenizer: Tokenizer) -> list[tuple[str, int]]:
    """Return the tokens around two texts, with their types, without padding."""
    empty = tokenizer.encode("", "")
    return list(zip(empty.tokens, empty.type_ids, strict=True))[: sum(empty.attention_mask)]


def _built_around(settings: Mapping[str, Any]) -> list[tuple[str, int]]:
    first, last = (_token(settings, key, usual) for key, usual in (("cls_token", "[CLS]"), ("sep_token", "[SEP]")))
    return [(first, 0), (last, 0), (last, 1)]


def _token(settings: Mapping[str, Any], key: str, usual: str) -> str:
    token = settings.get(key, usual)
    return str(token["content"] if isinstance(token, dict) else token)  # "None" for null, as the class itself does


def _state(step: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(step.__getstate__()) if step is not None else {}
    return state


# Part of tokenizer.json -> its value there, and the value that the class builds from the settings.
_PARTS: Mapping[str, tuple[Callable[[Tokenizer], object], Callable[[Mapping[str, Any]], object]]] = {
    "the normaliser": (_normalizer, _built_normalizer),
    "the division into words": (lambda it: _state(it.pre_tokenizer), lambda _: {"type": "BertPreTokenizer"}),
    "the vocabulary": (
        _words,
        lambda settings: {
            "type": "WordPiece",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _LONGEST_WORD,
            "unk_token": _token(settings, "unk_token", "[UNK]"),
        },
    ),
    "around the texts": (_around, _built_around),
}
