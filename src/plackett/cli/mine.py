"""`plackett mine`."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from plackett._extras import extra
from plackett.cli.options import COLUMNS, first_stage_options, model_options, say
from plackett.cross_encoder import CrossEncoder
from plackett.data import Columns
from plackett.engines.loading import Options

if TYPE_CHECKING:
    from plackett.retrieval.first_stage import FirstStageSettings


class Settings(TypedDict):
    """The options that are fields of MiningSettings."""

    depth: int
    negatives: int
    min_rank: int
    max_rank: int | None
    margin: float | None
    relative_margin: float | None
    teacher_labels: bool
    draw: str
    seed: int


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File of lists to write (.jsonl).")
@click.option("--split", default="train", show_default=True, help="Qrels of the BEIR folder to use.")
@COLUMNS
@first_stage_options
@click.option("--depth", default=100, show_default=True, help="Documents to retrieve per query.")
@click.option("--teacher", help="Checkpoint that scores positives and candidates: a folder or a Hub id.")
@model_options
@click.option("--negatives", default=15, show_default=True, help="Maximum number of negatives per list.")
@click.option("--min-rank", default=1, show_default=True, help="First rank of the first stage to take negatives from.")
@click.option("--max-rank", type=int, help="Last rank to take negatives from.  [default: --depth]")
@click.option(
    "--margin",
    type=float,
    help="Drop candidates whose teacher score is within this margin of the lowest-scoring positive (logits).",
)
@click.option(
    "--relative-margin", type=float, help="Like --margin, as a share of the positive's probability, such as 0.05."
)
@click.option("--teacher-labels", is_flag=True, help="Label with the teacher's scores instead of relevance grades.")
@click.option("--draw", default="hardest", show_default=True, help="Negatives to keep: hardest or random.")
@click.option("--seed", default=0, show_default=True, help="Seed for --draw random.")
def mine(
    data: Path,
    output: Path,
    split: str,
    columns: Columns,
    first_stage: "FirstStageSettings | None",
    teacher: str | None,
    options: Options,
    **settings: Unpack["Settings"],
) -> None:
    """Mine training lists with hard negatives.

    DATA is a BEIR folder or a file of lists.
    A first stage finds the candidates; a teacher can order them and drop false negatives. If the command is killed or
    interrupted, run it again to continue.

    \b
    plackett mine my-corpus --output lists.jsonl --teacher models/teacher --margin 1 --min-rank 5
    plackett mine my-corpus --output lists.jsonl --first-stage bi_encoder:models/embedder
    """
    with extra("evaluate"):
        from plackett.retrieval.first_stage import BY_BM25
        from plackett.retrieval.hard_negatives import MiningSettings
        from plackett.retrieval.hard_negatives import mine as run
    mined = run(
        data,
        output,
        MiningSettings(**settings),
        split=split,
        columns=columns,
        first_stage=first_stage or BY_BM25,
        teacher=CrossEncoder.from_options(teacher, options) if teacher else None,
        show_progress=True,
    )
    click.echo(output)
    say(str(mined))
