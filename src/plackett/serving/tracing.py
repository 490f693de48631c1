"""OpenTelemetry spans: one for each request that is ranked, without its texts.

No convention for reranking is stable yet. The names are those proposed for `gen_ai` (semantic-conventions-genai, number
253) and those of OpenInference, in one table.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from plackett.dialects import Answer, RerankRequest

Value = str | int | None
Finish = Callable[[Answer], None]

# Attributes known when a request arrives.
REQUEST: Mapping[str, Callable[[RerankRequest, str], Value]] = {
    "gen_ai.operation.name": lambda request, model: "rerank",
    "gen_ai.provider.name": lambda request, model: "plackett",
    "gen_ai.request.model": lambda request, model: model,
    "gen_ai.rerank.candidate.count": lambda request, model: len(request.documents),
    "gen_ai.rerank.top_n": lambda request, model: request.top_n,
    "openinference.span.kind": lambda request, model: "RERANKER",
    "reranker.model_name": lambda request, model: model,
    "reranker.top_k": lambda request, model: request.top_n,
}
# Attributes that the answer adds.
ANSWER: Mapping[str, Callable[[Answer], Value]] = {
    "gen_ai.response.model": lambda answer: answer.model,
    "gen_ai.response.id": lambda answer: answer.id,
    "gen_ai.usage.input_tokens": lambda answer: answer.tokens,
}


class Tracing:
    """Creates spans. A request with a `traceparent` continues that trace."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("plackett")

    def __call__(
        self, headers: Mapping[str, str], request: RerankRequest, model: str
    ) -> AbstractContextManager[Finish]:
        """Return a context for a request's span, which yields a function to call with the answer."""
        return self._span(headers, request, model)

    @contextmanager
    def _span(self, headers: Mapping[str, str], request: RerankRequest, model: str) -> Iterator[Finish]:
        attributes = {name: read(request, model) for name, read in REQUEST.items()}
        with self._tracer.start_as_current_span(
            f"rerank {model}",
            propagate.extract(headers),
            kind=trace.SpanKind.SERVER,
            attributes={name: value for name, value in attributes.items() if value is not None},
        ) as span:

            def finish(answer: Answer) -> None:
                for name, read in ANSWER.items():
                    value = read(answer)
                    if value is not None:
                        span.set_attribute(name, value)

            yield finish


def otlp_tracing() -> Tracing:
    """Send spans by OTLP to the address in the OTEL_* variables."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "plackett"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
