"""The torch engine: the BERT family without padding, any other sequence classifier in padded batches."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from plackett.batching import EncodedPairs
from plackett.checkpoint import Checkpoint
from plackett.engines import EngineSettings
from plackett.engines.families import read_weights
from plackett.engines.packed import PackedEncoder
from plackett.errors import SettingError
from plackett.model import load_model, padded_inputs


class TorchEngine:
    """Runs a transformers model in fp32, as it is now: for a model that has learned on, make a new engine."""

    token_budget = 2048

    def __init__(self, model: torch.nn.Module, checkpoint: Checkpoint) -> None:
        self._labels = checkpoint.labels
        self._forward = packed_forward(model, checkpoint) or padded_forward(model, checkpoint)

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        if not len(batch):
            return np.empty((0, self._labels), np.float32)
        with torch.inference_mode():
            scores: NDArray[np.float32] = self._forward(batch).float().cpu().numpy()
        return scores


Forward = Callable[[EncodedPairs], torch.Tensor]


def packed_forward(model: torch.nn.Module, checkpoint: Checkpoint) -> Forward | None:
    """Plackett's own forward pass, for plain members of the BERT family."""
    weights = read_weights(model)
    return PackedEncoder(weights, token_types=checkpoint.token_types) if weights else None


def padded_forward(model: torch.nn.Module, checkpoint: Checkpoint) -> Forward:
    """The module's forward pass, over a padded batch."""
    model.eval()
    device = next(model.parameters()).device

    def forward(batch: EncodedPairs) -> torch.Tensor:
        inputs = padded_inputs(batch, checkpoint)
        logits: torch.Tensor = model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits
        return logits

    return forward


def load(checkpoint: Checkpoint, settings: EngineSettings) -> TorchEngine:
    """The checkpoint's weights in fp32 on a device: by default CUDA or MPS where there is one, else the CPU."""
    return TorchEngine(_moved(load_model(checkpoint), settings.device or _default_device()), checkpoint)


def _moved(model: torch.nn.Module, device: str) -> torch.nn.Module:
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"device {device!r} cannot be used here ({reason}); leave it out, or name cpu") from error


def _default_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
