"""The `plackett` command: the group of all subcommands."""

import click

from plackett import __version__
from plackett.cli.bulk import bulk
from plackett.cli.calibrate import calibrate
from plackett.cli.card import card
from plackett.cli.completion import completion
from plackett.cli.console import options
from plackett.cli.demo import demo
from plackett.cli.doctor import doctor
from plackett.cli.evaluate import evaluate
from plackett.cli.export import export
from plackett.cli.info import info
from plackett.cli.mcp import mcp_command
from plackett.cli.mine import mine
from plackett.cli.publish import publish
from plackett.cli.rank import rank
from plackett.cli.rerank import rerank
from plackett.cli.search import search
from plackett.cli.serve import serve_command
from plackett.cli.train import train
from plackett.cli.verify import verify


@click.group(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 120,
        "auto_envvar_prefix": "PLACKETT",
    }
)
@click.version_option(__version__, prog_name="plackett", allow_from_autoenv=False)
def commands() -> None:
    """Train, evaluate, publish, serve and use cross-encoder rerankers."""


for command in (
    train,
    evaluate,
    rerank,
    bulk,
    card,
    publish,
    export,
    mine,
    calibrate,
    verify,
    rank,
    search,
    serve_command,
    mcp_command,
    info,
    doctor,
    demo,
    completion,
):
    command.params.extend(options())
    commands.add_command(command)
commands.params.extend(options())
