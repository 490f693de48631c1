"""The library rerankers takes the adapter as one of its rankers."""

import asyncio

import pytest

from plackett import CrossEncoder, InputError
from tiny import DOCUMENTS, QUERY

pytestmark = pytest.mark.peer


def test_results_are_those_of_the_model(bert):
    from rerankers import Document

    from plackett.integrations.rerankers import PlackettRanker

    ranker = PlackettRanker(bert)
    expected = CrossEncoder(bert).rank(QUERY, DOCUMENTS)
    documents = [Document(text=text, doc_id=f"d{n}", metadata={"n": n}) for n, text in enumerate(DOCUMENTS)]
    found = ranker.rank(QUERY, documents)
    assert [result.document.metadata["n"] for result in found.results] == [item["corpus_id"] for item in expected]
    assert [result.score for result in found.results] == pytest.approx([item["score"] for item in expected], abs=1e-6)
    assert [result.rank for result in found.results] == list(range(1, len(DOCUMENTS) + 1))
    assert found.top_k(2)[0].doc_id == f"d{expected[0]['corpus_id']}"
    assert found.get_score_by_docid("d1") == pytest.approx(ranker.score(QUERY, DOCUMENTS[1]), abs=1e-6)


def test_texts_ids_and_threads_of_its_own(bert):
    from plackett.integrations.rerankers import PlackettRanker

    ranker = PlackettRanker(CrossEncoder(bert))
    found = asyncio.run(ranker.rank_async(QUERY, DOCUMENTS, [10 + n for n in range(len(DOCUMENTS))]))
    expected = CrossEncoder(bert).rank(QUERY, DOCUMENTS)
    assert [result.document.doc_id for result in found.results] == [10 + item["corpus_id"] for item in expected]
    assert len(ranker.rank(QUERY, DOCUMENTS[0]).results) == 1


def test_no_documents_have_no_results(bert):
    from plackett.integrations.rerankers import PlackettRanker

    assert PlackettRanker(bert).rank(QUERY, []).results == []


@pytest.mark.parametrize("given", [{"doc_ids": [1]}, {"metadata": [{}, {}, {}]}])
def test_ids_and_metadata_are_one_for_each_document(bert, given):
    from plackett.integrations.rerankers import PlackettRanker

    with pytest.raises(InputError) as error:
        PlackettRanker(bert).rank(QUERY, DOCUMENTS[:2], **given)
    assert next(iter(given)) in str(error.value)
