"""`plackett mcp`."""

import click

from plackett._extras import extra
from plackett.cross_encoder import CrossEncoder


@click.command("mcp")
@click.option("--model", help="A checkpoint, a Hub id or a server's address.  [default: Plackett's own]")
def mcp_command(model: str | None) -> None:
    """Serve the tool `rerank` to an assistant, by the Model Context Protocol on standard input and output.

    Assistants start this command themselves: give them `plackett` with the argument `mcp`.

    \b
    plackett mcp --model models/mine
    """
    with extra("mcp"):
        from plackett.serving.tool import run
    run(CrossEncoder(model))
