"""`plackett calibrate`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett.calibration.thresholds import Target
from plackett.cli.options import COLUMNS, FILE, say
from plackett.cli.running import begins_again
from plackett.data import Columns


@click.command()
@click.argument("checkpoint", type=FILE)
@click.option("--data", required=True, multiple=True, help="A file of lists, a BEIR folder, or nanobeir:msmarco,nq.")
@COLUMNS
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option("--depth", default=100, show_default=True, type=click.IntRange(min=1), help="Candidates used per query.")
@click.option("--relevant-from", default=1, show_default=True, help="Lowest label that counts as relevant.")
@click.option("--folds", default=5, show_default=True, help="Folds of queries, each held out in turn.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed for drawing the folds.")
@click.option(
    "--precision-target",
    "precisions",
    type=float,
    multiple=True,
    help="Recommend a threshold that reaches this precision (repeatable).",
)
@click.option(
    "--recall-target",
    "recalls",
    type=float,
    multiple=True,
    help="Recommend a threshold that reaches this recall (repeatable).",
)
def calibrate(
    checkpoint: Path,
    data: tuple[str, ...],
    columns: Columns,
    split: str,
    depth: int,
    relevant_from: int,
    folds: int,
    seed: int,
    precisions: tuple[float, ...],
    recalls: tuple[float, ...],
) -> None:
    """Fit probabilities to the scores of CHECKPOINT.

    The data are judged candidates. The calibration is stored in the checkpoint.

    Compares temperature, Platt and isotonic scaling on held-out queries and keeps the best. Recommends thresholds for a
    precision and a recall of 0.9 by default.

    \b
    plackett calibrate models/mine --data my-dev.jsonl --precision-target 0.8
    plackett rank QUERY DOCUMENT ... --model models/mine --activation calibrated --min-score 0.35
    """
    with extra("train"):
        from plackett.calibration.report import table
        from plackett.retrieval.sources import Sources
        from plackett.workflows.calibrate import CalibrationSettings
        from plackett.workflows.calibrate import calibrate as run
    if not precisions and not recalls:
        precisions, recalls = (0.9,), (0.9,)
    by_measure = {"precision": precisions, "recall": recalls}
    targets = tuple(Target(measure, value) for measure, values in by_measure.items() for value in values)
    how = CalibrationSettings(depth=depth, relevant_from=relevant_from, folds=folds, seed=seed, targets=targets)
    with begins_again():
        found = run(checkpoint, Sources(data=data, split=split, columns=columns), how)
    click.echo(table(found))

    threshold = found.recommended
    bound = f" --min-score {threshold.value:g}" if threshold and threshold.reached else ""
    say(f"next: plackett rank QUERY DOCUMENT ... --model {checkpoint} --activation calibrated{bound}")
