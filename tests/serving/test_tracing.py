"""Spans of requests, read from OpenTelemetry's own exporter in memory."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from plackett.serving.tracing import ANSWER, REQUEST, Tracing
from serving_app import serving

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = {"query": "geheim", "documents": ["secret", "b"], "top_n": 1}


@pytest.fixture
def traced(bert):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with serving(bert) as client:
        client.service.trace = Tracing(provider)
        yield client, exporter


def test_a_request_is_a_span_of_its_clients_trace(traced):
    client, exporter = traced
    reply = client.post("/v2/rerank", BODY, headers={"traceparent": PARENT}).json()
    [span] = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" in PARENT
    assert f"{span.parent.span_id:016x}" in PARENT
    assert span.attributes.keys() == REQUEST.keys() | ANSWER.keys()
    assert span.attributes["gen_ai.rerank.candidate.count"] == 2
    assert span.attributes["reranker.top_k"] == 1
    assert span.attributes["gen_ai.usage.input_tokens"] == reply["usage"]["total_tokens"]
    assert "secret" not in span.to_json()
    assert "geheim" not in span.to_json()


def test_a_refused_request_is_a_span_with_an_error(traced):
    client, exporter = traced
    client.post("/v2/rerank", {**BODY, "query": " "})
    [span] = exporter.get_finished_spans()
    assert not span.status.is_ok
