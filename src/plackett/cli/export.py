"""`plackett export`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett.cli.options import COLUMNS, FILE, say
from plackett.cli.running import begins_again
from plackett.data import Columns


@click.command()
@click.argument("checkpoint")
@click.option("--engine", required=True, help="onnx or openvino.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, bf16 (openvino) or int8.")
@click.option(
    "--output", type=FILE, help="Folder to write the export to, without torch weights.  [default: CHECKPOINT]"
)
@click.option("--calibration", help="Judged lists on which the ranking is measured; int8 needs them.")
@COLUMNS
@click.option("--accept-loss", is_flag=True, help="Write the export even if it loses more than 0.005 nDCG@10.")
def export(
    checkpoint: str,
    engine: str,
    precision: str,
    output: Path | None,
    calibration: str | None,
    columns: Columns,
    accept_loss: bool,
) -> None:
    """Export CHECKPOINT for an engine that runs without torch.

    The graph is compared with torch before it is kept.

    \b
    plackett export models/mine --engine onnx
    plackett export models/mine --engine openvino --output models/mine-openvino
    plackett export models/mine --engine onnx --precision int8 --calibration my-test.jsonl
    """
    with extra("export"):
        from plackett.workflows.export import export as run
    with begins_again():
        made = run(
            checkpoint,
            engine=engine,
            precision=precision,
            output=output,
            calibration=calibration,
            columns=columns,
            accept_loss=accept_loss,
        )
    click.echo(made.folder / made.facts.file)
    say(f"{made.facts.bytes / 1e6:.1f} MB, logits within {made.facts.max_difference:.1e} of torch's")
    for name, (of_torch, own) in made.facts.measures.items():
        say(f"{name} {own:.4f}, torch {of_torch:.4f}")
