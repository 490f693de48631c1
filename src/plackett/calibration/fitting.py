"""Calibrations fitted to judged pairs, and compared on held-out queries. Deterministic, numpy only.

In every fit the targets are Platt's smoothed ones, (positives + 1) / (positives + 2) and 1 / (negatives + 2): data that
the logits separate give finite parameters, and no probability is 0 or 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett.calibration.thresholds import Target, choose
from plackett.checkpoints.calibrations import Calibration, Isotonic, Platt, Temperature, sigmoid
from plackett.errors import DataError, SettingError

BINS = 15  # of the expected calibration error
FLATTEST = 1e-6  # slope of a fit to logits of spread 1, where it would fall: probabilities must not
SMALLEST = 1e-9  # spread of logits: below, they are all the same
STEPS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedPairs:
    """Raw logits, which pairs are relevant, and the number of each pair's query: arrays of one length.

    Raises DataError for data that nothing can be fitted to.
    """

    logits: NDArray[np.floating[Any]]
    relevant: NDArray[np.bool_]
    queries: NDArray[np.integer[Any]]

    def __post_init__(self) -> None:
        if not len(self.logits) == len(self.relevant) == len(self.queries):
            raise DataError(f"{len(self.logits)} logits, {len(self.relevant)} labels, {len(self.queries)} queries")
        if not np.isfinite(self.logits).all():
            raise DataError("a logit is NaN or infinite")
        positives = int(np.count_nonzero(self.relevant))
        if positives in (0, len(self.relevant)):
            raise DataError(
                f"{positives} of {len(self.relevant)} pairs are relevant: a calibration needs relevant pairs and others"
            )

    def __len__(self) -> int:
        return len(self.logits)

    def where(self, mask: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
        """Logits as float64, and labels, of some of the pairs."""
        return self.logits[mask].astype(np.float64), self.relevant[mask]


@dataclass(frozen=True)
class Assessment:
    """Held-out probabilities of one method, (pairs,), and how good they are.

    `fits` are the calibrations that gave them, one for each fold.
    """

    method: str
    probabilities: Floats
    log_loss: float
    error: float
    fits: tuple[Calibration, ...] = ()


@dataclass(frozen=True)
class Threshold:
    """A probability chosen on all data for `target`; None where it cannot be reached.

    The counts are of held-out pairs: those at or above the threshold that the other folds chose, the relevant ones
    among them, and all relevant ones.
    """

    target: Target
    value: float | None
    kept: int
    found: int
    relevant: int

    @property
    def precision(self) -> float:
        """Relevant pairs among those kept; NaN where none is kept."""
        return self.found / self.kept if self.kept else float("nan")

    @property
    def recall(self) -> float:
        """Relevant pairs kept among all relevant ones."""
        return self.found / self.relevant


@dataclass(frozen=True)
class Calibrated:
    """The methods on held-out folds, and the best by log-loss, fitted to everything.

    `before` is the sigmoid of the raw logits; `base_rate` gives every pair the share of relevant ones: what a model
    that knows nothing would reach.
    """

    pairs: JudgedPairs
    calibration: Calibration
    before: Assessment
    base_rate: Assessment
    methods: tuple[Assessment, ...]
    best: Assessment
    thresholds: tuple[Threshold, ...]


def calibrate(pairs: JudgedPairs, *, folds: int = 5, seed: int = 0, targets: Sequence[Target] = ()) -> Calibrated:
    """Fit each method to all folds but one, measure it on that one, and fit the best to everything.

    Folds are drawn by query: no query has pairs in two. Raises SettingError for fewer queries than folds.
    """
    fold_of = folds_by_query(pairs.queries, folds, seed)
    held_out = [fold_of == fold for fold in range(folds)]
    methods = tuple(_assess_fits(name, pairs, held_out) for name in FITS)
    best = min(methods, key=lambda item: item.log_loss)  # of equal ones the first: the simplest
    rates = np.zeros(len(pairs))
    for mask in held_out:
        rates[mask] = pairs.relevant[~mask].mean()
    everything = np.ones(len(pairs), bool)
    calibration = FITS[best.method](*pairs.where(everything))
    return Calibrated(
        pairs=pairs,
        calibration=calibration,
        before=_assess("sigmoid", sigmoid(pairs.where(everything)[0]), pairs.relevant),
        base_rate=_assess("base rate", rates, pairs.relevant),
        methods=methods,
        best=best,
        thresholds=tuple(_threshold(pairs, calibration, best.fits, held_out, target) for target in targets),
    )


def folds_by_query(queries: NDArray[np.integer[Any]], folds: int, seed: int) -> NDArray[np.intp]:
    """The fold of each pair, (pairs,): queries are shuffled and dealt out in turn."""
    names, numbers = np.unique(queries, return_inverse=True)
    if isinstance(folds, bool) or folds < 2 or folds > len(names):
        raise SettingError(f"{folds} folds of {len(names)} queries; give from 2 to as many folds as there are queries")
    dealt = np.empty(len(names), np.intp)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    return dealt[numbers]


def log_loss(probabilities: Floats, relevant: NDArray[np.bool_]) -> float:
    """Mean of -log of the probability given to what is so, in nats; probabilities are cut at float64's epsilon."""
    epsilon = np.finfo(np.float64).eps
    given = np.where(relevant, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(given, epsilon, 1)).mean())


def expected_calibration_error(probabilities: Floats, relevant: NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean distance, over pairs, of the mean probability of a bin from its share of relevant pairs.

    The bins have equal mass as far as ties allow: pairs of one probability stay together, whatever their order.
    """
    edges = np.quantile(probabilities, np.arange(1, bins) / bins, method="inverted_cdf")
    number = np.searchsorted(np.unique(edges), probabilities)
    surplus = np.bincount(number, probabilities - relevant)
    return float(np.abs(surplus).sum() / len(probabilities))


def fit_temperature(logits: Floats, relevant: NDArray[np.bool_]) -> Temperature:
    """The temperature of least log-loss."""
    spread = max(np.abs(logits).max(), SMALLEST)
    [slope] = _logistic((logits / spread)[:, None], _smoothed(relevant))
    return Temperature(float(spread / slope))


def fit_platt(logits: Floats, relevant: NDArray[np.bool_]) -> Platt:
    """Slope and intercept of least log-loss, as in Lin, Lin and Weng 2007, A Note on Platt's Probabilistic Outputs."""
    centre, spread = logits.mean(), max(logits.std(), SMALLEST)
    columns = np.column_stack([(logits - centre) / spread, np.ones(len(logits))])
    slope, intercept = _logistic(columns, _smoothed(relevant))
    return Platt(float(slope / spread), float(intercept - slope * centre / spread))


def fit_isotonic(logits: Floats, relevant: NDArray[np.bool_]) -> Isotonic:
    """The step function of least squares that never falls, by pooling adjacent violators; joined by lines.

    Ayer et al. 1955, An Empirical Distribution Function for Sampling with Incomplete Information.
    """
    values, numbers, counts = np.unique(logits, return_inverse=True, return_counts=True)
    blocks: list[tuple[int, int, int]] = []  # relevant pairs, pairs, values: whole numbers, compared exactly
    for positives, pairs in zip(np.bincount(numbers[relevant], minlength=len(values)), counts, strict=True):
        block = (int(positives), int(pairs), 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    low, high = _targets(relevant)
    ends = np.cumsum([0, *(block[2] for block in blocks)])
    knots: dict[float, float] = {}
    for (start, end), (positives, pairs, _) in zip(pairwise(ends), blocks, strict=True):
        probability = low + (high - low) * positives / pairs
        knots |= {float(values[start]): probability, float(values[end - 1]): probability}
    return Isotonic(tuple(knots), tuple(knots.values()))


FITS: dict[str, Callable[[Floats, NDArray[np.bool_]], Calibration]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


def _targets(relevant: NDArray[np.bool_]) -> tuple[float, float]:
    """What stands for 0 and 1."""
    positives, negatives = np.count_nonzero(relevant), np.count_nonzero(~relevant)
    return 1 / (negatives + 2), (positives + 1) / (positives + 2)


def _smoothed(relevant: NDArray[np.bool_]) -> Floats:
    low, high = _targets(relevant)
    return np.where(relevant, high, low)


def _logistic(columns: Floats, targets: Floats) -> Floats:
    """Weights of the columns that minimise the log-loss; that of the first is at least FLATTEST.

    The loss is convex: where the free minimum is out of bounds, the first weight stays at its bound.
    """
    weights = _newton(columns, targets, np.zeros(len(targets)))
    if weights[0] >= FLATTEST:
        return weights
    rest = columns[:, 1:]
    return np.array([FLATTEST, *(_newton(rest, targets, FLATTEST * columns[:, 0]) if rest.size else [])])


def _newton(columns: Floats, targets: Floats, offset: Floats) -> Floats:
    """Newton's steps, each halved until the loss falls."""
    weights = np.zeros(columns.shape[1])
    loss = _mean_loss(offset, targets)
    for _ in range(STEPS):
        probabilities = sigmoid(columns @ weights + offset)
        gradient = columns.T @ (probabilities - targets)
        curvature = columns.T * (probabilities * (1 - probabilities)) @ columns
        step = np.linalg.solve(curvature + 1e-12 * np.eye(len(weights)), gradient)
        while (new := _mean_loss(columns @ (weights - step) + offset, targets)) > loss and np.abs(step).max() > 1e-12:
            step /= 2
        if not new < loss:
            break
        weights, loss = weights - step, new
    return weights


def _mean_loss(logits: Floats, targets: Floats) -> float:
    return float(np.mean(np.logaddexp(0, logits) - targets * logits))


def _assess(
    method: str, probabilities: Floats, relevant: NDArray[np.bool_], fits: tuple[Calibration, ...] = ()
) -> Assessment:
    error = expected_calibration_error(probabilities, relevant)
    return Assessment(method, probabilities, log_loss(probabilities, relevant), error, fits)


def _assess_fits(method: str, pairs: JudgedPairs, held_out: Sequence[NDArray[np.bool_]]) -> Assessment:
    probabilities = np.zeros(len(pairs))
    fits = tuple(FITS[method](*pairs.where(~mask)) for mask in held_out)
    for mask, fit in zip(held_out, fits, strict=True):
        probabilities[mask] = fit(pairs.where(mask)[0])
    return _assess(method, probabilities, pairs.relevant, fits)


def _threshold(
    pairs: JudgedPairs,
    calibration: Calibration,
    fits: Sequence[Calibration],
    held_out: Sequence[NDArray[np.bool_]],
    target: Target,
) -> Threshold:
    kept = found = 0
    for mask, fit in zip(held_out, fits, strict=True):
        # float32, as they are for who uses them
        probabilities = fit(pairs.logits.astype(np.float32))
        of_others = choose(probabilities[~mask], pairs.relevant[~mask], target)
        above = mask & (probabilities.astype(np.float64) >= (np.inf if of_others is None else of_others))
        kept, found = kept + int(above.sum()), found + int(pairs.relevant[above].sum())
    value = choose(calibration(pairs.logits.astype(np.float32)), pairs.relevant, target)
    return Threshold(target, value, kept, found, int(pairs.relevant.sum()))
