"""Prometheus metrics: TEI's names if the meaning is the same, otherwise with the prefix `plackett_`."""

import threading
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16384)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)

COUNTS = {  # name -> (help, label)
    "te_request_count": ("Requests by path, except GET and HEAD", "method"),
    "te_request_success": ("Successful requests", "method"),
    "te_request_failure": ("Failed requests", "err"),
    "te_predict_count": ("Requests for the scores of pairs", "method"),
    "te_predict_success": ("Successful requests for the scores of pairs", "method"),
    "plackett_refused": ("Requests refused because the queue was full", "priority"),
    "plackett_left": ("Requests whose client disconnected before the response", "method"),
    "plackett_reloads": ("Reloads of the models", "outcome"),
}
HISTOGRAMS = {
    "te_request_duration": ("Seconds from the headers of a successful request to its response", SECONDS),
    "te_request_queue_duration": ("Seconds until the first pairs of a request were scored", SECONDS),
    "te_request_tokenization_duration": ("Seconds to tokenise a chunk of pairs", SECONDS),
    "te_request_inference_duration": ("Seconds to score a batch", SECONDS),
    "te_predict_duration": ("Seconds to score the pairs of a request", SECONDS),
    "te_request_input_length": ("Tokens of a request", SIZES),
    "te_batch_next_size": ("Pairs of a batch", SIZES),
    "te_batch_next_tokens": ("Tokens of a batch", SIZES),
    "plackett_batch_fill": ("Tokens of a batch as a share of the maximum", SHARES),
}
GAUGES = {
    "te_queue_size": "Requests in progress",
    "plackett_queue_tokens": "Tokens waiting to be scored",
    "plackett_buffered_bytes": "Bytes of request bodies in memory",
    "plackett_tokens_per_second": "Measured speed of the engine in tokens per second",
}


class Metrics:
    """The metrics of one server, in its own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counts: dict[tuple[str, str], int] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._lock = threading.Lock()
        self._histograms = {
            name: Histogram(name, help, buckets=buckets, registry=self._registry)
            for name, (help, buckets) in HISTOGRAMS.items()
        }
        self._registry.register(self)

    def count(self, name: str, label: str) -> None:
        """Increment a counter."""
        with self._lock:
            self._counts[name, label] = self._counts.get((name, label), 0) + 1

    def observe(self, name: str, value: float) -> None:
        """Add a value to a histogram."""
        self._histograms[name].observe(value)

    def gauge(self, name: str, value: Callable[[], float]) -> None:
        """Set the function that returns the value of a gauge."""
        self._gauges[name] = value

    def collect(self) -> Iterator[Metric]:
        """Yield counters and gauges. prometheus-client would append `_total` to counters, unlike TEI."""
        with self._lock:
            counts = dict(self._counts)
        for name, (help, label) in COUNTS.items():
            metric = Metric(name, help, "unknown")
            for (counted, value), count in counts.items():
                if counted == name:
                    metric.add_sample(name, {label: value}, count)
            yield metric
        for name, read in self._gauges.items():
            metric = Metric(name, GAUGES[name], "gauge")
            metric.add_sample(name, {}, read())
            yield metric

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
