"""LlamaIndex: a node postprocessor."""

import asyncio
from functools import cached_property
from typing import Any

from plackett.cross_encoder import CrossEncoder, RankedDocument
from plackett.errors import InputError
from plackett.integrations._shared import check_items, framework, opened

with framework("llama-index", "llama-index-core", "0.14"):
    from llama_index.core.bridge.pydantic import ConfigDict, Field
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle


class PlackettRerank(BaseNodePostprocessor):
    """Keeps the best nodes of a retriever, best first, with the reranker's scores.

    Nodes are read with the metadata that embedding models see, and not changed: with `keep_retrieval_score`, copies
    have the retriever's score in their metadata, as `retrieval_score`, which embedding models do not see.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: Any = Field(default=None, description="Folder, Hub id, server or plackett.CrossEncoder; default: embedded.")
    top_n: int | None = Field(default=2, ge=0, description="Number of nodes to keep; None for all.")
    min_score: float | None = Field(default=None, description="Minimum score of a node to keep.")
    keep_retrieval_score: bool = Field(default=False, description="Keep the retriever's score in the metadata.")

    @classmethod
    def class_name(cls) -> str:
        """Return the name that serialised components have."""
        return "PlackettRerank"

    @cached_property
    def encoder(self) -> CrossEncoder:
        """The model, loaded when first used."""
        return opened(self.model)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = _read(nodes, query_bundle)
        return self._best(nodes, self.encoder.rank(query, texts, top_k=self.top_n, min_score=self.min_score))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query, texts = _read(nodes, query_bundle)
        encoder = await asyncio.to_thread(lambda: self.encoder)
        return self._best(nodes, await encoder.arank(query, texts, top_k=self.top_n, min_score=self.min_score))

    def _best(self, nodes: list[NodeWithScore], ranked: list[RankedDocument]) -> list[NodeWithScore]:
        best = []
        for item in ranked:
            found = nodes[item["corpus_id"]]
            node = _with_score(found) if self.keep_retrieval_score else found.node
            best.append(NodeWithScore(node=node, score=item["score"]))
        return best


def _with_score(found: NodeWithScore) -> BaseNode:
    """Return a copy of a node with the retriever's score in its metadata, hidden from a later reranker."""
    node = found.node
    return node.model_copy(
        update={
            "metadata": node.metadata | {"retrieval_score": found.score},
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, "retrieval_score"],
        }
    )


def _read(nodes: list[NodeWithScore], query_bundle: QueryBundle | None) -> tuple[str, list[str]]:
    """Return the query and the texts of the nodes."""
    if query_bundle is None:
        raise InputError("PlackettRerank needs a query; pass query_str= or query_bundle=")
    check_items(nodes, NodeWithScore, "NodeWithScore(node=TextNode(text=...))")
    return query_bundle.query_str, [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
