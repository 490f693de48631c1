"""`plackett demo`."""

from pathlib import Path

import click

from plackett.workflows.demo import tour


@click.command()
@click.option("--base", help="The encoder to start from: a folder or a hub id.  [default: all-MiniLM-L6-v2 from PyPI]")
@click.option(
    "--output", default="plackett-demo", show_default=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--seed", default=0, show_default=True, help="Draws the modules that are held out, and everything else.")
def demo(base: str | None, output: Path, seed: int) -> None:
    """Everything on this machine's own data: Python's documentation.

    Ranks it with the model that comes with Plackett. Then, with the extra train, trains a reranker on it, measures it
    on modules that were held out, writes it to a folder, and uses it.
    """
    tour.run(base, output, seed)
