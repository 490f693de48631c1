"""Tiny models built in process: real tokenizers trained on real words, two layers, weights that tell texts apart."""

import argparse
import functools
import json
import math
import pathlib
import textwrap
from collections.abc import Callable

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers

from plackett.tokenization.batches import EncodedPairs, WindowedPairs

HIDDEN = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
POSITIONS = 96

TEXTS = [
    line
    for module in (argparse, json, textwrap, functools, pathlib)
    for name in sorted(dir(module))
    for line in (getattr(getattr(module, name), "__doc__", None) or "").splitlines()
    if line.strip()
]

QUERY = "how do I sort a list of words"
DOCUMENTS = [
    "The method sort puts the items of a list in order, in place.",
    "dictionary",
    "Return a string which is the concatenation of the strings in iterable. " * 4,
    "Naïve café — 東京 Привет 🙂 e\u0301 \u00a0 tabs\tand\nlines",
    "A parser for command line options, with help and defaults.",
    "words " * 300,
    "Return a string which is the concatenation of the strings in iterable.",
    "!?",
]
PAIRS = [
    *[(QUERY, document) for document in DOCUMENTS],
    ("a very long question about paths and files " * 20, "short answer"),
    ("a very long question about paths and files " * 20, "a long answer about arguments and parsers " * 20),
    ("ZÜRICH ß ﬁ", "Straße \u200b zero width"),
]


def _trained(model: str, pre_tokenizer: pre_tokenizers.PreTokenizer, trainer: trainers.Trainer) -> dict:
    tokenizer = Tokenizer(getattr(tokenizers.models, model)())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(TEXTS, trainer)
    return json.loads(tokenizer.to_str())["model"]


def _word_pieces() -> dict[str, int]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inside = [f"##{letter}" for letter in sorted(set("".join(TEXTS)))]  # given ids here: the trainer's would vary
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=[*special, *inside], show_progress=False)
    return _trained("WordPiece", pre_tokenizers.BertPreTokenizer(), trainer)["vocab"]


def _byte_pairs(special: list[str]) -> dict:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    return _trained("BPE", pre_tokenizers.ByteLevel(add_prefix_space=False), trainer)


def _unigrams(special: list[str], unknown: str) -> list[tuple[str, float]]:
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=special, unk_token=unknown, show_progress=False)
    pieces = sorted(piece for piece, _ in _trained("Unigram", pre_tokenizers.Metaspace(), trainer)["vocab"])
    text = "▁".join(word for line in TEXTS for word in line.split())  # counted here: the trainer's scores would vary
    scores = [(piece, math.log((1 + text.count(piece)) / len(text))) for piece in pieces if piece not in special]
    return [*((name, 0.0) for name in special), *scores]


def _roberta_tokenizer() -> transformers.PreTrainedTokenizerBase:
    model = _byte_pairs(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    merges = [tuple(merge) for merge in model["merges"]]
    return transformers.RobertaTokenizer(vocab=model["vocab"], merges=merges)


def _modernbert_tokenizer() -> transformers.PreTrainedTokenizerBase:
    model = _byte_pairs(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(tokenizers.models.BPE(vocab=model["vocab"], merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", model["vocab"]["[CLS]"]), ("[SEP]", model["vocab"]["[SEP]"])],
    )
    names = {name: f"[{name.removesuffix('_token').upper()}]" for name in ("unk_token", "cls_token", "sep_token")}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


def _deberta_tokenizer() -> transformers.PreTrainedTokenizerBase:
    return transformers.DebertaV2Tokenizer(vocab=_unigrams(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]"))


def _xlm_roberta_tokenizer() -> transformers.PreTrainedTokenizerBase:
    return transformers.XLMRobertaTokenizer(vocab=_unigrams(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>"))


# Family -> (tokenizer, configuration class, what it is told beside the sizes).
FAMILIES: dict[str, tuple[Callable[[], transformers.PreTrainedTokenizerBase], str, dict]] = {
    "bert": (lambda: transformers.BertTokenizer(vocab=_word_pieces()), "BertConfig", {}),
    "electra": (lambda: transformers.BertTokenizer(vocab=_word_pieces()), "ElectraConfig", {"embedding_size": 24}),
    "distilbert": (
        lambda: transformers.DistilBertTokenizer(vocab=_word_pieces()),
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    ),
    "roberta": (_roberta_tokenizer, "RobertaConfig", {"type_vocab_size": 1}),
    "xlm-roberta": (_xlm_roberta_tokenizer, "XLMRobertaConfig", {"type_vocab_size": 1}),
    "deberta-v2": (
        _deberta_tokenizer,
        "DebertaV2Config",
        {
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
        },
    ),
    "modernbert": (_modernbert_tokenizer, "ModernBertConfig", {"global_attn_every_n_layers": 2, "local_attention": 16}),
}


def build(folder: pathlib.Path, family: str, labels: int) -> pathlib.Path:
    """A sequence classifier of `family`, saved by transformers."""
    make_tokenizer, config_class, extra = FAMILIES[family]
    tokenizer = make_tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
    offset = ids["pad_token_id"] + 1 if "roberta" in family else 0
    sizes = {} if family == "distilbert" else HIDDEN
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": POSITIONS + offset, "num_labels": labels}
    config = getattr(transformers, config_class)(**{**sizes, **settings, **ids, **extra})
    torch.manual_seed(len(family) + labels)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                weights.normal_(0, 1.0 if "embedding" in name else 0.25)
    tokenizer.model_max_length = POSITIONS
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def token_rows(encoded: WindowedPairs) -> EncodedPairs:
    """Its windows, of an engine that reads token ids."""
    assert isinstance(encoded.rows, EncodedPairs)
    return encoded.rows


def random_batch(lengths, seed=0, vocabulary=300):
    """Pairs of random ids, special and padding ids among them as in a text that spells them out."""
    generator = np.random.default_rng(seed)
    tokens = sum(lengths)
    special = generator.random(tokens) < 0.1
    ids = np.where(special, generator.integers(5, size=tokens), generator.integers(vocabulary, size=tokens))
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return EncodedPairs(ids, generator.integers(2, size=tokens), cu_seqlens)


def unsettle(model):
    """Biases and norms away from the zeros and ones they start with, so that a forgotten one shows."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() == 1:
                weights.add_(torch.randn_like(weights), alpha=0.2)
    return model.eval()
