"""Activations, which turn raw logits into scores. A checkpoint's configuration names one.

sentence-transformers keeps the name in one of three places: `config_sentence_transformers.json` since 5.4,
`config.json` in 4.0 to 5.3, and another key of `config.json` before 4. Plackett reads all three, in this order, and
writes the two that are still in use.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.calibrations import sigmoid
from plackett.checkpoints.own_files import CONFIG, SENTENCE_TRANSFORMERS
from plackett.errors import CheckpointError

Activation = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def identity(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the raw logits."""
    return logits


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return exp(logits) over its sum along the labels."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return scores


# Name -> (class that a configuration names, function). The class is looked up here and never imported.
ACTIVATIONS: dict[str, tuple[str, Activation]] = {
    "identity": ("torch.nn.modules.linear.Identity", identity),
    "sigmoid": ("torch.nn.modules.activation.Sigmoid", sigmoid),
    "softmax": ("torch.nn.modules.activation.Softmax", softmax),
    "tanh": ("torch.nn.modules.activation.Tanh", np.tanh),
}

# The activation that applies a calibration. Configurations never name it, because other libraries do not know it.
CALIBRATED = "calibrated"


def saved_activation(config: dict[str, Any], saved: dict[str, Any], *, ranks: bool) -> str:
    """Return the activation that a checkpoint names, or sentence-transformers' default.

    `config` is the content of `config.json`, `saved` that of `config_sentence_transformers.json`; `ranks` says whether
    the model has one logit per pair.
    """
    nested = config.get("sentence_transformers")
    places = [
        (SENTENCE_TRANSFORMERS, saved.get("activation_fn")),
        (CONFIG, nested.get("activation_fn") if isinstance(nested, dict) else None),
        (CONFIG, config.get("sbert_ce_default_activation_function")),
    ]
    for file, dotted in places:
        if dotted is not None:
            return _name_of(str(dotted), file)
    return "sigmoid" if ranks else "identity"


def _name_of(dotted: str, source: str) -> str:
    for name, (known, _) in ACTIVATIONS.items():
        if dotted.startswith("torch.nn.") and dotted.rpartition(".")[2] == known.rpartition(".")[2]:
            return name
    raise CheckpointError(
        f"{source} names the activation {dotted}, which Plackett does not support; "
        f"choose another with activation=: {', '.join(sorted(ACTIVATIONS))}"
    )
