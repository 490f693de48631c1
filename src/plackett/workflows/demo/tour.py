"""The demo: first the embedded model ranks this machine's documentation, then training."""

import re
from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path
from time import perf_counter

import click

from plackett._extras import require
from plackett._files import output_folder
from plackett.cross_encoder import CrossEncoder
from plackett.errors import MissingExtraError
from plackett.workflows.demo.pydocs import QUESTION, read_objects

CANDIDATES, SHOWN = 50, 5
WRITTEN = {"documents.txt", "model", "model-training", "recipe.yaml", "test", "train.jsonl"}


def run(base: str | None, output: Path, seed: int) -> None:
    """Rank with the embedded model; with the extra `train`, also train, measure and use another model."""
    check_output(output)
    rank_documentation()
    try:
        demo = require("plackett.workflows.demo.training", extra="train")
    except MissingExtraError:
        click.echo(
            "\nTo train your own on this documentation: pip install 'plackett[train]', then `plackett demo` again."
        )
        return
    click.echo("\nNow train your own reranker on this documentation (about 10 minutes on 2 cores):\n")
    demo.run(base, output, seed)


def check_output(output: Path) -> None:
    """Raise CheckpointError if the demo would overwrite files that it did not write."""

    def foreign(folder: Path) -> list[str]:
        names = {path.name for path in folder.iterdir()}
        return sorted(names - WRITTEN if "recipe.yaml" in names else names)

    output_folder(output, foreign)


def rank_documentation() -> None:
    """Answer one question from Python's documentation, without network, training or torch."""
    documents = [item.document for item in read_objects()]
    candidates = first_stage(QUESTION, documents, CANDIDATES)
    start = perf_counter()
    ranked = CrossEncoder().rank(QUESTION, candidates, top_k=SHOWN, return_documents=True)
    seconds = perf_counter() - start
    click.echo(
        f"The embedded model on Python's documentation: of {len(documents)} objects, it ranked the "
        f"{CANDIDATES} that share the rarest words with the question in {seconds:.1f} s, loading included.\n\n"
        f"{QUESTION}?"
    )
    for item in ranked:
        click.echo(f"  {item['score']:.3f}  {item['text'][:100]}  (was {item['corpus_id'] + 1})")
    click.echo(f"\nThe same with your own texts:\n  plackett rank {QUESTION!r} --documents FILE --top-k {SHOWN}")


def first_stage(question: str, documents: Sequence[str], depth: int) -> list[str]:
    """Return the documents that share the rarest words with the question, because BM25 needs the extra `train`."""
    words = [_words(document) for document in documents]
    frequency = Counter(word for of_document in words for word in of_document)
    wanted = _words(question)
    shared = [sum(log(len(documents) / frequency[word]) for word in wanted & of_document) for of_document in words]
    best = sorted(range(len(documents)), key=lambda index: -shared[index])
    return [documents[index] for index in best[:depth]]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
