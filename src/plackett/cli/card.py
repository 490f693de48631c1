"""`plackett card`."""

from pathlib import Path

import click

from plackett._extras import extra


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
def card(checkpoint: Path) -> None:
    """Render the model card of CHECKPOINT again.

    The facts come from its plackett.json.
    """
    with extra("train"):
        from plackett.workflows.card import card as write
    click.echo(write(checkpoint))
