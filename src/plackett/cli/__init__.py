"""The `plackett` command: one file for each subcommand.

Commands parse and call; results go to standard output, everything else to standard error.
"""

import logging
import os
import sys

import click

from plackett import __version__
from plackett.cli.calibrate import calibrate
from plackett.cli.card import card
from plackett.cli.demo import demo
from plackett.cli.evaluate import evaluate
from plackett.cli.export import export
from plackett.cli.info import info
from plackett.cli.mine import mine
from plackett.cli.options import say
from plackett.cli.publish import publish
from plackett.cli.rank import rank
from plackett.cli.rerank import rerank
from plackett.cli.train import train
from plackett.cli.verify import verify
from plackett.errors import PlackettError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="plackett")
def commands() -> None:
    """Train, evaluate, publish and use listwise cross-encoder rerankers."""


for command in (train, evaluate, rerank, card, publish, export, mine, calibrate, verify, rank, info, demo):
    commands.add_command(command)


def main() -> None:
    """Run the command line: exit code 2 and one line for a user's mistake."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # the hub's client reports transfers otherwise
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        sys.exit(commands(prog_name="plackett", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except PlackettError as error:
        say(f"plackett: {_one_line(error)}")
        sys.exit(2)
    except click.Abort as error:  # click's name for Ctrl-C, which is its cause
        say(f"plackett: interrupted{_one_line(error.__cause__)}")
        sys.exit(130)


def _one_line(error: BaseException | None) -> str:
    """Return the message of an error with its notes."""
    parts = [str(error), *getattr(error, "__notes__", [])]
    return "; ".join(" ".join(part.split()) for part in parts)
