"""Callbacks of a training run: progress bar, random numbers, evaluation and early stopping."""

import math
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from plackett._progress import progress_bar
from plackett.training.sampling import SampledLists, StreamedLists


class ProgressBar(TrainerCallback):
    """A bar on standard error: remaining time, latest loss and learning rate, and the next event."""

    _bar: "tqdm[Any] | None" = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar."""
        if state.is_world_process_zero:
            self._bar = progress_bar(
                show=True, total=state.max_steps, initial=state.global_step, unit="step", desc="training"
            )
            self._figures = {"next": next_event(args, state)}
            self._bar.set_postfix(self._figures)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._figures["next"] = next_event(args, state)
            self._bar.set_description("measuring" if control.should_evaluate else "training", refresh=False)
            self._bar.set_postfix(self._figures, refresh=False)
            self._bar.update(state.global_step - self._bar.n)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Return to the training steps."""
        if self._bar is not None:
            self._bar.set_description("training")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any) -> None:
        """Show the loss."""
        logs = context.get("logs") or {}
        if self._bar is not None and "loss" in logs:
            figures = {"loss": f"{logs['loss']:.4f}", "learning_rate": f"{logs['learning_rate']:.1e}"}
            self._figures = figures | {"next": next_event(args, state)}
            self._bar.set_postfix(self._figures)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar and keep its last line."""
        if self._bar is not None:
            self._bar.close()


def next_event(args: TrainingArguments, state: TrainerState) -> str:
    """Return the next event that interrupts or ends the steps, and its step."""
    last, now = state.max_steps, state.global_step
    per_epoch = math.ceil(last / max(state.num_train_epochs, 1))
    events = {last: "the end"}
    for name, strategy, steps in (
        ("saving", args.save_strategy, state.save_steps),
        ("measuring", args.eval_strategy, state.eval_steps),
    ):
        every = {"steps": int(steps or 0), "epoch": per_epoch}.get(strategy, 0)
        if every and now + every - now % every < last:
            events[now + every - now % every] = name
    step = min(events)
    return f"{events[step]} at {step}"


class Reproducible(TrainerCallback):
    """Makes an epoch's draws depend only on seed and epoch, and a step's dropout only on seed and step.

    So a resumed training run, with any number of processes, is identical to an uninterrupted one. accelerate sets a
    dataset's epoch only if batches are neither shared among processes nor skipped, and the random states in a
    checkpoint do not cover the draws of data-loader workers.
    """

    def __init__(self, dataset: SampledLists | StreamedLists) -> None:
        self._dataset = dataset

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Set the dataset's epoch."""
        self._dataset.set_epoch(int(state.epoch or 0))

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seed each process differently."""
        seeds = np.random.SeedSequence([args.seed, state.global_step, args.process_index])
        torch.manual_seed(int(seeds.generate_state(1)[0]))


class EarlyStop(TrainerCallback):
    """Stops after `patience` evaluations in a row without a better measure.

    It reads the log, so a resumed run stops at the same step.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Check the latest evaluations."""
        control.should_training_stop |= self.is_over(args, state)

    def is_over(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Whether the best evaluation after the start was `patience` evaluations ago."""
        measure = f"eval_{str(args.metric_for_best_model).removeprefix('eval_')}"
        by_step = {entry["step"]: entry[measure] for entry in state.log_history if measure in entry and entry["step"]}
        values = [value if args.greater_is_better else -value for value in by_step.values()]
        return bool(values) and len(values) - 1 - values.index(max(values)) >= self._patience


class MeasureAtEnd(TrainerCallback):
    """Evaluates after the last step too, whatever `eval_steps` is."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Request the evaluation."""
        if state.global_step >= state.max_steps and args.eval_strategy != "epoch":
            control.should_evaluate = True
