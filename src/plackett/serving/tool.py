"""A Model Context Protocol server with one tool, `rerank`, for assistants that search."""

from dataclasses import dataclass
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from plackett import __version__
from plackett.cross_encoder import CrossEncoder
from plackett.errors import PlackettError

DESCRIPTION = (
    "Rank documents by their relevance to a query, best first. Use it to choose the best of many search results."
)


@dataclass(frozen=True)
class Ranked:
    """A document with its index in the input and its score."""

    index: int
    score: float
    text: str


def build_server(encoder: CrossEncoder) -> MCPServer:
    """Build the server around a model."""
    server = MCPServer("plackett", title="Plackett", version=__version__, instructions=DESCRIPTION, log_level="WARNING")

    async def rerank(
        query: Annotated[str, Field(description="The question or search query.")],
        documents: Annotated[list[str], Field(description="The texts to rank.", min_length=1)],
        top_k: Annotated[int | None, Field(description="Return at most this many documents.", ge=1)] = None,
        min_score: Annotated[float | None, Field(description="Return only documents that score at least this.")] = None,
    ) -> list[Ranked]:
        try:
            ranked = await encoder.arank(query, documents, top_k=top_k, min_score=min_score)
        except PlackettError as error:
            raise ToolError(str(error)) from error
        return [Ranked(item["corpus_id"], float(item["score"]), documents[item["corpus_id"]]) for item in ranked]

    annotations = ToolAnnotations(title="Rerank documents", read_only_hint=True, open_world_hint=False)
    server.add_tool(rerank, description=DESCRIPTION, annotations=annotations)
    return server


def run(encoder: CrossEncoder) -> None:
    """Serve on standard input and output until the client closes them."""
    build_server(encoder).run("stdio")
