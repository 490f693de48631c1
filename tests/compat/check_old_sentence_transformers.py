"""Scores of a checkpoint by whichever sentence-transformers is installed here, as JSON. Needs nothing of Plackett.

    python check_old_sentence_transformers.py FOLDER PAIRS.json [--save NEW_FOLDER]

PAIRS.json holds [[query, document], ...]. With --save, the model is also saved as this version does it.
"""

import argparse
import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--save")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    pairs = [tuple(pair) for pair in json.loads(arguments.pairs.read_text(encoding="utf-8"))]
    encoder = CrossEncoder(arguments.folder, device="cpu")
    if arguments.save:
        encoder.save_pretrained(arguments.save)
    answer = {
        "versions": {name: version(name) for name in ("sentence-transformers", "transformers", "tokenizers", "torch")},
        "activation": type(encoder.activation_fn).__name__,
        "scores": encoder.predict(pairs).tolist(),
        "logits": encoder.predict(pairs, activation_fn=torch.nn.Identity()).tolist(),
        "alone": [float(encoder.predict([pair], activation_fn=torch.nn.Identity())[0]) for pair in pairs],
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
