"""Haystack: the component in a pipeline that was written as YAML, sync and async."""

import asyncio
import functools

import pytest

from plackett import CrossEncoder, InputError, SettingError
from tiny import DOCUMENTS, QUERY

pytestmark = pytest.mark.peer

YAML = """
components:
  retriever:
    type: haystack.components.retrievers.in_memory.bm25_retriever.InMemoryBM25Retriever
    init_parameters:
      document_store:
        type: haystack.document_stores.in_memory.document_store.InMemoryDocumentStore
        init_parameters: {{index: {index}}}
      top_k: 8
  ranker:
    type: plackett.integrations.haystack.PlackettRanker
    init_parameters: {{model: "{model}", top_k: 3}}
connections:
- {{sender: retriever.documents, receiver: ranker.documents}}
"""


def documents():
    from haystack import Document

    return [Document(content=text, meta={"title": f"part {number}"}) for number, text in enumerate(DOCUMENTS)]


def test_a_pipeline_from_yaml_ranks(bert):
    from haystack import Pipeline

    loads = functools.partial(Pipeline.loads, allowed_modules=["plackett.integrations.haystack"])
    pipeline = loads(YAML.format(model=bert, index="plackett"))
    pipeline.get_component("retriever").document_store.write_documents(documents())
    asked = {"retriever": {"query": "string words list", "scale_score": False}, "ranker": {"query": QUERY}}
    found = pipeline.run(asked, include_outputs_from={"retriever"})
    candidates = [item.content for item in found["retriever"]["documents"]]
    expected = CrossEncoder(bert).rank(QUERY, candidates, top_k=3)
    best = found["ranker"]["documents"]
    assert [item.content for item in best] == [candidates[item["corpus_id"]] for item in expected]
    assert [item.score for item in best] == pytest.approx([item["score"] for item in expected], abs=1e-6)
    assert loads(pipeline.dumps()).dumps() == pipeline.dumps()

    later = asyncio.run(pipeline.run_async(asked))["ranker"]["documents"]
    assert [(item.id, item.score) for item in later] == [(item.id, item.score) for item in best]


def test_limits_of_a_run_and_metadata(bert):
    from plackett.integrations.haystack import PlackettRanker

    ranker = PlackettRanker(str(bert), meta_fields=["title", "none"], separator=": ", activation="identity")
    ranker.warm_up()
    texts = [f"part {number}: {text}" for number, text in enumerate(DOCUMENTS)]
    expected = CrossEncoder(bert, activation="identity").rank(QUERY, texts)
    found = ranker.run(QUERY, documents(), top_k=4, score_threshold=expected[1]["score"] - 1e-6)["documents"]
    assert [item.content for item in found] == [DOCUMENTS[item["corpus_id"]] for item in expected[:2]]
    assert ranker.run(QUERY, [])["documents"] == []
    assert PlackettRanker.from_dict(ranker.to_dict()).to_dict() == ranker.to_dict()


def test_a_document_without_text_is_named(bert):
    from haystack import Document

    from plackett.integrations.haystack import PlackettRanker

    with pytest.raises(InputError) as error:
        PlackettRanker(str(bert)).run(QUERY, [Document(content="a"), Document(id="picture", content=None)])
    assert "picture" in str(error.value)


def test_fields_that_are_no_list_are_refused():
    from plackett.integrations.haystack import PlackettRanker

    with pytest.raises(SettingError) as error:
        PlackettRanker(meta_fields="title")
    assert "['title']" in str(error.value)


def test_a_model_with_several_labels_ranks_by_one(tiny):
    from plackett.integrations.haystack import PlackettRanker

    folder = tiny("bert", 3)
    with pytest.raises(InputError):
        PlackettRanker(str(folder)).run(QUERY, documents())
    ranker = PlackettRanker.from_dict(PlackettRanker(str(folder), positive_label="LABEL_2", top_k=3).to_dict())
    expected = CrossEncoder(folder, positive_label="LABEL_2").rank(QUERY, DOCUMENTS, top_k=3)
    found = ranker.run(QUERY, documents())["documents"]
    assert [item.score for item in found] == pytest.approx([item["score"] for item in expected], abs=1e-6)


def test_a_path_is_written_to_yaml(bert):
    from haystack import Pipeline

    from plackett.integrations.haystack import PlackettRanker

    pipeline = Pipeline()
    pipeline.add_component("ranker", PlackettRanker(bert))
    assert f"model: {bert}" in pipeline.dumps()


def test_wrong_settings_are_refused_before_the_first_run(bert):
    from plackett.integrations.haystack import PlackettRanker

    with pytest.raises(InputError):
        PlackettRanker(top_k=-1)
    with pytest.raises(SettingError):
        PlackettRanker(CrossEncoder(bert))


def test_what_is_no_document_is_named(bert):
    from plackett.integrations.haystack import PlackettRanker

    with pytest.raises(InputError, match=r"document 0 is str.*Document\(content"):
        PlackettRanker(model=bert).run("apple", ["an apple"])
