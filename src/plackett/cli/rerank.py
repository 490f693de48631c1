"""`plackett rerank`."""

from pathlib import Path

import click

from plackett.cli.options import FILE, LONG, MODEL, say
from plackett.cross_encoder import CrossEncoder
from plackett.retrieval.reranking import rerank_file


@click.command()
@click.option("--run", required=True, type=FILE, help="The first stage: a TREC run, its lines query by query.")
@click.option("--queries", required=True, type=FILE, help="Texts of the queries: .jsonl, .tsv or .parquet.")
@click.option("--corpus", required=True, type=FILE, help="Texts of the documents, as --queries.")
@MODEL
@click.option("--output", required=True, type=FILE, help="The TREC run to write.")
@click.option("--depth", type=click.IntRange(min=1), help="Rerank the first so many of each query.  [default: all]")
@LONG
def rerank(
    run: Path, output: Path, queries: Path, corpus: Path, model: str | None, depth: int | None, long_documents: str
) -> None:
    """Rerank a TREC run into another.

    Killed or interrupted, the same command goes on where it stopped.

    \b
    plackett rerank --run bm25.trec --queries queries.tsv --corpus corpus.jsonl --output reranked.trec
    plackett rerank --run bm25.trec --queries queries.tsv --corpus corpus.jsonl --model models/mine --output mine.trec
    """
    encoder = CrossEncoder(model, long_documents=long_documents)
    done = rerank_file(encoder, run, output, queries=queries, corpus=corpus, depth=depth, show_progress=True)
    click.echo(output)
    say(f"reranked: {done.pairs} pairs of {done.queries} queries")
    if done.done_before:
        say(f"went on after {done.done_before} queries that were reranked before")
