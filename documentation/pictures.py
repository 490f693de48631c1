"""Draw the pictures of docs/concepts: losses and their gradients, computed by plackett.losses.

python -m documentation.pictures
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import torch

from documentation.figures import ROOT
from plackett.losses import LOSSES

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

ASSETS = ROOT / "docs" / "assets"
SHOWN = {
    "mse": "mse (pointwise)",
    "rank_net": "rank_net (pairwise)",
    "list_softmax": "list_softmax",
    "p_list_mle": "p_list_mle",
}
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def losses(path: Path) -> None:
    """Plot each loss as the score of the relevant document rises; the four others score 1, 0, 0 and -1."""
    moving = torch.linspace(-4, 4, 161)
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]])
    others = torch.tensor([1.0, 0.0, 0.0, -1.0])
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in SHOWN:
        values = [_loss(LOSSES[name], torch.cat([score[None], others])[None], labels) for score in moving]
        axis.plot(moving, [value.item() for value in values], label=name)
    axis.set(xlabel="score of the relevant document", ylabel="loss", ylim=(0, 8))
    axis.axvline(1, color="#999", linestyle=":")
    axis.annotate("best of the others", (1, 7.4), xytext=(4, 0), textcoords="offset points", fontsize=8, color="#666")
    axis.legend(frameon=False)
    _save(figure, path)


def gradients(path: Path) -> None:
    """Plot the gradients of ListMLE on a list in reversed order, with and without position weights."""
    labels = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])
    figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for number, name in enumerate(("list_mle", "p_list_mle")):
        scores = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0]], requires_grad=True)
        _loss(LOSSES[name], scores, labels).backward()  # type: ignore[no-untyped-call]
        assert scores.grad is not None  # noqa: S101
        share = scores.grad[0] / scores.grad.abs().sum()
        axis.bar(torch.arange(5) + 0.4 * number - 0.2, share, width=0.38, label=name)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(5), [f"label {label:.0f}" for label in labels[0]])
    axis.set_ylabel("gradient, share of the sum\n(negative raises the score)")
    axis.legend(frameon=False)
    _save(figure, path)


def _loss(loss: Loss, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return loss(scores, labels, torch.ones_like(labels, dtype=torch.bool))


def _save(figure: Figure, path: Path) -> None:
    """Save as an SVG with the same bytes for the same drawing."""
    with mpl.rc_context({"svg.hashsalt": "plackett"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draw all pictures."""
    ASSETS.mkdir(exist_ok=True)
    losses(ASSETS / "losses.svg")
    gradients(ASSETS / "gradients.svg")


if __name__ == "__main__":
    main()
