"""The curves of a training run as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

Log = Sequence[Mapping[str, float]]


def plot_training(log: Log, path: Path) -> None:
    """Plot loss, learning rate and the measures of the development collections by step, as PNG."""
    measured = sorted({key for entry in log for key in entry if key.startswith("eval_")} - {"eval_runtime"})
    panels = {"loss": ["loss"], "learning rate": ["learning_rate"]} | ({"measures": measured} if measured else {})
    figure = Figure(figsize=(8, 2.6 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, names) in zip(rows, panels.items(), strict=True):
        _draw(axes, log, names)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    if measured:
        rows[-1].legend(fontsize="small")
    rows[-1].set_xlabel("step")
    figure.savefig(path, dpi=100)


def _draw(axes: Any, log: Log, names: Sequence[str]) -> None:
    for name in names:
        entries = [entry for entry in log if name in entry]
        steps, values = [entry["step"] for entry in entries], [entry[name] for entry in entries]
        axes.plot(steps, values, marker=".", label=name.removeprefix("eval_"))
