"""Relevant spans: the sentences that a document's score depends on, computed as for `explain`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plackett.dialects import Span, SpanOptions
from plackett.explanations import Contribution, Reading, contributions


def relevant_spans(
    readings: Sequence[Reading], logits: NDArray[np.float32], probabilities: Sequence[float], options: SpanOptions
) -> list[list[Span]]:
    """Return the relevant spans of each reading, best first.

    `logits` belong to `occluded(readings)`, and `probabilities` to the documents. A sentence's score is the document's
    probability times 2 sigmoid(c) - 1, where c is the sentence's contribution to the logit: it is near 1 only if the
    document is relevant because of this sentence, and near 0 if the document is irrelevant.
    """
    explained = contributions(readings, logits)
    return [_spans(items, probability, options) for items, probability in zip(explained, probabilities, strict=True)]


def _spans(items: Sequence[Contribution], probability: float, options: SpanOptions) -> list[Span]:
    spans = [_span(item, probability) for item in items]
    found = [span for span in spans if span.score > 0 and span.score >= options.threshold and span.start < span.end]
    return sorted(found, key=lambda span: -span.score)[: options.max_spans]


def _span(item: Contribution, probability: float) -> Span:
    """Return a sentence without the surrounding white space."""
    text = item["text"]
    start = item["start"] + len(text) - len(text.lstrip())
    score = probability * float(np.tanh(max(0.0, item["contribution"]) / 2))
    return Span(start, item["start"] + len(text.rstrip()), score)
