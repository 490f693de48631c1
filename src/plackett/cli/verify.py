"""`plackett verify`."""

import json

import click

from plackett._extras import extra
from plackett.cli.console import show
from plackett.cli.options import COLUMNS
from plackett.cli.tables import painted
from plackett.data import Columns
from plackett.evaluation.probes import probes
from plackett.workflows import verify as verification


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--data", help="A BEIR folder, a file of lists, or nanobeir:NAME.  [default: built-in texts]")
@COLUMNS
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option(
    "--depth",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of candidates per query.",
)
@click.option(
    "--tolerance",
    default=1e-4,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Largest accepted difference between two logits.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all token ids.")
@click.pass_context
def verify(
    context: click.Context,
    a: str,
    b: str,
    data: str | None,
    columns: Columns,
    split: str,
    depth: int,
    tolerance: float,
    as_json: bool,
) -> None:
    """Compare the scores of A and B on the same pairs.

    A and B are checkpoints (the name default means the embedded model), exports or server addresses. @ENGINE:PRECISION
    after a checkpoint sets how it runs.

    The exit code is 1 if the logits differ, or if sentence-transformers or transformers would read one of the folders
    differently.

    \b
    plackett verify models/mine models/mine@onnx
    plackett verify models/mine http://localhost:8080 --data my-test.jsonl
    """
    if data is None:
        collection = probes()
    else:
        with extra("train"):
            from plackett.retrieval.sources import read_one
        collection = read_one(data, depth, split=split, columns=columns, show_progress=True)
    done = verification.verify(a, b, collection, depth=depth, tolerance=tolerance, show_progress=True)
    if as_json:
        click.echo(json.dumps(verification.figures(done)))
    else:
        show(painted(verification.report(done)))
    context.exit(0 if done.holds else 1)
