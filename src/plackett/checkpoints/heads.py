"""Heads: how the raw outputs of a model become one logit per pair."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.jsons import whole
from plackett.errors import CheckpointError

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
    outputs = outputs_of(config)
    architectures = architectures_of(config)
    for head in HEADS:
        if any(name.endswith(head.architecture) for name in architectures) and head.fits(config, outputs):
            return head, outputs
    return None


def outputs_of(config: Mapping[str, Any]) -> int:
    """Return the number of raw outputs, which transformers counts by their names where it knows those."""
    names = config.get("id2label")
    if isinstance(names, dict):
        return len(names)
    outputs = whole(config, "num_labels", 2)
    if outputs is None or outputs < 1:
        raise CheckpointError(f"a configuration has num_labels = {outputs!r}, which is no number of labels")
    return outputs


def architectures_of(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes that a configuration is for, possibly none."""
    names = config.get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []
