"""Fit calibrations to judged pairs, and compare them on held-out queries. Deterministic, with numpy only.

All fits use Platt's smoothed targets, (positives + 1) / (positives + 2) and 1 / (negatives + 2). Even if the logits
separate the data, the parameters are finite and no probability is 0 or 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett._wording import counted
from plackett.calibration.thresholds import Target, choose
from plackett.checkpoints.calibrations import (
    Calibration,
    Isotonic,
    Platt,
    Temperature,
    method_of,
    parameters_of,
    sigmoid,
)
from plackett.errors import DataError, SettingError
from plackett.facts import CalibrationFacts

BINS = 15  # for the expected calibration error
FLATTEST = 1e-6  # smallest slope, for logits scaled to a spread of 1: probabilities must not decrease
SMALLEST = 1e-9  # smallest spread of logits; below it, they count as equal
STEPS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedPairs:
    """Judged pairs as arrays of equal length: raw logits, relevance, and the index of each pair's query.

    Raises DataError for data to which no calibration can be fitted.
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
                f"{positives} of {len(self.relevant)} pairs are relevant: a calibration needs both relevant and "
                "irrelevant pairs"
            )

    def __len__(self) -> int:
        return len(self.logits)

    def where(self, mask: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the logits, as float64, and the labels of the chosen pairs."""
        return self.logits[mask].astype(np.float64), self.relevant[mask]


@dataclass(frozen=True)
class Assessment:
    """The held-out probabilities of one method, (pairs,), their log-loss and expected calibration error.

    `fits` are the calibrations that produced them, one for each fold.
    """

    method: str
    probabilities: Floats
    log_loss: float
    error: float
    fits: tuple[Calibration, ...] = ()


@dataclass(frozen=True)
class Threshold:
    """A probability chosen on all data to reach `target`, or None if no threshold does.

    The counts are of held-out pairs: `kept` are at or above the threshold that the other folds chose, `found` are the
    relevant ones among them, `relevant` are all relevant ones.
    """

    target: Target
    value: float | None
    kept: int
    found: int
    relevant: int

    @property
    def precision(self) -> float:
        """Share of relevant pairs among the kept ones; NaN if none is kept."""
        return self.found / self.kept if self.kept else float("nan")

    @property
    def recall(self) -> float:
        """Share of the relevant pairs that are kept."""
        return self.found / self.relevant

    @property
    def reached(self) -> bool:
        """Whether the held-out pairs reach the target too."""
        measured = self.precision if self.target.measure == "precision" else self.recall
        return self.value is not None and measured >= self.target.value


@dataclass(frozen=True)
class Calibrated:
    """Results of the methods on held-out folds, and the method with the lowest log-loss, fitted to all pairs.

    `before` is the sigmoid of the raw logits. `base_rate` predicts the share of relevant pairs for every
    pair, as an uninformed model would.
    """

    pairs: JudgedPairs
    calibration: Calibration
    before: Assessment
    base_rate: Assessment
    methods: tuple[Assessment, ...]
    best: Assessment
    thresholds: tuple[Threshold, ...]

    @property
    def recommended(self) -> Threshold | None:
        """The first threshold confirmed on held-out pairs, otherwise the first that keeps any pair."""
        usable = [item for item in self.thresholds if item.value is not None and item.kept]
        return next((item for item in usable if item.reached), next(iter(usable), None))

    def facts(self, collection: str) -> CalibrationFacts:
        """Return what a model card shows, with the recommended threshold."""
        before, after, threshold = self.before, self.best, self.recommended
        return CalibrationFacts(
            method=method_of(self.calibration),
            collection=collection,
            pairs=len(self.pairs),
            parameters=parameters_of(self.calibration),
            measures={"log-loss": (before.log_loss, after.log_loss), "ECE": (before.error, after.error)},
            threshold=threshold.value if threshold else None,
            threshold_rule=_rule(threshold) if threshold else "",
        )


def _rule(threshold: Threshold) -> str:
    return (
        f"{threshold.target}; on held-out folds it reached a precision of {threshold.precision:.4f} "
        f"with a recall of {threshold.recall:.4f}"
    )


def calibrate(pairs: JudgedPairs, *, folds: int = 5, seed: int = 0, targets: Sequence[Target] = ()) -> Calibrated:
    """Cross-validate each method over the folds, and fit the best one to all pairs.

    Folds are drawn by query, so a query's pairs are all in one fold. Raises SettingError for fewer queries than folds.
    """
    fold_of = folds_by_query(pairs.queries, folds, seed)
    held_out = [fold_of == fold for fold in range(folds)]
    methods = tuple(_assess_fits(name, pairs, held_out) for name in FITS)
    best = min(methods, key=lambda item: item.log_loss)  # among equals the first, which is the simplest

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
    """Return the fold of each pair, (pairs,). Queries are shuffled and dealt out in turn."""
    names, numbers = np.unique(queries, return_inverse=True)
    if isinstance(folds, bool) or folds < 2 or folds > len(names):
        raise SettingError(
            f"{folds} folds of {counted(len(names), 'query')}; choose at least 2 folds, and at most one per query"
        )
    dealt = np.empty(len(names), np.intp)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    return dealt[numbers]


def log_loss(probabilities: Floats, relevant: NDArray[np.bool_]) -> float:
    """Return the mean negative log of the probability of the true label, in nats, clipped at float64's epsilon."""
    epsilon = np.finfo(np.float64).eps
    given = np.where(relevant, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(given, epsilon, 1)).mean())


def expected_calibration_error(probabilities: Floats, relevant: NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the mean distance, over pairs, between the mean probability of a bin and its share of relevant pairs.

    The bins have equal mass as far as ties allow: pairs of equal probability share a bin.
    """
    edges = np.quantile(probabilities, np.arange(1, bins) / bins, method="inverted_cdf")
    number = np.searchsorted(np.unique(edges), probabilities)
    surplus = np.bincount(number, probabilities - relevant)
    return float(np.abs(surplus).sum() / len(probabilities))


def fit_temperature(logits: Floats, relevant: NDArray[np.bool_]) -> Temperature:
    """Fit the temperature with the lowest log-loss."""
    spread = max(np.abs(logits).max(), SMALLEST)
    [slope] = _logistic((logits / spread)[:, None], _smoothed(relevant))
    return Temperature(float(spread / slope))


def fit_platt(logits: Floats, relevant: NDArray[np.bool_]) -> Platt:
    """Fit the slope and intercept with the lowest log-loss.

    Lin, Lin and Weng 2007, A Note on Platt's Probabilistic Outputs for Support Vector Machines.
    """
    centre, spread = logits.mean(), max(logits.std(), SMALLEST)
    columns = np.column_stack([(logits - centre) / spread, np.ones(len(logits))])
    slope, intercept = _logistic(columns, _smoothed(relevant))
    return Platt(float(slope / spread), float(intercept - slope * centre / spread))


def fit_isotonic(logits: Floats, relevant: NDArray[np.bool_]) -> Isotonic:
    """Fit the least-squares increasing step function by pooling adjacent violators, and join its steps by lines.

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
    """Return the smoothed targets instead of 0 and 1."""
    positives, negatives = np.count_nonzero(relevant), np.count_nonzero(~relevant)
    return 1 / (negatives + 2), (positives + 1) / (positives + 2)


def _smoothed(relevant: NDArray[np.bool_]) -> Floats:
    low, high = _targets(relevant)
    return np.where(relevant, high, low)


def _logistic(columns: Floats, targets: Floats) -> Floats:
    """Return the column weights with the lowest log-loss; the first is at least FLATTEST.

    The loss is convex: if the unconstrained minimum is out of bounds, the first weight is at its bound.
    """
    weights = _newton(columns, targets, np.zeros(len(targets)))
    if weights[0] >= FLATTEST:
        return weights
    rest = columns[:, 1:]
    return np.array([FLATTEST, *(_newton(rest, targets, FLATTEST * columns[:, 0]) if rest.size else [])])


def _newton(columns: Floats, targets: Floats, offset: Floats) -> Floats:
    """Take Newton's steps, each halved until the loss falls."""
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
        # In float32, as users of the calibration get them.
        probabilities = fit(pairs.logits.astype(np.float32))
        of_others = choose(probabilities[~mask], pairs.relevant[~mask], target)
        above = mask & (probabilities.astype(np.float64) >= (np.inf if of_others is None else of_others))
        kept, found = kept + int(above.sum()), found + int(pairs.relevant[above].sum())
    value = choose(calibration(pairs.logits.astype(np.float32)), pairs.relevant, target)
    return Threshold(target, value, kept, found, int(pairs.relevant.sum()))
