"""`plackett bulk`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett._wording import counted
from plackett.cli.options import COLUMNS, FILE, MODEL, model_options, say
from plackett.data import Columns
from plackett.engines.loading import Options


@click.command()
@click.option(
    "--input", "source", required=True, type=FILE, help="Parquet, a folder of Parquet, JSON lines, CSV, or a run."
)
@click.option(
    "--output", required=True, type=FILE, help="Folder for Parquet parts; if the input is a run, the run to write."
)
@click.option("--queries", type=FILE, help="Texts of the queries, if the input contains ids.")
@click.option("--corpus", type=FILE, help="Texts of the documents, if the input contains ids.")
@COLUMNS
@MODEL
@click.option("--activation", help="identity, sigmoid, tanh or calibrated.  [default: the checkpoint's own]")
@click.option("--depth", type=click.IntRange(min=1), help="Candidates of a run to rerank per query.  [default: all]")
@click.option("--rows", type=click.IntRange(min=1), default=20_000, show_default=True, help="Rows per part.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    help="Number of actors; each uses its share of the cores.  [default: 1 per machine]",
)
@click.option("--num-gpus", type=click.FloatRange(min=0), default=0, help="GPUs per actor.  [default: 0]")
@click.option("--address", help="Ray cluster: auto, or HOST:PORT.  [default: this machine only]")
@model_options
@click.option("--resume", is_flag=True, help="Accept an output that is already complete.")
@click.option("--overwrite", is_flag=True, help="Replace an output of an earlier bulk job.")
def bulk(
    source: Path,
    output: Path,
    queries: Path | None,
    corpus: Path | None,
    columns: Columns,
    model: str | None,
    activation: str | None,
    depth: int | None,
    rows: int,
    concurrency: int | None,
    num_gpus: float,
    address: str | None,
    options: Options,
    resume: bool,
    overwrite: bool,
) -> None:
    """Score pairs or rerank a run on Ray Data.

    The input may be larger than memory. If the command is killed or interrupted, run it again to continue.

    \b
    plackett bulk --input pairs.parquet --output scored
    plackett bulk --input bm25.trec --queries queries.tsv --corpus corpus.parquet --output reranked.trec --depth 100
    """
    with extra("bulk"):
        from plackett.bulk.run import Bulk, bulk
    job = Bulk(
        source,
        output,
        model,
        queries=queries,
        corpus=corpus,
        columns=columns,
        depth=depth,
        rows=rows,
        concurrency=concurrency,
        num_gpus=num_gpus,
        address=address,
        activation=activation,
        long_documents=options.long_documents.policy,
        **{name: getattr(options, name) for name in ("instruction", "positive_label", "trust_remote_code")},
        resume=resume,
        overwrite=overwrite,
    )
    done = bulk(job, show_progress=True)
    click.echo(output)
    say(f"pairs: {done.pairs:,}; blank texts, with the lowest score: {done.blank:,}")
    if done.done_before:
        say(f"continued after {counted(done.done_before, 'pair')} of an earlier run")
