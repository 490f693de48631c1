"""The torch engine: packed batches for known families, padded batches for any other sequence classifier."""

import copy
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plackett._hardware import BF16, instructions, usable_threads
from plackett.checkpoints.folder import Checkpoint
from plackett.engines.base import EngineSettings, check_process, computing
from plackett.engines.torch.lists import TorchListEngine, load_lists
from plackett.engines.torch.modules import PackedModules, packed_family, sharing_copy
from plackett.engines.torch.packed import PackedEncoder
from plackett.engines.torch.weights import LAYOUTS, read_weights
from plackett.errors import SettingError
from plackett.models.classifier import load_model, padded_inputs
from plackett.tokenization.batches import EncodedPairs, groups

_TO_INT8 = "plackett export CHECKPOINT --engine onnx --precision int8 --calibration LISTS --output FOLDER"


class TorchEngine:
    """Runs a transformers model in its present state; after more training, create a new engine.

    `dtype` is the type to compute in, by default the model's; logits are always float32. A model `owned` by the engine
    is modified instead of copied.
    """

    token_budget = 2048

    def __init__(
        self,
        model: torch.nn.Module,
        checkpoint: Checkpoint,
        *,
        dtype: torch.dtype | None = None,
        owned: bool = False,
    ) -> None:
        self._labels = checkpoint.labels
        self._process = os.getpid()
        self._forward = packed_forward(model, checkpoint, dtype=dtype) or _forward_of_modules(
            model, checkpoint, dtype, owned
        )
        self._checkpoint = checkpoint

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        if not len(batch):
            return np.empty((0, self._labels), np.float32)
        if torch.get_num_threads() > 1:
            check_process(self._process, "torch")
        parts = groups(batch.lengths, self._checkpoint.inputs.padding)
        if len(parts) == 1:
            return self._logits(batch)
        scores = np.empty((len(batch), self._labels), np.float32)
        for pairs in parts:
            scores[pairs] = self._logits(batch.select(pairs))
        return scores

    def _logits(self, batch: EncodedPairs) -> NDArray[np.float32]:
        with computing(self._checkpoint, "torch"), torch.inference_mode():
            scores: NDArray[np.float32] = self._forward(batch).float().cpu().numpy()
        return scores


Forward = Callable[[EncodedPairs], torch.Tensor]


def packed_forward(
    model: torch.nn.Module, checkpoint: Checkpoint, *, dtype: torch.dtype | None = None
) -> Forward | None:
    """Return Plackett's own forward pass, for plain members of the BERT family."""
    weights = read_weights(model)
    if weights is None:
        return None
    return PackedEncoder(weights, token_types=checkpoint.inputs.token_types, dtype=dtype or torch.float32)


def _forward_of_modules(
    model: torch.nn.Module, checkpoint: Checkpoint, dtype: torch.dtype | None, owned: bool
) -> Forward:
    """Return the modules' forward pass: packed on a CPU if the family is known, else padded."""
    if dtype is not None:
        model, owned = _converted(model if owned else copy.deepcopy(model), dtype), True
    family = packed_family(model) if _is_on_cpu(model) else None
    if family is None:
        return padded_forward(model, checkpoint)
    inputs = checkpoint.inputs
    own = model if owned else sharing_copy(model)
    return PackedModules(own, family, token_types=inputs.token_types, pad_id=inputs.pad_id)


def _is_on_cpu(model: torch.nn.Module) -> bool:
    return all(parameter.device.type == "cpu" for parameter in model.parameters())


def padded_forward(model: torch.nn.Module, checkpoint: Checkpoint) -> Forward:
    """Return the module's forward pass over padded batches."""
    model.eval()
    device = next(model.parameters()).device

    def forward(batch: EncodedPairs) -> torch.Tensor:
        inputs = padded_inputs(batch, checkpoint)
        logits: torch.Tensor = model(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits
        return logits

    return forward


def _converted(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Convert the encoder to `dtype`, but not the head: bf16 logits have 8 bits and would cause many ties."""
    converted: Any = model
    converted.base_model.to(dtype)
    for name, head in converted.named_children():
        if name != converted.base_model_prefix:
            head.register_forward_pre_hook(lambda _, inputs: tuple(tensor.float() for tensor in inputs))
    return converted  # type: ignore[no-any-return]


def load(checkpoint: Checkpoint, settings: EngineSettings) -> TorchEngine | TorchListEngine:
    """Load the checkpoint on a device (by default CUDA or MPS if available, else the CPU), in fp32 or bf16.

    `settings.threads` applies to the whole process, because torch has one number for all models: the engine loaded last
    decides. None keeps torch's number, unless this process may use fewer.
    """
    device = settings.device or _default_device()
    dtype = _dtype(settings.precision, device)
    if checkpoint.lists is not None:
        _check_device(device)
        _use_threads(settings.threads or min(torch.get_num_threads(), usable_threads()))
        return load_lists(checkpoint, device, dtype or torch.float32)
    # The BERT family is converted from fp32 layer by layer; others would need memory for a second copy.
    loaded_in = torch.float32 if dtype is None or checkpoint.model_type in LAYOUTS else dtype
    model = _moved(load_model(checkpoint, dtype=loaded_in), device)
    _use_threads(settings.threads or min(torch.get_num_threads(), usable_threads()))
    return TorchEngine(model, checkpoint, dtype=dtype, owned=True)


def _dtype(precision: str | None, device: str) -> torch.dtype | None:
    """Return None for fp32, in which models are loaded. SettingError for an unsupported or slow precision."""
    if precision != "bf16":
        return None
    if torch.device(device).type == "cpu" and instructions().isdisjoint(BF16):
        raise SettingError(
            f"this processor has no bf16 instructions ({' or '.join(BF16)}), without which bf16 is slower than fp32; "
            f"leave precision out, or export to int8: {_TO_INT8}"
        )
    return torch.bfloat16


def _use_threads(threads: int) -> None:
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)


def _check_device(device: str) -> None:
    """Raise SettingError for a device that this machine lacks."""
    _moved(torch.nn.Linear(1, 1), device)


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
