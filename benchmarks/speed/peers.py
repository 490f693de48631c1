"""Rerank with one library in a separate process: JSON lines in, JSON lines out.

    python -m benchmarks.speed.peers NAME FOLDER            serve
    python -m benchmarks.speed.peers NAME FOLDER prepare    export what NAME needs, into FOLDER

A line in is {"query": str, "documents": [str]}; a line out has "scores" (raw logits), "seconds" (of the call),
"peak MB" (the largest memory of the process so far) and "version" (of the library). NAME is
LIBRARY:ENGINE:PRECISION. This file also runs in the environments of other libraries, so it imports only what NAME
needs.
"""

import json
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks._common import peak_resident

Scorer = Callable[[str, Sequence[str]], Sequence[float]]

CALIBRATION = "calibration"  # folder with one file of texts, for libraries that calibrate on texts


def plackett(engine: str, precision: str, folder: Path) -> Scorer:
    """Plackett's `rank`, with scores in the order of the documents."""
    from plackett import CrossEncoder

    encoder = CrossEncoder(folder, engine=engine, precision=precision, device="cpu", activation="identity")

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        scores = [0.0] * len(documents)
        for item in encoder.rank(query, documents):
            scores[item["corpus_id"]] = item["score"]
        return scores

    return score


def _sentence_transformer(engine: str, precision: str, folder: Path) -> Any:
    import torch
    from sentence_transformers import CrossEncoder

    options: dict[str, object] = {}
    if engine == "torch":
        options = {"dtype": torch.bfloat16} if precision == "bf16" else {}
    elif precision == "int8":
        options = {"file_name": INT8_FILES[engine]}
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return CrossEncoder(
        str(folder), backend=engine, device="cpu", local_files_only=True, model_kwargs=options, max_length=512
    )


INT8_FILES = {"onnx": "onnx/model_qint8_avx512_vnni.onnx", "openvino": "openvino/openvino_model_qint8_quantized.xml"}


def sentence_transformers(engine: str, precision: str, folder: Path) -> Scorer:
    """sentence-transformers' `predict` over the pairs, with its defaults."""
    import torch

    encoder = _sentence_transformer(engine, precision, folder)
    same = torch.nn.Identity()

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        pairs = [(query, document) for document in documents]
        scores = encoder.predict(pairs, activation_fn=same, show_progress_bar=False)
        return [float(value) for value in scores]

    return score


def flashrank(engine: str, precision: str, folder: Path) -> Scorer:
    """FlashRank's Ranker, which loads models by name and applies a sigmoid; the folder replaces one of its models."""
    from flashrank import Ranker, RerankRequest
    from flashrank.Config import model_file_map

    name = "ms-marco-MiniLM-L-12-v2"
    place = folder / "flashrank" / name
    if not place.is_dir():
        _place(folder, place, model_file_map[name])
    ranker = Ranker(model_name=name, cache_dir=str(place.parent), max_length=512)

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        passages = [{"id": number, "text": document} for number, document in enumerate(documents)]
        ranked = ranker.rerank(RerankRequest(query=query, passages=passages))
        by_id = {item["id"]: float(item["score"]) for item in ranked}
        squashed = (min(max(by_id[number], 1e-9), 1 - 1e-9) for number in range(len(documents)))
        return [math.log(share / (1 - share)) for share in squashed]

    return score


def fastembed(engine: str, precision: str, folder: Path) -> Scorer:
    """fastembed's TextCrossEncoder with our model."""
    from fastembed.common.model_description import ModelSource
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    place = folder / "fastembed"
    if not place.is_dir():
        _place(folder, place, "model.onnx")
    TextCrossEncoder.add_custom_model(
        model="plackett/bench", sources=ModelSource(hf="plackett/bench"), model_file="model.onnx"
    )
    threads = len(os.sched_getaffinity(0))
    encoder = TextCrossEncoder("plackett/bench", specific_model_path=str(place), threads=threads)
    return lambda query, documents: [float(score) for score in encoder.rerank(query, list(documents))]


def _place(folder: Path, place: Path, graph: str) -> None:
    """Make a folder with the graph and the tokenizer where FlashRank and fastembed look for them."""
    place.mkdir(parents=True)
    shutil.copyfile(folder / "onnx" / "model.onnx", place / graph)
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(folder / name, place / name)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    special = {name: value for name, value in config.items() if name.endswith("_token")}
    (place / "special_tokens_map.json").write_text(json.dumps(special))
    (place / "tokenizer_config.json").write_text(json.dumps(config))


def prepare(library: str, engine: str, precision: str, folder: Path) -> None:
    """Make the missing exports."""
    if library == "plackett":
        from benchmarks import _checkpoints as checkpoints

        lists = folder / "calibration.jsonl"
        sys.exit(checkpoints.export(folder, engine, precision, lists if precision == "int8" else None) or 0)
    import sentence_transformers as library_

    directory = folder / engine
    if not any(directory.glob("*model.onnx" if engine == "onnx" else "*model.xml")):
        _sentence_transformer(engine, "fp32", folder).save_pretrained(str(folder))
    if precision != "int8" or (folder / INT8_FILES[engine]).is_file():
        return
    encoder = _sentence_transformer(engine, "fp32", folder)
    if engine == "onnx":
        library_.export_dynamic_quantized_onnx_model(encoder, "avx512_vnni", str(folder))
        return
    library_.export_static_quantized_openvino_model(
        encoder,
        None,
        str(folder),
        dataset_name=str(folder / CALIBRATION),
        dataset_config_name="default",
        dataset_split="train",
        column_name="text",
    )


def main() -> None:
    """Serve until standard input ends."""
    library, engine, precision = sys.argv[1].split(":")
    folder = Path(sys.argv[2])
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keep what libraries print out of the responses
    if sys.argv[3:] == ["prepare"]:
        prepare(library, engine, precision, folder)
        return
    score: Scorer = globals()[library](engine, precision, folder)
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        scores = score(request["query"], request["documents"])
        seconds = time.perf_counter() - start
        answer = {
            "scores": list(scores),
            "seconds": seconds,
            "peak MB": peak_resident(),
            "version": version(library),
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
