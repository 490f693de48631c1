"""Options that several commands share, and what they print with."""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)
LONG = click.option(
    "--long-documents",
    default="longest_first",
    show_default=True,
    help="What becomes of pairs that are too long: longest_first, truncate, error or windows.",
)
MODEL = click.option("--model", help="A checkpoint: a folder or a hub id.  [default: the one that comes with Plackett]")


def say(message: str) -> None:
    """Print to standard error: hints and progress, which are no result."""
    click.echo(message, err=True)
