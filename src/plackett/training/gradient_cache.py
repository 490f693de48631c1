"""Exact gradients of any listwise loss in the memory of one micro-batch.

A listwise loss sees one score for each pair, so its gradient with respect to the scores is small whatever the model.
The forward pass runs without a graph and keeps only the scores; the backward pass runs each micro-batch again, with a
graph, and passes it its part of that gradient (Gao, Zhang, Han & Callan 2021, RepL4NLP). The random state is restored
before each second run, so dropout repeats itself and the gradients are those of the plain pass.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

MicroBatch = Mapping[str, Tensor]
Score = Callable[[MicroBatch], Tensor]


def cached_scores(score: Score, batches: Sequence[MicroBatch], model: torch.nn.Module) -> Tensor:
    """Return the scores of all micro-batches, (pairs,); the backward pass needs the graph of only one at a time.

    `score(batch)` runs `model` on one micro-batch, (pairs in it,). Under DistributedDataParallel, processes exchange
    gradients once, with the last micro-batch.
    """
    anchor = torch.zeros((), requires_grad=True)  # makes autograd call backward, although no input carries a graph
    scores: Tensor = _CachedScores.apply(anchor, score, batches, model)  # type: ignore[no-untyped-call]
    return scores


class _CachedScores(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, anchor: Tensor, score: Score, batches: Sequence[MicroBatch], model: torch.nn.Module
    ) -> Tensor:
        context.score, context.batches, context.model = score, batches, model
        context.states, context.sizes = [], []
        parts = []
        for batch in batches:
            context.states.append(_random_state(batch))
            parts.append(score(batch).detach())
            context.sizes.append(len(parts[-1]))
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[None, None, None, None]:
        last = len(context.batches) - 1
        after = _random_state(context.batches[last])
        steps = zip(context.batches, context.states, torch.split(gradient, context.sizes), strict=True)
        for index, (batch, state, part) in enumerate(steps):
            _restore(state)
            with _unsynchronised(context.model) if index < last else contextlib.nullcontext():
                with torch.enable_grad():
                    scores = context.score(batch)
                torch.autograd.backward(scores, part)
        _restore(after)
        return None, None, None, None


def _random_state(batch: MicroBatch) -> tuple[Tensor, Tensor | None, torch.device]:
    device = next(iter(batch.values())).device
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_device, device


def _restore(state: tuple[Tensor, Tensor | None, torch.device]) -> None:
    on_cpu, on_device, device = state
    torch.set_rng_state(on_cpu)
    if on_device is not None:
        torch.cuda.set_rng_state(on_device, device)


def _unsynchronised(model: torch.nn.Module) -> contextlib.AbstractContextManager[None]:
    """Suspend the exchange of gradients if the model is distributed."""
    no_sync = getattr(model, "no_sync", contextlib.nullcontext)
    context: contextlib.AbstractContextManager[None] = no_sync()
    return context
