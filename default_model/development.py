"""Measure checkpoints and the bi-encoder on the development sets, which decide the embedded model.

    PLACKETT_DATA=... python -m default_model.development [NAME=]MODEL... --output default_model/results/NAME.json

The rows of other models in an existing result stay. Each model is also compared with the first of the call, query by
query.

Three sets contain judged questions: WikiQA dev, MS MARCO dev, and MEDIQA's training and development questions, none of
which is used for training. Two contain long queries from the same data, with about as many words as CISI's. The query
is either the beginning of a correct answer of MEDIQA or the first sentences of a Wikipedia article of WikiQA dev.
Relevant are the other correct answers, or the article's other sentences. One set has short queries: the subject words
of an article's first sentence, with the article's other sentences as relevant documents. The candidates of WikiQA and
MEDIQA are all documents of the question, in file order. The other sets have BM25's first 30.
"""

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks._common import write_result
from default_model.evaluate import BASE, by_cosine
from default_model.lists import QUERIES
from plackett import CrossEncoder
from plackett.bi_encoder import BiEncoder
from plackett.data import lists_as_collection, read_lists
from plackett.evaluation.measures import evaluate_per_query, means
from plackett.evaluation.significance import significance
from plackett.records import Collection, LabeledList, Qrel, ScoredDoc
from plackett.retrieval.bm25 import BM25
from plackett.retrieval.reranking import rerank

Row = Mapping[str, float]  # set -> mean
Gain = dict[str, Any]
DEPTH = 30
QUERY_WORDS = 65  # the median of CISI's queries
# Name -> measure.
MEASURES = {
    "WikiQA": "AP",
    "MS MARCO": "RR@10",
    "MEDIQA": "nDCG@10",
    "MEDIQA, answers": "nDCG@10",
    "WikiQA, articles": "nDCG@10",
    "WikiQA, subjects": "nDCG@10",
}


def collections(data: Path) -> Iterator[Collection]:
    """Yield the development sets, with the names of MEASURES."""
    wikiqa, msmarco = data / "wikiqa", data / "msmarco_devsmall_bm25neg"
    mediqa = [
        item
        for name in ("train_liveqa", "train_alexa", "dev")
        for item in read_lists(data / "mediqa2019" / f"{name}.jsonl.gz")
    ]
    yield lists_as_collection("WikiQA", read_lists(wikiqa / "dev.jsonl.gz"))
    yield _by_bm25(lists_as_collection("MS MARCO", read_lists(msmarco / "dev.jsonl.gz")))
    yield lists_as_collection("MEDIQA", mediqa)
    yield _by_bm25(_related("MEDIQA, answers", answers(mediqa)))
    sentences = list(read_lists(wikiqa / "dev_all.jsonl.gz"))
    for name in ("articles", "subjects"):
        made = ((item.query, list(item.documents), list[str]()) for item in QUERIES[name](sentences))
        yield _by_bm25(_related(f"WikiQA, {name}", made))


def answers(lists: Iterable[LabeledList]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield a long query, its relevant and its other documents, for each question with two correct answers."""
    for item in lists:
        correct = [text for text, label in zip(item.documents, item.labels, strict=True) if label > 0]
        if len(correct) > 1:
            query = " ".join(correct[0].split()[:QUERY_WORDS])
            yield query, correct[1:], [text for text in item.documents if text not in correct]


def _related(name: str, found: Iterable[tuple[str, list[str], list[str]]]) -> Collection:
    queries: dict[str, str] = {}
    corpus: dict[str, str] = {}
    qrels: list[Qrel] = []
    for query, relevant, others in found:
        query_id = f"q{len(queries)}"
        queries[query_id] = query
        corpus |= {text: text for text in (*relevant, *others)}
        qrels += [Qrel(query_id, text, 1) for text in dict.fromkeys(relevant)]
    return Collection(name, queries, corpus, qrels, [])


def _by_bm25(collection: Collection) -> Collection:
    """Add BM25's first candidates, scored by rank, which keeps the order of equal scores."""
    run = BM25(collection.corpus).run(collection.queries, depth=DEPTH)
    return replace(collection, run=[scored._replace(score=-float(place)) for place, scored in enumerate(run)])


def per_query(collection: Collection, run: Iterable[ScoredDoc]) -> dict[str, float]:
    """Return each query's value by the measure of its set."""
    name = MEASURES[collection.name]
    return dict(evaluate_per_query(run, collection.qrels, [name])[name])


def measure_all(models: Mapping[str, Path | str], path: Path, precision: str | None = None) -> dict[str, Row]:
    """Measure the first stage, the bi-encoder and each model, and write each result at once to `path`."""
    sets = list(collections(Path(os.environ["PLACKETT_DATA"])))
    teacher = BiEncoder(BASE)
    found = {
        "first stage": {item.name: per_query(item, item.run) for item in sets},
        "bi-encoder": {item.name: per_query(item, by_cosine(item, teacher)) for item in sets},
    }
    document = json.loads(path.read_text()) if path.is_file() else {}
    rows: dict[str, Row] = document.get("rows", {}) | {name: means(values) for name, values in found.items()}
    first = next(iter(models))
    gains: dict[str, Any] = {"over": first, "of": {}}
    if len(models) == 1:
        gains = document.get("gains", gains)
    for name, model in models.items():
        encoder = CrossEncoder(model, max_length=256, precision=precision)
        found[name] = {item.name: per_query(item, rerank(encoder, item, depth=DEPTH)) for item in sets}
        rows[name] = means(found[name])
        if name != first:
            gains["of"][name] = {item.name: gain(found[name][item.name], found[first][item.name]) for item in sets}
        write_result(path, {"rows": rows, "gains": gains})
        path.with_suffix(".md").write_text(table(rows) + "\n")
        print(path.with_suffix(".md").read_text(), flush=True)
    return rows


def gain(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Gain:
    """Compare two models on one set, query by query."""
    differences = [value - theirs[query] for query, value in ours.items()]
    found = significance(differences)
    return {"difference": fmean(differences), "ci95": found.ci95, "p": found.p_value, "queries": len(differences)}


def table(rows: Mapping[str, Row]) -> str:
    lines = ["| |" + "".join(f" {name} {measure} |" for name, measure in MEASURES.items()) + " mean |"]
    lines.append("|---|" + "---|" * (len(MEASURES) + 1))
    for name, values in rows.items():
        cells = [*values.values(), sum(values.values()) / len(values)]
        lines.append(f"| {name} |" + "".join(f" {value:.4f} |" for value in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+", metavar="[NAME=]MODEL")
    parser.add_argument("--precision", help="precision of the checkpoints, such as bf16")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    named = (model.rpartition("=") for model in options.models)
    measure_all({name or Path(model).name: model for name, _, model in named}, options.output, options.precision)


if __name__ == "__main__":
    main()
