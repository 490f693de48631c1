"""LangChain: a cross-encoder, and a document compressor that keeps the scores."""

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from plackett.cross_encoder import CrossEncoder, RankedDocument
from plackett.integrations._shared import Source, check_items, framework, opened

with framework("langchain", "langchain-core", "1.0"):
    from langchain_core.callbacks import Callbacks
    from langchain_core.cross_encoders import BaseCrossEncoder
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, Field


class PlackettCrossEncoder(BaseCrossEncoder):
    """Scores pairs for LangChain's own rerankers, such as `CrossEncoderReranker`."""

    def __init__(self, model: Source = None) -> None:
        self._model = opened(model)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Return the scores of (query, document) pairs, in their order."""
        scores: list[float] = self._model.predict(text_pairs).tolist()
        return scores


class PlackettReranker(BaseDocumentCompressor):
    """Keeps the best documents of a retriever, best first, each with its score in the metadata.

    model: a folder, a Hub id, the address of a server, or a `plackett.CrossEncoder`; the default is the embedded model.
    top_n: number of documents to keep, None for all. min_score: minimum score of a document to keep. score_key: key of
    the score in the metadata. Documents are copied, never changed.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: Any = None
    top_n: int | None = Field(default=3, ge=0)
    min_score: float | None = None
    score_key: str = "relevance_score"

    @cached_property
    def encoder(self) -> CrossEncoder:
        """The model, loaded when first used."""
        return opened(self.model)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rerank documents for a query."""
        texts = _texts(documents)
        return self._best(documents, self.encoder.rank(query, texts, top_k=self.top_n, min_score=self.min_score))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rerank without blocking the event loop; stop if the task is cancelled."""
        texts = _texts(documents)
        encoder = await asyncio.to_thread(lambda: self.encoder)
        return self._best(documents, await encoder.arank(query, texts, top_k=self.top_n, min_score=self.min_score))

    def _best(self, documents: Sequence[Document], ranked: list[RankedDocument]) -> list[Document]:
        return [
            document.model_copy(update={"metadata": document.metadata | {self.score_key: item["score"]}})
            for item in ranked
            for document in [documents[item["corpus_id"]]]
        ]


def _texts(documents: Sequence[Document]) -> list[str]:
    check_items(documents, Document, "Document(page_content=...)")
    return [document.page_content for document in documents]
