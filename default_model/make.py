"""Make the embedded model from data: lists with teachers' labels, two trainings, their mixture, int8, calibration.

    make default-model      or:  PLACKETT_DATA=... python -m default_model.make WORK_FOLDER [--seed 0] [--ship]

Both recipes start from the published reranker's weights (published_start.py). `recipes/default-judged.yaml` learns from
judgements, and `recipes/default-order.yaml` from the order of teachers. The embedded model is the start plus a share of
each change of the weights (SHARES). Existing results in WORK_FOLDER are reused. The model is
WORK_FOLDER/plackett-default-SEED; --ship copies it into the package.
"""

import argparse
import functools
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from default_model import published_start
from default_model.interpolate import interpolate
from default_model.lists import Passages, Questions, Taught
from plackett import CrossEncoder
from plackett.calibration.thresholds import Target
from plackett.checkpoints import bundled as embedded
from plackett.data import read_lists, write_lists
from plackett.facts import Facts
from plackett.publishing.card import write_card
from plackett.publishing.collect import usage
from plackett.publishing.storage import read_facts
from plackett.retrieval.sources import Sources
from plackett.training.recipe import read_recipe
from plackett.workflows.calibrate import CalibrationSettings, calibrate
from plackett.workflows.export import export
from plackett.workflows.train import train as run_recipe

MAX_LENGTH = 256  # of the shipped model; on MEDIQA's development questions no worse than 160, whereas 512 is
NAME, BASE = "plackett-default", "cross-encoder/ms-marco-MiniLM-L12-v2"
QUERY = "how many calories in an egg"
DOCUMENTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]
ROOT = Path(__file__).parents[1]
RECIPES = Path(__file__).parent / "recipes"
SHIPPED = ROOT / "src" / "plackett" / embedded.NAME
NOTICE = "NOTICE"
LISTS, START = "lists", "start"  # folders in the work folder


MSMARCO, WIKIQA = "msmarco_devsmall_bm25neg/train.jsonl.gz", "wikiqa/train.jsonl.gz"
CLIMATE = "climate_fever_lists/all.jsonl.gz"
SHARES = {"default-judged": 0.5, "default-order": 0.5}  # share of each recipe's change of the weights
READ = {MSMARCO: 400, CLIMATE: 300}  # number of lists to read, for files that are not read whole
SOURCES: dict[str, Questions | Passages] = {
    "msmarco": Questions(MSMARCO, reranker=1, scale=10, bonus=2, own=8, similar=3),
    "wikiqa": Questions(WIKIQA, scale=0, bonus=16, own=20, similar=3),
    "climate": Questions(CLIMATE, scale=0, bonus=6, own=5, similar=3),
    "passages": Passages(MSMARCO, scale=20, lists=1000),
    "articles": Questions(WIKIQA, scale=20, bonus=2, own=0, similar=12, queries="articles", lists=400),
    "subjects": Questions(WIKIQA, scale=20, bonus=2, own=0, similar=12, queries="subjects", lists=300),
}


@functools.cache
def taught(path: Path, work: Path, count: int | None) -> Taught:
    """Read the first `count` lists of a file, once for all sources."""
    reranker = CrossEncoder(work / START, max_length=MAX_LENGTH)
    return Taught(list(itertools.islice(read_lists(path), count)), work / "embeddings", reranker)


def make_lists(data: Path, work: Path, names: Iterable[str]) -> None:
    """Write a file of lists for each source, the same for every seed."""
    for name in names:
        path, source = work / LISTS / f"{name}.jsonl", SOURCES[name]
        if not path.is_file():
            print(f"make {path}", flush=True)
            write_lists(path, taught(data / source.file, work, READ.get(source.file)).lists(source))


def train(data: Path, work: Path, seed: int) -> Path:
    """Train with both recipes, mix the weights, and return the folder of the mixture."""
    start = published_start.checkpoint(work / START)
    trained = {train_recipe(data, work, recipe, seed): share for recipe, share in SHARES.items()}
    mixed = interpolate(start, trained, work / f"mixed-{seed}")
    return told(mixed, work / f"{NAME}-{seed}-fp32", [read_facts(folder) for folder in trained])


def train_recipe(data: Path, work: Path, name: str, seed: int) -> Path:
    model = work / f"{name}-{seed}"
    if not model.is_dir():
        shares = read_recipe(RECIPES / f"{name}.yaml").train
        make_lists(data, work, (Path(file).stem for file in shares))
        files = {str(work / LISTS / file): share for file, share in shares.items()}
        settings = [f"base={work / START}", f"train={json.dumps(files)}", f"output={model}", f"training.seed={seed}"]
        run_recipe(RECIPES / f"{name}.yaml", settings)
    return model


def told(model: Path, target: Path, trainings: Sequence[Facts]) -> Path:
    """Save the model with its shipped limit and name, and a card without texts of the data."""
    CrossEncoder(model, max_length=MAX_LENGTH).save_pretrained(target)
    known = [facts.training for facts in trainings if facts.training]
    data = tuple(replace(item, samples=()) for training in known for item in training.data)
    shown = usage(CrossEncoder(target), QUERY, DOCUMENTS)
    facts = read_facts(target)
    named = replace(facts.model, name=NAME, base=BASE, max_length=MAX_LENGTH)
    write_card(target, replace(facts, model=named, training=replace(known[0], data=data), usage=shown))
    return target


def development(data: Path, work: Path) -> Path:
    """Write judged lists that are not trained on, for the gate of int8 and for the calibration."""
    path = work / "development.jsonl"
    lists = [*read_lists(data / "wikiqa" / "dev.jsonl.gz")]
    lists += list(read_lists(data / "msmarco_devsmall_bm25neg" / "dev.jsonl.gz"))[:80]
    write_lists(path, lists)
    return path


def finish(model: Path, target: Path, data: Path, work: Path) -> None:
    """Export behind the gate, and calibrate."""
    lists = str(development(data, work))
    export(str(model), engine="onnx", precision="int8", output=target, calibration=lists)
    targets = (Target("recall", 0.9),)  # precision 0.9 is out of reach because most relevant documents are not judged
    calibrate(target, Sources(data=[lists]), CalibrationSettings(targets=targets))


def ship(model: Path) -> None:
    """Replace the files in the package, except the notice, and write their checksums."""
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
    parser.add_argument("--ship", action="store_true", help="copy the model into the package")
    options = parser.parse_args()
    data, work = Path(os.environ["PLACKETT_DATA"]), options.work
    work.mkdir(parents=True, exist_ok=True)
    made = work / f"{NAME}-{options.seed}"
    if not made.is_dir():
        finish(train(data, work, options.seed), made, data, work)
    if options.ship:
        ship(made)


if __name__ == "__main__":
    main()
