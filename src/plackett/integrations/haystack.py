"""Haystack 3: a ranker component for pipelines, from Python or YAML."""

import asyncio
import os
from dataclasses import replace
from typing import Any

from plackett._inputs import check_top_k
from plackett.cross_encoder import CrossEncoder, RankedDocument
from plackett.errors import InputError, SettingError
from plackett.integrations._shared import check_items, framework

with framework("haystack", "haystack-ai", "3.0"):
    from haystack import Document, component, default_from_dict, default_to_dict

SETTINGS = (
    "model",
    "top_k",
    "score_threshold",
    "meta_fields",
    "separator",
    "activation",
    "max_length",
    "positive_label",
)


@component
class PlackettRanker:
    """Orders documents by a reranker's scores, best first.

    model: a folder, a Hub id or the address of a server; the default is the embedded model. It is loaded by `warm_up`,
    or by the first run. top_k, score_threshold: number of documents to keep, and their minimum score. meta_fields:
    metadata to read before the content, joined by `separator`. positive_label: the label to rank by, for a model with
    several labels.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        top_k: int | None = 10,
        score_threshold: float | None = None,
        meta_fields: list[str] | None = None,
        separator: str = "\n",
        activation: str | None = None,
        max_length: int | None = None,
        positive_label: str | None = None,
    ) -> None:
        if isinstance(meta_fields, str):
            raise SettingError(f"meta_fields={meta_fields!r} is not a list of names; pass [{meta_fields!r}]")
        check_top_k(top_k)
        self.model = None if model is None else _named(model)
        self.top_k = top_k
        self.score_threshold = score_threshold
        self.meta_fields = meta_fields or []
        self.separator = separator
        self.activation = activation
        self.max_length = max_length
        self.positive_label = positive_label
        self._encoder: CrossEncoder | None = None

    def warm_up(self) -> None:
        """Load the model."""
        self._loaded()

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Return the best documents first; `top_k` and `score_threshold` override the component's."""
        ranked = self._loaded().rank(query, self._texts(documents), **self._limits(top_k, score_threshold))
        return _best(documents, ranked)

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Return the best documents first, without blocking the event loop; stop if the task is cancelled."""
        encoder = await asyncio.to_thread(self._loaded)
        ranked = await encoder.arank(query, self._texts(documents), **self._limits(top_k, score_threshold))
        return _best(documents, ranked)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of the component, for YAML."""
        settings: dict[str, Any] = default_to_dict(self, **{name: getattr(self, name) for name in SETTINGS})
        return settings

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "PlackettRanker":
        """Create the component from its settings."""
        ranker: PlackettRanker = default_from_dict(cls, data)
        return ranker

    def _loaded(self) -> CrossEncoder:
        if self._encoder is None:
            self._encoder = CrossEncoder(
                self.model,
                activation=self.activation,
                max_length=self.max_length,
                positive_label=self.positive_label,
            )
        return self._encoder

    def _limits(self, top_k: int | None, score_threshold: float | None) -> dict[str, Any]:
        return {
            "top_k": self.top_k if top_k is None else top_k,
            "min_score": self.score_threshold if score_threshold is None else score_threshold,
        }

    def _texts(self, documents: list[Document]) -> list[str]:
        check_items(documents, Document, "Document(content=...)")
        texts = []
        for number, document in enumerate(documents):
            if document.content is None:
                raise InputError(f"document {number} ({document.id}) has no text; rank documents with content only")
            meta = [str(document.meta[name]) for name in self.meta_fields if document.meta.get(name)]
            texts.append(self.separator.join([*meta, document.content]))
        return texts


def _named(model: str | os.PathLike[str]) -> str:
    """Return a model's name, which YAML can hold, unlike an open model."""
    if not isinstance(model, str | os.PathLike):
        raise SettingError(f"model={model!r} is not a folder, a Hub id or the address of a server")
    return os.fspath(model)


def _best(documents: list[Document], ranked: list[RankedDocument]) -> dict[str, list[Document]]:
    return {"documents": [replace(documents[item["corpus_id"]], score=item["score"]) for item in ranked]}
