"""The `plackett` command: the group of all subcommands."""

import click

from plackett import __version__
from plackett.cli.calibrate import calibrate
from plackett.cli.card import card
from plackett.cli.demo import demo
from plackett.cli.evaluate import evaluate
from plackett.cli.export import export
from plackett.cli.info import info
from plackett.cli.mine import mine
from plackett.cli.publish import publish
from plackett.cli.rank import rank
from plackett.cli.rerank import rerank
from plackett.cli.running import debug_option
from plackett.cli.search import search
from plackett.cli.serve import serve_command
from plackett.cli.train import train
from plackett.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="plackett")
def commands() -> None:
    """Train, evaluate, publish and use listwise cross-encoder rerankers."""


for command in (
    train,
    evaluate,
    rerank,
    card,
    publish,
    export,
    mine,
    calibrate,
    verify,
    rank,
    search,
    serve_command,
    info,
    demo,
):
    command.params.append(debug_option())
    commands.add_command(command)
commands.params.append(debug_option())
