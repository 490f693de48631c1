"""Heads: how the raw outputs of a model become one logit for each pair, which is what a ranking needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ToLogit = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Head:
    """One kind of head.

    architecture: how the names of its classes end.
    fits: whether a configuration of that architecture, with its number of raw outputs, has this head.
    to_logit: raw outputs (pairs, outputs) -> logits (pairs, 1). None where the outputs are scores of several labels,
        by which nothing can be ranked.
    """

    name: str
    architecture: str
    fits: Callable[[Mapping[str, Any], int], bool]
    to_logit: ToLogit | None


def _has_one_output(_: Mapping[str, Any], outputs: int) -> bool:
    return outputs == 1


def _has_any(_: Mapping[str, Any], outputs: int) -> bool:
    return True


def as_they_are(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of a head of one label."""
    return raw


# The first that fits is taken. To add a kind, give it a line before the more general ones.
HEADS = [
    Head("one label", "ForSequenceClassification", _has_one_output, as_they_are),
    Head("several labels", "ForSequenceClassification", _has_any, None),
]


def head_of(config: Mapping[str, Any]) -> tuple[Head, int] | None:
    """Return the head that a configuration describes and its number of raw outputs, or None for no known head."""
    names = config.get("id2label")
    outputs = len(names) if isinstance(names, dict) else int(config.get("num_labels", 2))
    architectures = [str(name) for name in config.get("architectures") or []]
    for head in HEADS:
        if any(name.endswith(head.architecture) for name in architectures) and head.fits(config, outputs):
            return head, outputs
    return None
