"""What a training shows and leaves: a bar on standard error, its curves as a picture, checkpoints that can be used."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from plackett.checkpoint import Checkpoint, copy_tokenizer, write_metadata
from plackett.recipes import Recipe


class ProgressBar(TrainerCallback):
    """A bar on standard error with the last logged loss and learning rate."""

    _bar: "tqdm[Any] | None" = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Open the bar."""
        if state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", desc="training")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **context: Any) -> None:
        """Show the loss."""
        logs = context.get("logs") or {}
        if self._bar is not None and "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.4f}", learning_rate=f"{logs['learning_rate']:.1e}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class UsableCheckpoints(TrainerCallback):
    """Every checkpoint that is saved on the way can be ranked with, and says which recipe it comes from."""

    def __init__(self, base: Checkpoint, recipe: Recipe) -> None:
        self._base = base
        self._recipe = recipe

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add what the Trainer does not write."""
        if state.is_world_process_zero:
            make_usable(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self._base, self._recipe)


def make_usable(folder: Path, base: Checkpoint, recipe: Recipe) -> None:
    """Add the tokenizer, the activation, the token limit and the recipe to saved weights."""
    copy_tokenizer(base.folder, folder)
    write_metadata(folder, activation="sigmoid", max_length=base.max_length)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")


def plot_training(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss, learning rate and the measures of the development collections by step, as PNG."""
    measured = sorted({key for entry in log for key in entry if key.startswith("eval_")} - {"eval_runtime"})
    keys = ["loss", "learning_rate", *(["measures"] if measured else [])]
    figure = Figure(figsize=(8, 2.6 * len(keys)), layout="constrained")
    for axes, key in zip(figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0], keys, strict=True):
        for name in measured if key == "measures" else [key]:
            points = [(entry["step"], entry[name]) for entry in log if name in entry]
            axes.plot(*zip(*points, strict=True) if points else ([], []), marker=".", label=name.removeprefix("eval_"))
        axes.set_ylabel(key.replace("_", " "))
        axes.grid(alpha=0.3)
        if key == "measures":
            axes.legend(fontsize="small")
    axes.set_xlabel("step")
    figure.savefig(path, dpi=100)
