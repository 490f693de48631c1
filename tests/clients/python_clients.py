"""Calls of real clients, run in an environment that has them: python_clients.py ADDRESS NAME...

Each call ranks DOCUMENTS and returns (text or index, score) in the client's order, or a text that the client read.
"""

import asyncio
import json
import os
import sys
import traceback
from typing import Any

QUERY = "what do cats eat"
DOCUMENTS = ["steel prices rose again", "cats eat mice and birds", "the train is late", "most cats like fish"]
KEY = "any-key"
TOP = 3

Found = list[tuple[object, float]]


def cohere_v1(url: str) -> Found:
    import cohere

    reply = cohere.Client(KEY, base_url=url).rerank(
        model="m", query=QUERY, documents=DOCUMENTS, top_n=TOP, return_documents=True
    )
    return [(item.document.text, item.relevance_score) for item in reply.results]


def cohere_v1_objects(url: str) -> Found:
    import cohere

    documents = [{"title": f"number {number}", "text": text} for number, text in enumerate(DOCUMENTS)]
    reply = cohere.Client(KEY, base_url=url).rerank(
        model="m", query=QUERY, documents=documents, top_n=TOP, rank_fields=["text"], return_documents=True
    )
    assert all(item.document.title == f"number {item.index}" for item in reply.results)
    return [(item.index, item.relevance_score) for item in reply.results]


def cohere_v2(url: str) -> Found:
    import cohere

    reply = cohere.ClientV2(KEY, base_url=url).rerank(model="m", query=QUERY, documents=DOCUMENTS, top_n=TOP)
    assert reply.id
    assert reply.meta.billed_units.search_units == 1
    return [(item.index, item.relevance_score) for item in reply.results]


def cohere_v2_async(url: str) -> Found:
    import cohere

    async def call() -> Found:
        client = cohere.AsyncClientV2(KEY, base_url=url)
        reply = await client.rerank(model="m", query=QUERY, documents=DOCUMENTS, top_n=TOP)
        return [(item.index, item.relevance_score) for item in reply.results]

    return asyncio.run(call())


def cohere_spans(url: str) -> Found:
    import cohere

    reply = cohere.ClientV2(KEY, base_url=url).rerank(
        model="m", query=QUERY, documents=DOCUMENTS, top_n=TOP, relevant_spans={"mode": "enabled", "threshold": 0.01}
    )
    best = reply.results[0]
    assert [DOCUMENTS[best.index][span.start : span.end] for span in best.relevant_spans] == [DOCUMENTS[best.index]]
    return [(item.index, item.relevance_score) for item in reply.results]


def cohere_error(url: str) -> str:
    import cohere

    try:
        cohere.ClientV2(KEY, base_url=url).rerank(model="m", query=QUERY, documents=[])
    except cohere.BadRequestError as error:
        return str(error.body["message"])
    raise AssertionError("no error")


def langchain_cohere(url: str) -> Found:
    from langchain_cohere import CohereRerank

    ranker = CohereRerank(cohere_api_key=KEY, base_url=url, model="m", top_n=TOP)
    return [(item["index"], item["relevance_score"]) for item in ranker.rerank(DOCUMENTS, QUERY)]


def langchain_jina(url: str) -> Found:
    from langchain_community.document_compressors import jina_rerank

    jina_rerank.JINA_API_URL = f"{url}/v1/rerank"
    ranker = jina_rerank.JinaRerank(jina_api_key=KEY, model="m", top_n=TOP)
    return [(item["index"], item["relevance_score"]) for item in ranker.rerank(DOCUMENTS, QUERY)]


def langchain_infinity(url: str) -> Found:
    from infinity_client import Client
    from langchain_community.document_compressors.infinity_rerank import InfinityRerank

    ranker = InfinityRerank(client=Client(base_url=url), top_n=TOP)
    return [(item["index"], item["relevance_score"]) for item in ranker.rerank(DOCUMENTS, QUERY)]


def langchain_nvidia(url: str) -> Found:
    from langchain_core.documents import Document
    from langchain_nvidia_ai_endpoints import NVIDIARerank

    ranker = NVIDIARerank(base_url=f"{url}/v1", model="plackett-default", top_n=TOP)
    found = ranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    return [(item.page_content, item.metadata["relevance_score"]) for item in found]


def langchain_reranker(url: str) -> Found:
    from langchain_core.documents import Document
    from langchain_reranker.rerankers.http_reranker import HttpReranker

    ranker = HttpReranker(base_url=url, model="m", top_n=TOP)
    found = ranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    return [(item.page_content, item.metadata["relevance_score"]) for item in found]


def langchain_voyage(url: str) -> Found:
    from langchain_core.documents import Document
    from langchain_voyageai import VoyageAIRerank

    ranker = VoyageAIRerank(voyage_api_key=KEY, model="m", top_k=TOP)
    ranker.client._params["base_url"] = url
    ranker.client._params["api_base"] = url
    found = ranker.compress_documents([Document(page_content=text) for text in DOCUMENTS], QUERY)
    return [(item.page_content, item.metadata["relevance_score"]) for item in found]


def infinity_client(url: str) -> Found:
    from infinity_client import Client
    from infinity_client.api.default import rerank
    from infinity_client.models import RerankInput

    body = RerankInput(query=QUERY, documents=DOCUMENTS, return_documents=True)
    reply = rerank.sync(client=Client(base_url=f"{url}/infinity"), body=body)
    return [(item.document, item.relevance_score) for item in reply.results]


def infinity_models(url: str) -> str:
    from infinity_client import Client
    from infinity_client.api.default import models

    return str(models.sync(client=Client(base_url=url)).data[0].owned_by)


def _nodes() -> list:
    from llama_index.core.schema import NodeWithScore, TextNode

    return [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]


def _by_llama_index(ranker: Any) -> Found:
    from llama_index.core.schema import QueryBundle

    return [(item.node.text, item.score) for item in ranker.postprocess_nodes(_nodes(), QueryBundle(QUERY))]


def llama_index_tei(url: str) -> Found:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    return _by_llama_index(TextEmbeddingInference(base_url=url, top_n=TOP, model_name="m", auth_token=KEY))


def llama_index_jina(url: str) -> Found:
    from llama_index.postprocessor.jinaai_rerank import JinaRerank

    return _by_llama_index(JinaRerank(api_key=KEY, base_url=f"{url}/v1", model="m", top_n=TOP))


def llama_index_cohere(url: str) -> Found:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return _by_llama_index(CohereRerank(api_key=KEY, base_url=url, model="m", top_n=TOP))


def llama_index_nvidia(url: str) -> Found:
    from llama_index.postprocessor.nvidia_rerank import NVIDIARerank

    return _by_llama_index(NVIDIARerank(base_url=f"{url}/v1", model="plackett-default", top_n=TOP, api_key=KEY))


def llama_index_xinference(url: str) -> Found:
    from llama_index.postprocessor.xinference_rerank import XinferenceRerank

    return _by_llama_index(XinferenceRerank(base_url=url, model="m", top_n=TOP))


def llama_index_siliconflow(url: str) -> Found:
    from llama_index.postprocessor.siliconflow_rerank import SiliconFlowRerank

    ranker = SiliconFlowRerank(api_key=KEY, base_url=f"{url}/v1/rerank", model="BAAI/bge-reranker-v2-m3", top_n=TOP)
    return _by_llama_index(ranker)


def _by_haystack(ranker: Any) -> Found:
    from haystack import Document

    found = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])["documents"]
    return [(item.content, item.score) for item in found]


def haystack_tei(url: str) -> Found:
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

    return _by_haystack(HuggingFaceTEIRanker(url=url, top_k=TOP))


def haystack_jina(url: str) -> Found:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.jina import JinaRanker

    return _by_haystack(JinaRanker(base_url=f"{url}/v1/rerank", model="m", api_key=Secret.from_token(KEY), top_k=TOP))


def haystack_cohere(url: str) -> Found:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    return _by_haystack(CohereRanker(api_base_url=url, model="m", api_key=Secret.from_token(KEY), top_k=TOP))


def haystack_vllm(url: str) -> Found:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.vllm import VLLMRanker

    ranker = VLLMRanker(api_base_url=url, model="m", api_key=Secret.from_token(KEY), top_k=TOP)
    return _by_haystack(ranker)


def haystack_nvidia(url: str) -> Found:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.nvidia import NvidiaRanker

    model = "plackett-default"
    ranker = NvidiaRanker(api_url=f"{url}/v1", model=model, api_key=Secret.from_token(KEY), top_k=TOP)
    ranker.warm_up()
    return _by_haystack(ranker)


def _by_litellm(model: str, api_base: str) -> Found:
    import litellm

    reply = litellm.rerank(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=TOP, api_base=api_base, api_key=KEY, return_documents=True
    )
    for item in reply.results:
        assert item.get("document") in (None, {"text": DOCUMENTS[item["index"]]})
    return [(item["index"], item["relevance_score"]) for item in reply.results]


def litellm_cohere(url: str) -> Found:
    return _by_litellm("cohere/m", url)


def litellm_jina(url: str) -> Found:
    return _by_litellm("jina_ai/m", f"{url}/v1/rerank")


def litellm_proxy(url: str) -> Found:
    return _by_litellm("litellm_proxy/m", url)


def litellm_azure(url: str) -> Found:
    return _by_litellm("azure_ai/m", url)


def litellm_vllm(url: str) -> Found:
    return _by_litellm("hosted_vllm/m", url)


def litellm_vllm_v1(url: str) -> Found:
    return _by_litellm("hosted_vllm/m", f"{url}/v1/rerank")


def litellm_infinity(url: str) -> Found:
    return _by_litellm("infinity/m", f"{url}/infinity")


def litellm_huggingface(url: str) -> Found:
    return _by_litellm("huggingface/m", url)


def litellm_voyage(url: str) -> Found:
    return _by_litellm("voyage/m", url)


def litellm_deepinfra(url: str) -> Found:
    return _by_litellm("deepinfra/m", url)


def litellm_fireworks(url: str) -> Found:
    return _by_litellm("fireworks_ai/m", f"{url}/inference/v1")


def litellm_nvidia(url: str) -> Found:
    return _by_litellm("nvidia_nim/m", url)


def _by_rerankers(url: str, provider: str) -> Found:
    from rerankers.models.api_rankers import APIRanker

    found = APIRanker("m", KEY, provider, url=url).rank(QUERY, DOCUMENTS, doc_ids=list(range(len(DOCUMENTS))))
    return [(item.doc_id, item.score) for item in found.results]


def rerankers_jina(url: str) -> Found:
    return _by_rerankers(f"{url}/v1/rerank", "jina")


def rerankers_cohere(url: str) -> Found:
    return _by_rerankers(f"{url}/v1/rerank", "cohere")


def rerankers_voyage(url: str) -> Found:
    return _by_rerankers(f"{url}/v1/rerank", "voyage")


def rerankers_mixedbread(url: str) -> Found:
    return _by_rerankers(f"{url}/v1/reranking", "mixedbread.ai")


def rerankers_tei(url: str) -> Found:
    return _by_rerankers(f"{url}/rerank", "text-embeddings-inference")


def huggingface_hub(url: str) -> Found:
    os.environ.pop("HF_HUB_OFFLINE", None)  # the client would refuse even this machine's addresses
    from huggingface_hub import InferenceClient

    return list(enumerate(InferenceClient(base_url=url).sentence_similarity(QUERY, other_sentences=DOCUMENTS)))


def voyageai(url: str) -> Found:
    import voyageai

    reply = voyageai.Client(api_key=KEY, base_url=url).rerank(QUERY, DOCUMENTS, model="m", top_k=TOP)
    assert reply.total_tokens > 0
    return [(item.index, item.relevance_score) for item in reply.results]


def mixedbread(url: str) -> Found:
    from mixedbread import Mixedbread

    client = Mixedbread(api_key=KEY, base_url=url)
    reply = client.rerank(model="m", query=QUERY, input=DOCUMENTS, top_k=TOP, return_input=True)
    assert [item.input for item in reply.data] == [DOCUMENTS[item.index] for item in reply.data]
    return [(item.index, item.score) for item in reply.data]


def xinference(url: str) -> Found:
    from xinference_client.client.restful.restful_client import RESTfulRerankModelHandle

    reply = RESTfulRerankModelHandle("m", url, {}).rerank(DOCUMENTS, QUERY, top_n=TOP, return_documents=True)
    return [(item["index"], item["relevance_score"]) for item in reply["results"]]


def pymilvus(url: str) -> Found:
    from pymilvus.model.reranker import TEIRerankFunction

    return [(item.index, item.score) for item in TEIRerankFunction(url)(QUERY, DOCUMENTS, top_k=TOP)]


def together(url: str) -> Found:
    from together import Together

    reply = Together(api_key=KEY, base_url=url).rerank.create(model="m", query=QUERY, documents=DOCUMENTS, top_n=TOP)
    return [(item.index, item.relevance_score) for item in reply.results]


def isaacus(url: str) -> Found:
    from isaacus import Isaacus

    client = Isaacus(api_key=KEY, base_url=f"{url}/v1")
    reply = client.rerankings.create(model="kanon-2-reranker", query=QUERY, texts=DOCUMENTS, top_n=TOP)
    assert reply.usage.input_tokens > 0
    return [(item.index, item.score) for item in reply.results]


def zeroentropy(url: str) -> Found:
    from zeroentropy import ZeroEntropy

    client = ZeroEntropy(api_key=KEY, base_url=url)
    reply = client.models.rerank(model="zerank-2", query=QUERY, documents=DOCUMENTS, top_n=TOP)
    return [(item.index, item.relevance_score) for item in reply.results]


def openai(url: str) -> Found:
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=f"{url}/v1")
    assert [model.id for model in client.models.list()]
    body = {"query": QUERY, "documents": DOCUMENTS, "top_n": TOP}
    reply = client.post("/rerank", body=body, cast_to=object)
    return [(item["index"], item["relevance_score"]) for item in reply["results"]]


def openai_error(url: str) -> str:
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=f"{url}/v1")
    try:
        client.post("/rerank", body={"query": QUERY, "documents": []}, cast_to=object)
    except openai.BadRequestError as error:
        return error.body["message"]
    raise AssertionError("no error")


def main(url: str, *names: str) -> None:
    """Print what each call returns, or its error: a line of JSON each."""
    for name in names:
        try:
            print(json.dumps([name, globals()[name](url)]), flush=True)
        except Exception:
            print(json.dumps([name, traceback.format_exc()]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
