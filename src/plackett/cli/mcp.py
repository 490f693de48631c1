"""`plackett mcp`."""

import click

from plackett._extras import extra
from plackett.cli.options import MODEL, model_options
from plackett.cross_encoder import CrossEncoder
from plackett.engines.loading import Options


@click.command("mcp")
@MODEL
@model_options
def mcp_command(model: str | None, options: Options) -> None:
    """Serve the tool `rerank` to an assistant (MCP).

    The Model Context Protocol uses standard input and output. Assistants start this command themselves: add `plackett`
    with the argument `mcp` to their settings.

    \b
    plackett mcp --model models/mine
    """
    with extra("mcp"):
        from plackett.serving.tool import run
    run(CrossEncoder.from_options(model, options))
