"""Makes the embedded model from data: lists with two teachers' labels, trainings, their mean, int8, calibration.

    make default-model      or:  PLACKETT_DATA=... python benchmarks/default_model.py WORK_FOLDER [--ship]

`recipes/default-start.yaml` learns to attend across two texts from the order that the teachers of default_lists.py give
to judged questions' candidates and to raw passages; `recipes/default.yaml` goes on with harder documents, where judged
answers, and what is like them, count for more. Each is run with three seeds from the same weights. The second begins at
the mean of the first's weights, and the model is the mean of that and of its own three. What is in WORK_FOLDER already
is not trained again; the model is WORK_FOLDER/plackett-default, and with --ship it goes into the package.
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from default_lists import TEACHER, Passages, Questions, Taught
from safetensors.numpy import load_file, save_file

from plackett import CrossEncoder, embedded, jobs
from plackett.calibrating import CalibrationSettings, calibrate
from plackett.card import write_card
from plackett.exporting import export
from plackett.facts import read_facts
from plackett.readers import read_lists
from plackett.recipes import read_recipe
from plackett.recording import usage
from plackett.sources import Sources
from plackett.thresholds import Target
from plackett.writers import write_lists

SEEDS = (0, 1, 2)
OF_SEEDS = (  # what the card says after the recipe's description, which ends with the stages
    " with three seeds each, the second from the mean of the first's weights; this model is the mean of that and of "
    "the second's three. The figures below are of the second stage with the last seed"
)
MAX_LENGTH = 256  # of the model that is shipped: on MEDIQA's development questions it loses nothing to 160, 512 does
NAME, BASE = "plackett-default", "sentence-transformers/all-MiniLM-L6-v2"
QUERY = "how many calories in an egg"
DOCUMENTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]
ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src" / "plackett" / embedded.NAME
NOTICE = "NOTICE"
WEIGHTS = "model.safetensors"
LISTS = "lists"  # the folder of the lists in a work folder


MSMARCO, WIKIQA = "msmarco_devsmall_bm25neg/train.jsonl.gz", "wikiqa/train.jsonl.gz"
CLIMATE = "climate_fever_lists/all.jsonl.gz"
STAGES: dict[str, dict[str, Questions | Passages]] = {
    "default-start": {
        "msmarco-start": Questions(MSMARCO, scale=20, bonus=4, own=20, similar=20, others=4),
        "wikiqa-start": Questions(WIKIQA, scale=20, bonus=5, own=30, similar=4, others=3),
        "climate-start": Questions(CLIMATE, scale=20, bonus=2, own=5, similar=4, others=3),
        "passages": Passages(MSMARCO, scale=20, lists=12000),
        "wikiqa-passages": Passages(WIKIQA, scale=20, lists=2000),
    },
    "default": {
        "msmarco": Questions(MSMARCO, scale=8, bonus=2, own=12, similar=12, answer=0.8),
        "wikiqa": Questions(WIKIQA, scale=6, bonus=7, own=20, similar=4, answer=0.5),
        "climate": Questions(CLIMATE, scale=7, bonus=2, own=5, similar=4, answer=0.8),
        "passages-answers": Passages(MSMARCO, scale=11, lists=12000, answer=0.8),
    },
}


@functools.cache
def taught(path: Path, work: Path) -> Taught:
    """Read once for all stages."""
    return Taught(list(read_lists(path)), work / "embeddings")


def make_lists(data: Path, work: Path, stage: str) -> None:
    """A file of lists for each source of a stage, the same for every seed."""
    for name, source in STAGES[stage].items():
        path = work / LISTS / f"{name}.jsonl"
        if not path.is_file():
            print(f"make {path}", flush=True)
            write_lists(path, taught(data / source.file, work).lists(source))


def train(data: Path, work: Path) -> Path:
    """All stages, each from the mean of the one before, which has a part in its own mean; the folder of the last."""
    model = None
    for stage in STAGES:
        trained = [train_stage(data, work, stage, model, seed) for seed in SEEDS]
        model = mean_of_weights([*filter(None, [model]), *trained], work / f"{stage}-mean")
    return model


def train_stage(data: Path, work: Path, stage: str, before: Path | None, seed: int) -> Path:
    model = work / f"{stage}-{seed}"
    if not model.is_dir():
        make_lists(data, work, stage)
        jobs.train(ROOT / "recipes" / f"{stage}.yaml", settings(work, stage, before, model, seed))
    return model


def mean_of_weights(models: Sequence[Path], target: Path) -> Path:
    """A checkpoint like the last one, with the mean of all weights (Wortsman et al. 2022, arXiv:2203.05482)."""
    weights = [load_file(model / WEIGHTS) for model in models]
    shutil.copytree(models[-1], target, dirs_exist_ok=True)
    mean = {name: np.mean([of_model[name] for of_model in weights], axis=0) for name in weights[0]}
    save_file(mean, target / WEIGHTS, metadata={"format": "pt"})
    return target


def settings(work: Path, stage: str, before: Path | None, model: Path, seed: int) -> list[str]:
    """What a stage's recipe is told beside what stands in it: its files."""
    recipe = read_recipe(ROOT / "recipes" / f"{stage}.yaml")
    files = {str(work / LISTS / name): share for name, share in recipe.train.items()}
    return [f"base={before or TEACHER}", f"train={json.dumps(files)}", f"output={model}", f"training.seed={seed}"]


def told(model: Path, target: Path) -> Path:
    """The model with the limit and the name that it is shipped with, and a card that holds no text of the data."""
    CrossEncoder(model, max_length=MAX_LENGTH).save_pretrained(target)
    known = read_facts(target)
    data = tuple(replace(item, samples=()) for item in known.training.data)
    write_card(
        target,
        replace(
            known,
            model=replace(known.model, name=NAME, base=BASE, max_length=MAX_LENGTH),
            training=replace(known.training, data=data, description=known.training.description + OF_SEEDS),
            usage=usage(CrossEncoder(target), QUERY, DOCUMENTS),
        ),
    )
    return target


def development(data: Path, work: Path) -> Path:
    """Judged lists that were not trained on, for the gate of int8 and for the calibration."""
    path = work / "development.jsonl"
    lists = [*read_lists(data / "wikiqa" / "dev.jsonl.gz")]
    lists += list(read_lists(data / "msmarco_devsmall_bm25neg" / "dev.jsonl.gz"))[:200]
    write_lists(path, lists)
    return path


def finish(model: Path, target: Path, data: Path, work: Path) -> None:
    """Export behind the gate, and calibrate."""
    lists = str(development(data, work))
    export(str(model), engine="onnx", precision="int8", output=target, calibration=lists)
    targets = (Target("recall", 0.9),)  # precision 0.9 is out of reach where most relevant documents were not judged
    calibrate(target, Sources(data=[lists]), CalibrationSettings(targets=targets))


def ship(model: Path) -> None:
    """Put the files into the package in place of those that are there, but for the notice, and sum all of them up."""
    notice = (SHIPPED / NOTICE).read_bytes()
    shutil.rmtree(SHIPPED)
    shutil.copytree(model, SHIPPED)
    (SHIPPED / NOTICE).write_bytes(notice)
    paths = sorted(path for path in SHIPPED.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(SHIPPED)}\n" for path in paths]
    (SHIPPED / embedded.SUMS).write_text("".join(sums))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", type=Path)
    parser.add_argument("--ship", action="store_true", help="put it into the package")
    options = parser.parse_args()
    data, work = Path(os.environ["PLACKETT_DATA"]), options.work
    work.mkdir(parents=True, exist_ok=True)
    made = work / NAME
    if not made.is_dir():
        finish(told(train(data, work), work / f"{NAME}-fp32"), made, data, work)
    if options.ship:
        ship(made)


if __name__ == "__main__":
    main()
