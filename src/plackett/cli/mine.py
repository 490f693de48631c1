"""`plackett mine`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett.cli.options import say
from plackett.cross_encoder import CrossEncoder


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The file of lists to write (.jsonl).")
@click.option("--split", default="train", show_default=True, help="The qrels of a BEIR folder.")
@click.option("--teacher", help="A checkpoint that scores positives and candidates: a folder or a hub id.")
@click.option("--depth", default=100, show_default=True, help="Documents that BM25 finds for a query.")
@click.option("--negatives", default=15, show_default=True, help="Negatives of a list, at most.")
@click.option("--min-rank", default=1, show_default=True, help="First of BM25's ranks to take.")
@click.option("--max-rank", type=int, help="Last of BM25's ranks to take.  [default: --depth]")
@click.option("--margin", type=float, help="Drop what the teacher's logit puts less than so far below a positive.")
@click.option("--relative-margin", type=float, help="The same as a share of the positive's probability, such as 0.05.")
@click.option("--teacher-labels", is_flag=True, help="Label with the teacher's scores, in place of relevance grades.")
@click.option("--draw", default="hardest", show_default=True, help="Negatives to keep: hardest or random.")
@click.option("--seed", default=0, show_default=True, help="Of the random draw.")
def mine(
    data: Path,
    output: Path,
    split: str,
    teacher: str | None,
    depth: int,
    negatives: int,
    min_rank: int,
    max_rank: int | None,
    margin: float | None,
    relative_margin: float | None,
    teacher_labels: bool,
    draw: str,
    seed: int,
) -> None:
    """Mine lists with hard negatives from the BEIR folder DATA, by BM25 and maybe a teacher.

    Killed or interrupted, the same command goes on where it stopped.

    \b
    plackett mine my-corpus --output lists.jsonl --teacher models/teacher --margin 1 --min-rank 5
    """
    with extra("train"):
        from plackett.retrieval.hard_negatives import MiningSettings
        from plackett.retrieval.hard_negatives import mine as run
    how = MiningSettings(
        depth=depth,
        negatives=negatives,
        min_rank=min_rank,
        max_rank=max_rank,
        margin=margin,
        relative_margin=relative_margin,
        teacher_labels=teacher_labels,
        draw=draw,
        seed=seed,
    )
    encoder = CrossEncoder(teacher) if teacher else None
    mined = run(data, output, how, split=split, teacher=encoder, show_progress=True)
    click.echo(output)
    say(str(mined))
