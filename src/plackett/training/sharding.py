"""Sharded weights: FSDP and DeepSpeed's ZeRO-3, where no process holds all of them.

Each forward and backward pass gathers the weights of a layer from all processes, so all processes must run the same
number of passes in the same order.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedType
from numpy.typing import NDArray
from torch import Tensor
from transformers import TrainingArguments

from plackett._compat.trainer import forget_deepspeed
from plackett.checkpoints.folder import Checkpoint
from plackett.engines.torch.engine import TorchEngine, padded_forward
from plackett.errors import CheckpointError, SettingError
from plackett.tokenization.batches import EncodedPairs
from plackett.training.recipe import Recipe


def check_sharding(recipe: Recipe, arguments: TrainingArguments) -> None:
    """Raise SettingError for settings that would be ignored, or would fail when the trained model is saved.

    Also initialises the process group, which ZeRO-3 needs before the weights are read.
    """
    fsdp = bool(arguments.fsdp) or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in {"true", "1"}
    zero = _zero_settings(arguments)
    if fsdp:
        _check_fsdp(arguments)
    if zero.get("stage") == 3:
        _check_zero_3(zero)
    if recipe.lora is not None and (fsdp or zero.get("stage") == 3):
        raise SettingError("adapters cannot be merged into sharded weights: leave lora out, or use DDP or ZeRO-2")
    if recipe.cached_gradients and (fsdp or zero.get("stage") in {2, 3}):
        raise SettingError(
            "cached_gradients needs several backward passes per step, which FSDP, ZeRO-2 and ZeRO-3 do not support: "
            "leave it out, or use DDP or ZeRO-1"
        )


def _check_fsdp(arguments: TrainingArguments) -> None:
    kind = arguments.distributed_state.distributed_type
    if kind in {DistributedType.NO, DistributedType.MULTI_CPU}:
        where = "is a single process" if kind == DistributedType.NO else f"runs on {arguments.device.type}"
        raise SettingError(
            "FSDP would be ignored: it needs several processes, each on its own accelerator, and this training "
            f"{where}; start it with torchrun --nproc-per-node N on a machine with N accelerators, or leave "
            "training.fsdp out"
        )


def _check_zero_3(zero: Mapping[str, object]) -> None:
    if zero.get("stage3_gather_16bit_weights_on_model_save") is not True:
        raise SettingError(
            "ZeRO-3 could not write the checkpoint: set stage3_gather_16bit_weights_on_model_save to true under "
            "zero_optimization in training.deepspeed"
        )
    if dist.is_initialized():  # accelerate informs DeepSpeed only if there are accelerators
        importlib.import_module("deepspeed.comm").init_distributed()


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether every forward pass gathers the weights from all processes."""
    fsdp: bool = accelerator.distributed_type == DistributedType.FSDP
    return fsdp or _is_zero_3(accelerator)


def check_not_over(accelerator: Accelerator, last: Path) -> None:
    """Refuse to finish a training run killed after its last step if its shards can only be read to train on."""
    if _is_zero_3(accelerator):
        raise CheckpointError(
            f"{last} is the end of this training, and ZeRO-3 can load a checkpoint only to continue training. To rank "
            "with it, copy it to the output folder"
        )


def in_step(batches: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
    """Yield the micro-batches, then repeat the smallest until all processes have equally many."""
    most = torch.tensor(len(batches), device=next(iter(batches[0].values())).device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    smallest = min(batches, key=lambda batch: batch["input_ids"].numel())
    return [*batches, *[smallest] * (int(most) - len(batches))]


def own_scores(scores: Tensor, pairs: int) -> Tensor:
    """Return the scores of real pairs, (pairs,); those added by `in_step` stay in the graph, times 0."""
    return scores[:pairs] + 0 * scores[pairs:].sum()


def whole_weights(accelerator: Accelerator, model: torch.nn.Module) -> dict[str, Tensor]:
    """Return all weights by name in the first process. Models loaded from now on are no longer sharded."""
    weights: dict[str, Tensor] = accelerator.get_state_dict(model)
    forget_deepspeed()
    return weights


class ShardedEngine:
    """Runs a sharded model in its present state, in padded batches. All processes must score the same number."""

    token_budget = TorchEngine.token_budget

    def __init__(self, model: torch.nn.Module, checkpoint: Checkpoint) -> None:
        self._forward = padded_forward(model, checkpoint)

    def score(self, batch: EncodedPairs) -> NDArray[np.float32]:
        """Raw logits, float32 (pairs, labels)."""
        with torch.no_grad():  # not inference mode: gathered weights outlive the pass, to be trained
            scores: NDArray[np.float32] = self._forward(batch).float().cpu().numpy()
        return scores


def _is_zero_3(accelerator: Accelerator) -> bool:
    zero = getattr(accelerator.state, "deepspeed_plugin", None)
    return zero is not None and zero.zero_stage == 3


def _zero_settings(arguments: TrainingArguments) -> Mapping[str, object]:
    config = getattr(arguments, "hf_deepspeed_config", None)
    settings: Mapping[str, object] = config.config.get("zero_optimization", {}) if config else {}
    return settings
