"""`plackett demo`."""

from pathlib import Path

import click

from plackett.cli.running import begins_again
from plackett.workflows.demo import tour


@click.command()
@click.option("--base", help="Encoder to start from: a folder or a Hub id.  [default: all-MiniLM-L6-v2 from PyPI]")
@click.option(
    "--output", default="plackett-demo", show_default=True, type=click.Path(path_type=Path), help="Folder to write."
)
@click.option("--seed", default=0, show_default=True, help="Seed for the held-out modules and everything else.")
def demo(base: str | None, output: Path, seed: int) -> None:
    """Rank, train and measure on Python's documentation.

    The documentation is part of every Python installation. The embedded model ranks it. With the extra train, the demo
    also trains a reranker on it, measures the reranker on held-out modules, writes it to a folder, and uses it.
    """
    with begins_again("the files written so far are not needed"):
        tour.run(base, output, seed)
