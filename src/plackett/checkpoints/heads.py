"""Heads, which turn the raw outputs of a model into one logit per pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.jsons import whole
from plackett.errors import CheckpointError, SettingError

ToLogit = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Head:
    """One kind of head.

    architecture: suffix of the names of its classes.
    fits: whether a configuration of that architecture, given its number of raw outputs, has this head.
    to_logit: raw outputs (pairs, outputs) -> logits (pairs, 1). None if the outputs are scores of several labels,
        which cannot rank.
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


# The first that fits is used. To add a kind, insert it before the more general ones.
HEADS = [
    Head("one label", "ForSequenceClassification", _has_one_output, as_they_are),
    Head("several labels", "ForSequenceClassification", _has_any, None),
]


def head_of(config: Mapping[str, Any]) -> tuple[Head, int] | None:
    """Return the head that a configuration describes and its number of raw outputs, or None if it is unknown."""
    outputs = outputs_of(config)
    architectures = architectures_of(config)
    for head in HEADS:
        if any(name.endswith(head.architecture) for name in architectures) and head.fits(config, outputs):
            return head, outputs
    return None


def one_against_others(config: Mapping[str, Any], outputs: int, label: str) -> Head:
    """Return the head that ranks by one of several labels, by its name or number.

    Its logit is the label's log-odds, whose sigmoid is the label's share of the softmax: with two labels the difference
    of their logits. Raises SettingError for a label that the configuration does not name.
    """
    names = labels_of(config, outputs)
    if outputs < 2:
        raise SettingError(f"positive_label={label!r} chooses one of several labels, but this checkpoint has one")
    chosen = _number_of(label, names)
    if chosen is None:
        raise SettingError.unknown("positive_label", label, names)

    def log_odds(raw: NDArray[np.float32]) -> NDArray[np.float32]:
        others = np.delete(raw, chosen, axis=1).astype(np.float64)
        found = raw[:, [chosen]] - np.logaddexp.reduce(others, axis=1, keepdims=True)
        return np.asarray(found, np.float32)

    return Head(f"label {names[chosen]}", HEADS[-1].architecture, _has_any, log_odds)


def _number_of(label: str, names: Sequence[str]) -> int | None:
    """Return the number of a label: by its name, in any case if only one name fits, or by the number itself."""
    alike = [number for number, name in enumerate(names) if name.casefold() == label.casefold()]
    exact = [number for number in alike if names[number] == label]
    numbers = [number for number in range(len(names)) if str(number) == label]
    return next((found[0] for found in (exact, alike, numbers) if len(found) == 1), None)


def labels_of(config: Mapping[str, Any], outputs: int) -> list[str]:
    """Return the names of the raw outputs, in their order."""
    names = config.get("id2label")
    given = {str(number): str(name) for number, name in names.items()} if isinstance(names, dict) else {}
    return [given.get(str(number), f"LABEL_{number}") for number in range(outputs)]


def outputs_of(config: Mapping[str, Any]) -> int:
    """Return the number of raw outputs, which transformers takes from their names if it has any."""
    names = config.get("id2label")
    outputs = len(names) if isinstance(names, dict) else whole(config, "num_labels", 2)
    if outputs is None or outputs < 1:
        raise CheckpointError(
            f"a configuration (id2label, num_labels) has {outputs!r} labels, but a classifier needs at least one"
        )
    return outputs


def architectures_of(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes that a configuration is for, possibly none."""
    names = config.get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []
