"""Measure the speed of rerankers of published sizes in Plackett's int8, for the plot of the embedded model.

    PLACKETT_DATA=... python -m default_model.speed WORK_FOLDER [--rounds 9]

The workload is one query with 100 passages, tokenising included. The encoders differ only in layers and width. Their
weights are random, which does not change the speed. The sizes take turns in one process, and the results are medians of
the rounds. Results: default_model/results/speed.json.
"""

import argparse
import statistics
import time
from pathlib import Path

from transformers import BertConfig, BertForSequenceClassification

from benchmarks import _checkpoints as checkpoints
from benchmarks._common import write_result
from benchmarks.speed.run import workload
from plackett import CrossEncoder
from plackett.checkpoints.folder import copy_tokenizer, find_folder, read_base, write_metadata

RESULT = Path(__file__).parent / "results" / "speed.json"
SIZES = ((2, 128), (2, 384), (3, 384), (4, 384), (6, 384), (8, 384), (9, 384), (12, 384))  # layers and width
HEAD = {128: 64, 384: 32}  # width -> width of a head, as in BERT-tiny and MiniLM


def size_name(layers: int, hidden: int) -> str:
    return f"{layers} layers of {hidden}"


def save(folder: Path, layers: int, hidden: int) -> Path:
    """Write a folder with an int8 graph for onnxruntime."""
    config = BertConfig(  # type: ignore[call-arg]  # num_labels is among the arguments that transformers passes on
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // HEAD[hidden],
        intermediate_size=4 * hidden,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    encoder = find_folder(checkpoints.ENCODER, revision=None, local_files_only=True)
    copy_tokenizer(encoder, folder)
    inputs = read_base(encoder, max_length=checkpoints.MAX_LENGTH).inputs
    write_metadata(folder, activation="identity", inputs=inputs)
    failed = checkpoints.export(folder, "onnx", "int8", checkpoints.one_list(folder))
    if failed:
        raise RuntimeError(failed)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    request = workload("short", 1)[0]
    encoders = {
        size_name(*size): CrossEncoder(save(options.work / size_name(*size), *size), engine="onnx", precision="int8")
        for size in SIZES
    }
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    for encoder in encoders.values():
        encoder.rank(request["query"], request["documents"])
    for _ in range(options.rounds):
        for name, encoder in encoders.items():
            start = time.perf_counter()
            encoder.rank(request["query"], request["documents"])
            seconds[name].append(time.perf_counter() - start)
    medians = {name: round(1000 * statistics.median(values), 1) for name, values in seconds.items()}
    document = {
        "documents": len(request["documents"]),
        "rounds": options.rounds,
        "milliseconds": medians,
    }
    write_result(RESULT, document)
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
