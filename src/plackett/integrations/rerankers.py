"""rerankers: a ranker with the interface of this library."""

from collections.abc import Sequence
from typing import Any

from plackett._wording import counted
from plackett.errors import InputError
from plackett.integrations._shared import Source, framework, opened

with framework("rerankers", "rerankers", "0.8"):
    from rerankers.documents import Document
    from rerankers.models.ranker import BaseRanker
    from rerankers.results import RankedResults, Result
    from rerankers.utils import prep_docs


class PlackettRanker(BaseRanker):
    """Ranks texts or `rerankers.Document`s; replaces the result of `rerankers.Reranker(...)`."""

    def __init__(self, model_name_or_path: Source = None, verbose: int = 1) -> None:
        self.model = opened(model_name_or_path)
        self.verbose = verbose

    def score(self, query: str, doc: str) -> float:
        """Return the score of one document."""
        return float(self.model.predict([(query, doc)])[0])

    def rank(
        self,
        query: str,
        docs: Any,
        doc_ids: Sequence[str | int] | None = None,
        metadata: Sequence[dict[str, Any]] | None = None,
    ) -> RankedResults:
        """Return the documents best first, with their scores and ranks from 1."""
        documents = _documents(docs, doc_ids, metadata)
        ranked = self.model.rank(query, [document.text for document in documents])
        results = [
            Result(document=documents[item["corpus_id"]], score=item["score"], rank=rank)
            for rank, item in enumerate(ranked, start=1)
        ]
        return RankedResults(results=results, query=query, has_scores=True)


def _documents(
    docs: Any, doc_ids: Sequence[str | int] | None, metadata: Sequence[dict[str, Any]] | None
) -> list[Document]:
    """Return the texts or documents as `rerankers.Document`s; none for an empty list."""
    number = 1 if isinstance(docs, str | Document) else len(docs)
    for name, given in {"doc_ids": doc_ids, "metadata": metadata}.items():
        if given is not None and len(given) != number:
            raise InputError(
                f"{name} has {counted(len(given), 'item')} for {counted(number, 'document')}; pass one for each"
            )
    documents: list[Document] = prep_docs(docs, doc_ids, metadata) if number else []
    return documents
