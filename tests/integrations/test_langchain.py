"""LangChain's retrieval chain with our compressor and cross-encoder, sync and async."""

import asyncio

import pytest

from plackett import CrossEncoder, InputError
from tiny import DOCUMENTS, QUERY

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def retriever():
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.vectorstores import InMemoryVectorStore

    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_texts(DOCUMENTS, metadatas=[{"number": number} for number in range(len(DOCUMENTS))])
    return store.as_retriever(search_kwargs={"k": len(DOCUMENTS)})


def chain(retriever, compressor):
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_core.runnables import RunnableLambda

    reranking = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=retriever)
    return reranking | RunnableLambda(lambda found: [(item.page_content, item.metadata) for item in found])


def test_a_chain_keeps_the_best_with_their_scores(retriever, bert):
    from plackett.integrations.langchain import PlackettReranker

    encoder = CrossEncoder(bert)
    compressor = PlackettReranker(model=encoder, top_n=3)
    found = chain(retriever, compressor).invoke(QUERY)
    expected = encoder.rank(QUERY, DOCUMENTS, top_k=3)
    assert [text for text, _ in found] == [DOCUMENTS[item["corpus_id"]] for item in expected]
    assert [meta["number"] for _, meta in found] == [item["corpus_id"] for item in expected]
    scores = [meta["relevance_score"] for _, meta in found]
    assert scores == pytest.approx([item["score"] for item in expected], abs=1e-6)
    assert asyncio.run(chain(retriever, compressor).ainvoke(QUERY)) == found
    assert all("relevance_score" not in item.metadata for item in retriever.invoke(QUERY))


def test_a_threshold_and_another_key(retriever, bert):
    from plackett.integrations.langchain import PlackettReranker

    encoder = CrossEncoder(bert)
    least = encoder.rank(QUERY, DOCUMENTS, top_k=2)[1]["score"]
    compressor = PlackettReranker(model=str(bert), top_n=None, min_score=least - 1e-6, score_key="plackett")
    assert [set(meta) for _, meta in chain(retriever, compressor).invoke(QUERY)] == [{"number", "plackett"}] * 2
    assert PlackettReranker(model=encoder).compress_documents([], QUERY) == []


def test_langchains_own_reranker_takes_the_cross_encoder(retriever, bert):
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker

    from plackett.integrations.langchain import PlackettCrossEncoder

    found = chain(retriever, CrossEncoderReranker(model=PlackettCrossEncoder(bert), top_n=2)).invoke(QUERY)
    expected = CrossEncoder(bert).rank(QUERY, DOCUMENTS, top_k=2)
    assert [meta["number"] for _, meta in found] == [item["corpus_id"] for item in expected]


@pytest.mark.parametrize("given", [{"top_k": 3}, {"top_n": -1}])
def test_settings_that_are_wrong_are_named(given):
    from plackett.integrations.langchain import PlackettReranker

    with pytest.raises(ValueError, match=next(iter(given))):
        PlackettReranker(**given)


def test_what_is_no_document_is_named(bert):
    from langchain_core.documents import Document

    from plackett.integrations.langchain import PlackettReranker

    reranker = PlackettReranker(model=bert)
    documents = [Document(page_content="an apple"), "a pear"]
    with pytest.raises(InputError, match=r"document 1 is str.*Document\(page_content"):
        reranker.compress_documents(documents, "apple")
    with pytest.raises(InputError, match=r"document 1 is str.*Document\(page_content"):
        asyncio.run(reranker.acompress_documents(documents, "apple"))
