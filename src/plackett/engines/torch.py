"""The torch engine: any transformers sequence classifier, in token-sorted padded batches."""

import numpy as np
import torch
from numpy.typing import NDArray

from plackett.batching import EncodedPairs
from plackett.checkpoint import Checkpoint
from plackett.errors import SettingError
from plackett.model import load_model, padded_inputs


class TorchEngine:
    """Runs a transformers model in fp32."""

    token_budget = 2048

    def __init__(self, model: torch.nn.Module, checkpoint: Checkpoint) -> None:
        self._model = model.eval()
        self._device = next(model.parameters()).device
        self._checkpoint = checkpoint

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        inputs = padded_inputs(batch, self._checkpoint)
        with torch.inference_mode():
            logits = self._model(**{name: tensor.to(self._device) for name, tensor in inputs.items()}).logits
            scores: NDArray[np.float32] = logits.float().cpu().numpy()
        return scores


def load(checkpoint: Checkpoint, device: str | None) -> TorchEngine:
    """The checkpoint's weights in fp32 on `device`: by default CUDA or MPS where there is one, else the CPU."""
    return TorchEngine(_moved(load_model(checkpoint), device or _default_device()), checkpoint)


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
