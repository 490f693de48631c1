"""`plackett info`."""

import dataclasses
import json

import click

from plackett.workflows.info import read_info, render


@click.command()
@click.argument("checkpoint", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(checkpoint: str | None, as_json: bool) -> None:
    """Show the machine, its engines and a CHECKPOINT.

    The name default means the embedded model.

    \b
    plackett info
    plackett info default
    plackett info models/mine --json
    """
    found = read_info(checkpoint)
    click.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2) if as_json else render(found))
