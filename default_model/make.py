"""Makes the embedded model from data: lists with teachers' labels, two trainings, int8, calibration.

    make default-model      or:  PLACKETT_DATA=... python -m default_model.make WORK_FOLDER [--seed 0] [--ship]

`recipes/default-start.yaml` teaches the model to attend across two texts: it learns the order in which the teachers of
lists.py put judged questions' candidates and raw passages. `recipes/default.yaml` continues with harder documents and
gives more weight to judged answers and to documents like them. Stages already in WORK_FOLDER are not trained again. The
model is WORK_FOLDER/plackett-default-SEED; --ship copies it into the package.
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

from default_model.lists import TEACHER, Passages, Questions, Taught
from plackett import CrossEncoder
from plackett.calibration.thresholds import Target
from plackett.checkpoints import bundled as embedded
from plackett.data import read_lists, write_lists
from plackett.publishing.card import write_card
from plackett.publishing.collect import usage
from plackett.publishing.storage import read_facts
from plackett.retrieval.sources import Sources
from plackett.training.recipe import read_recipe
from plackett.workflows.calibrate import CalibrationSettings, calibrate
from plackett.workflows.export import export
from plackett.workflows.train import train as run_recipe

MAX_LENGTH = 256  # of the model that is shipped: on MEDIQA's development questions it loses nothing to 160, 512 does
NAME, BASE = "plackett-default", "sentence-transformers/all-MiniLM-L6-v2"
QUERY = "how many calories in an egg"
DOCUMENTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]
ROOT = Path(__file__).parents[1]
RECIPES = Path(__file__).parent / "recipes"
SHIPPED = ROOT / "src" / "plackett" / embedded.NAME
NOTICE = "NOTICE"
LISTS = "lists"  # the folder of the lists in a work folder


MSMARCO, WIKIQA = "msmarco_devsmall_bm25neg/train.jsonl.gz", "wikiqa/train.jsonl.gz"
CLIMATE = "climate_fever_lists/all.jsonl.gz"
PASSAGES = Passages(MSMARCO, scale=20, lists=12000)  # of both stages
STAGES: dict[str, dict[str, Questions | Passages]] = {
    "default-start": {
        "msmarco-start": Questions(MSMARCO, scale=12, bonus=3, own=20, similar=20, others=4),
        "wikiqa-start": Questions(WIKIQA, scale=12, bonus=5, own=30, similar=4, others=3),
        "climate-start": Questions(CLIMATE, scale=12, bonus=2, own=5, similar=4, others=3),
        "passages": PASSAGES,
        "wikiqa-passages": Passages(WIKIQA, scale=20, lists=2000),
    },
    "default": {
        "msmarco": Questions(MSMARCO, scale=6, bonus=2, own=12, similar=12, answer=0.8),
        "wikiqa": Questions(WIKIQA, scale=5, bonus=7, own=20, similar=4, answer=0.5),
        "climate": Questions(CLIMATE, scale=5, bonus=2, own=5, similar=4, answer=0.8),
        "passages": PASSAGES,
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


def train(data: Path, work: Path, seed: int) -> Path:
    """All stages, each from the one before; the folder of the last."""
    first, *others = STAGES
    model = train_stage(data, work, first, None, seed)
    for stage in others:
        model = train_stage(data, work, stage, model, seed)
    return model


def train_stage(data: Path, work: Path, stage: str, before: Path | None, seed: int) -> Path:
    model = work / f"{stage}-{seed}"
    if not model.is_dir():
        make_lists(data, work, stage)
        run_recipe(RECIPES / f"{stage}.yaml", settings(work, stage, before, model, seed))
    return model


def settings(work: Path, stage: str, before: Path | None, model: Path, seed: int) -> list[str]:
    """What a stage's recipe is told beside what stands in it: its files."""
    recipe = read_recipe(RECIPES / f"{stage}.yaml")
    files = {str(work / LISTS / name): share for name, share in recipe.train.items()}
    return [f"base={before or TEACHER}", f"train={json.dumps(files)}", f"output={model}", f"training.seed={seed}"]


def told(model: Path, target: Path) -> Path:
    """The model with the limit and the name that it is shipped with, and a card that holds no text of the data."""
    CrossEncoder(model, max_length=MAX_LENGTH).save_pretrained(target)
    known = read_facts(target)
    if known.training is None:
        raise ValueError(f"{model} has no facts of a training")
    data = tuple(replace(item, samples=()) for item in known.training.data)
    write_card(
        target,
        replace(
            known,
            model=replace(known.model, name=NAME, base=BASE, max_length=MAX_LENGTH),
            training=replace(known.training, data=data),
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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ship", action="store_true", help="put it into the package")
    options = parser.parse_args()
    data, work = Path(os.environ["PLACKETT_DATA"]), options.work
    work.mkdir(parents=True, exist_ok=True)
    made = work / f"{NAME}-{options.seed}"
    if not made.is_dir():
        trained = train(data, work, options.seed)
        finish(told(trained, work / f"{made.name}-fp32"), made, data, work)
    if options.ship:
        ship(made)


if __name__ == "__main__":
    main()
