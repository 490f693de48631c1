"""`plackett train`."""

from pathlib import Path

import click

from plackett._extras import extra
from plackett.cli.options import say


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a setting; dots for nesting.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint that an earlier run saved.")
def train(recipe: Path, overrides: tuple[str, ...], resume: bool) -> None:
    """Train a reranker as RECIPE (YAML) says.

    \b
    plackett train recipes/lists.yaml --set output=models/mine --set training.num_train_epochs=2
    """
    with extra("train"):
        from plackett.workflows.train import train as run
    output = run(recipe, overrides, resume=resume)
    click.echo(output)
    say(f"next: plackett rank QUERY DOCUMENT ... --model {output}")
