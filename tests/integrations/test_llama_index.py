"""LlamaIndex: nodes of a query engine, reranked."""

import asyncio

import pytest

from plackett import CrossEncoder, InputError
from tiny import DOCUMENTS, QUERY

pytestmark = pytest.mark.peer


def nodes():
    from llama_index.core.schema import NodeWithScore, TextNode

    found = [TextNode(text=text, metadata={"n": number}) for number, text in enumerate(DOCUMENTS)]
    for node in found:
        node.excluded_embed_metadata_keys = ["n"]
    return [NodeWithScore(node=node, score=-float(number)) for number, node in enumerate(found)]


def test_the_best_nodes_come_first_with_their_scores(bert):
    from plackett.integrations.llama_index import PlackettRerank

    rerank = PlackettRerank(model=str(bert), top_n=3, keep_retrieval_score=True)
    found = rerank.postprocess_nodes(nodes(), query_str=QUERY)
    expected = CrossEncoder(bert).rank(QUERY, DOCUMENTS, top_k=3)
    assert [item.node.metadata["n"] for item in found] == [item["corpus_id"] for item in expected]
    assert [item.score for item in found] == pytest.approx([item["score"] for item in expected], abs=1e-6)
    assert [item.node.metadata["retrieval_score"] for item in found] == [-item["corpus_id"] for item in expected]
    later = asyncio.run(rerank.apostprocess_nodes(nodes(), query_str=QUERY))
    assert [(item.node.metadata["n"], item.score) for item in later] == [
        (item.node.metadata["n"], item.score) for item in found
    ]


def test_the_retriever_s_score_is_kept_in_copies_and_not_read(bert):
    from plackett.integrations.llama_index import PlackettRerank

    rerank = PlackettRerank(model=CrossEncoder(bert), top_n=None, keep_retrieval_score=True)
    given = nodes()
    first = rerank.postprocess_nodes(given, query_str=QUERY)
    again = rerank.postprocess_nodes(first, query_str=QUERY)
    assert [item.score for item in again] == pytest.approx([item.score for item in first], abs=1e-6)
    assert all("retrieval_score" not in item.node.metadata for item in given)


def test_metadata_that_embeddings_see_is_read(bert):
    from llama_index.core.schema import NodeWithScore, TextNode

    from plackett.integrations.llama_index import PlackettRerank

    node = TextNode(text="dictionary", metadata={"title": "lists"})
    [found] = PlackettRerank(model=CrossEncoder(bert)).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    [expected] = CrossEncoder(bert).predict([(QUERY, "title: lists\n\ndictionary")])
    assert found.score == pytest.approx(float(expected), abs=1e-6)


def test_a_query_engine_uses_it(bert):
    from llama_index.core import MockEmbedding, VectorStoreIndex, get_response_synthesizer
    from llama_index.core.llms import MockLLM
    from llama_index.core.query_engine import RetrieverQueryEngine

    from plackett.integrations.llama_index import PlackettRerank

    index = VectorStoreIndex([item.node for item in nodes()], embed_model=MockEmbedding(embed_dim=4))
    engine = RetrieverQueryEngine(
        index.as_retriever(similarity_top_k=len(DOCUMENTS)),
        response_synthesizer=get_response_synthesizer(llm=MockLLM(), response_mode="compact"),
        node_postprocessors=[PlackettRerank(model=str(bert), top_n=2)],
    )
    expected = CrossEncoder(bert).rank(QUERY, DOCUMENTS, top_k=2)
    assert [item.node.metadata["n"] for item in engine.query(QUERY).source_nodes] == [
        item["corpus_id"] for item in expected
    ]


def test_the_settings_are_serialised(bert):
    from plackett.integrations.llama_index import PlackettRerank

    rerank = PlackettRerank(model=str(bert), top_n=4)
    assert PlackettRerank.from_dict(rerank.to_dict()).model_dump() == rerank.model_dump()


def test_no_query_is_an_error(bert):
    from plackett.integrations.llama_index import PlackettRerank

    with pytest.raises(InputError):
        PlackettRerank(model=str(bert)).postprocess_nodes(nodes())


@pytest.mark.parametrize("given", [{"top_k": 3}, {"top_n": -1}])
def test_settings_that_are_wrong_are_named(given):
    from plackett.integrations.llama_index import PlackettRerank

    with pytest.raises(ValueError, match=next(iter(given))):
        PlackettRerank(**given)


def test_a_node_without_a_score_is_named(bert):
    from llama_index.core.schema import TextNode

    from plackett.integrations.llama_index import PlackettRerank

    with pytest.raises(InputError, match=r"document 0 is TextNode.*NodeWithScore"):
        PlackettRerank(model=bert).postprocess_nodes([TextNode(text="an apple")], query_str="apple")
