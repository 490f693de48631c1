"""`plackett calibrate`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett.calibration.thresholds import Target
from plackett.cli.options import COLUMNS, FILE, say
from plackett.data import Columns


@click.command()
@click.argument("checkpoint", type=FILE)
@click.option("--data", required=True, multiple=True, help="A file of lists, a BEIR folder, or nanobeir:msmarco,nq.")
@COLUMNS
@click.option("--split", default="test", show_default=True, help="The qrels of a BEIR folder.")
@click.option(
    "--depth", default=100, show_default=True, type=click.IntRange(min=1), help="Candidates taken of each query."
)
@click.option("--relevant-from", default=1, show_default=True, help="Labels from here on are relevant.")
@click.option("--folds", default=5, show_default=True, help="Parts of the queries, each held out in turn.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Draws the folds.")
@click.option("--precision-target", "precisions", type=float, multiple=True, help="Recommend a threshold for this one.")
@click.option("--recall-target", "recalls", type=float, multiple=True, help="The same for a recall.")
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
    """Fit what turns the raw scores of CHECKPOINT into probabilities, from judged candidates, and store it there.

    Temperature, Platt's and isotonic scaling are compared on held-out queries, and the best is kept. Thresholds are
    recommended for a precision and a recall of 0.9, unless others are wanted.

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
    wanted = {"precision": precisions, "recall": recalls}
    targets = tuple(Target(measure, value) for measure, values in wanted.items() for value in values)
    how = CalibrationSettings(depth=depth, relevant_from=relevant_from, folds=folds, seed=seed, targets=targets)
    found = run(checkpoint, Sources(data=data, split=split, columns=columns), how)
    click.echo(table(found))
    bound = next((f" --min-score {item.value:g}" for item in found.thresholds if item.value is not None), "")
    say(f"next: plackett rank QUERY DOCUMENT ... --model {checkpoint} --activation calibrated{bound}")
