"""`plackett rerank`."""

from pathlib import Path

import click

from plackett._wording import counted
from plackett.cli.options import COLUMNS, FILE, MODEL, model_options, say
from plackett.cross_encoder import CrossEncoder
from plackett.data import Columns
from plackett.engines.loading import Options
from plackett.retrieval.reranking import rerank_file


@click.command()
@click.option("--run", required=True, type=FILE, help="First stage: a TREC run, with the lines of each query together.")
@click.option("--queries", required=True, type=FILE, help="Texts of the queries: .jsonl, .tsv or .parquet.")
@click.option("--corpus", required=True, type=FILE, help="Texts of the documents, in the same formats as --queries.")
@COLUMNS
@MODEL
@click.option("--output", required=True, type=FILE, help="TREC run to write.")
@click.option("--depth", type=click.IntRange(min=1), help="Number of candidates to rerank per query.  [default: all]")
@model_options
def rerank(
    run: Path,
    output: Path,
    queries: Path,
    corpus: Path,
    columns: Columns,
    model: str | None,
    depth: int | None,
    options: Options,
) -> None:
    """Rerank a TREC run and write another.

    If the command is killed or interrupted, run it again to continue.

    \b
    plackett rerank --run bm25.trec --queries queries.tsv --corpus corpus.jsonl --output reranked.trec
    plackett rerank --run bm25.trec --queries queries.tsv --corpus corpus.jsonl --model models/mine --output mine.trec
    """
    encoder = CrossEncoder.from_options(model, options)
    done = rerank_file(
        encoder, run, output, queries=queries, corpus=corpus, depth=depth, columns=columns, show_progress=True
    )
    click.echo(output)
    say(f"reranked: {counted(done.pairs, 'pair')} of {counted(done.queries, 'query')}")
    if done.done_before:
        say(f"continued after {counted(done.done_before, 'query')} of an earlier run")
