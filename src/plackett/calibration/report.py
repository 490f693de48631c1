"""Report a comparison of calibrations: a table, and a picture of predicted against observed relevance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plackett._wording import counted
from plackett.calibration.fitting import BINS, Assessment, Calibrated, Threshold
from plackett.checkpoints.calibrations import method_of, parameters_of

SHOWN_BINS = 10  # bins of equal width in the picture
Z95 = 1.96
FLAT = 0.01  # probabilities in a smaller range do not separate pairs


def table(calibrated: Calibrated) -> str:
    """Return the log-loss and calibration error of each method, and the thresholds, all measured on held-out pairs."""
    pairs = calibrated.pairs
    title = (
        f"{counted(len(np.unique(pairs.queries)), 'query')}, {counted(len(pairs), 'pair')}, "
        f"{pairs.relevant.mean():.1%} relevant; "
        f"{len(calibrated.best.fits)} folds by query"
    )
    return "\n".join([title, *_method_lines(calibrated), *_threshold_lines(calibrated.thresholds)])


def plot(calibrated: Calibrated, path: Path) -> None:
    """Draw the share and the number of relevant held-out pairs in each tenth of the probabilities, before and after."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfectly calibrated")
    edges = np.linspace(0, 1, SHOWN_BINS + 1)
    for number, item in enumerate((calibrated.before, calibrated.best)):
        name = ("before: sigmoid", f"after: {method_of(calibrated.calibration)}")[number]
        counts = _draw(above, item, calibrated.pairs.relevant, edges, f"{name}, ECE {item.error:.3f}")
        bars = below.bar(edges[:-1] + (0.27 + 0.46 * number) / SHOWN_BINS, counts, width=0.42 / SHOWN_BINS)
        below.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=6)
    above.set_ylabel("share of relevant pairs")
    above.legend(fontsize="small")
    above.grid(alpha=0.3)
    below.set(xlabel="probability", ylabel="pairs", yscale="symlog", xlim=(0, 1))
    below.margins(y=0.2)
    figure.savefig(path, dpi=100, format="png")


def _draw(
    axes: Axes, item: Assessment, relevant: NDArray[np.bool_], edges: NDArray[np.float64], label: str
) -> Sequence[int]:
    """Draw points with 95% intervals (Wilson 1927), and return the number of pairs in each bin."""
    number = np.searchsorted(edges[1:-1], item.probabilities, side="right")
    counts = np.bincount(number, minlength=SHOWN_BINS)
    filled = np.flatnonzero(counts)
    promised = np.bincount(number, item.probabilities, SHOWN_BINS)[filled] / counts[filled]
    share = np.bincount(number, relevant, SHOWN_BINS)[filled] / counts[filled]
    shrink = Z95**2 / counts[filled]
    centre = (share + shrink / 2) / (1 + shrink)
    half = Z95 * np.sqrt(share * (1 - share) / counts[filled] + shrink / (4 * counts[filled])) / (1 + shrink)
    spread = np.clip([share - (centre - half), centre + half - share], 0, 1)
    axes.errorbar(promised, share, yerr=spread, marker="o", markersize=4, capsize=2, linewidth=1, label=label)
    return [int(count) for count in counts]


def _method_lines(calibrated: Calibrated) -> list[str]:
    lines = [f"{'':<14}{'log-loss':>8}{'ECE':>8}"]
    for item in (calibrated.before, calibrated.base_rate, *calibrated.methods):
        mark = "  *" if item is calibrated.best else ""
        lines.append(f"{item.method:<14}{item.log_loss:>8.4f}{item.error:>8.4f}{mark}")

    parameters = ", ".join(f"{name} {value:g}" for name, value in parameters_of(calibrated.calibration).items())
    lines.append(f"* chosen, and fitted to all pairs: {parameters}. ECE: {BINS} bins of equal mass.")

    is_flat = np.ptp(calibrated.calibration(calibrated.pairs.logits)) < FLAT
    if is_flat or calibrated.best.log_loss >= calibrated.base_rate.log_loss:
        lines.append(
            "This is no better than the base rate: the scores do not separate relevant from irrelevant documents."
        )
    return lines


def _threshold_lines(thresholds: Sequence[Threshold]) -> list[str]:
    if not thresholds:
        return []
    heading = f"{'target':<14}{'threshold':>11}{'precision':>11}{'recall':>8}{'kept':>8}{'relevant':>10}"
    lines = ["", heading, *(_threshold_line(item) for item in thresholds)]
    if any(item.value is not None and not item.reached for item in thresholds):
        lines.append(
            "missed: on held-out queries this threshold does not reach its target; "
            "calibrate on more queries, or choose another target."
        )
    return lines


def _threshold_line(item: Threshold) -> str:
    if item.value is None:
        return f"{item.target!s:<14}  no threshold reaches it"
    precision = f"{item.precision:.4f}" if item.kept else "-"
    missed = "" if item.reached else "  missed"
    counts = f"{item.recall:>8.4f}{item.kept:>8,}{item.found:>10,}"
    return f"{item.target!s:<14}{item.value:>11g}{precision:>11}{counts}{missed}"
