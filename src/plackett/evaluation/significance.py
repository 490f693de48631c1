"""Test whether a difference between two systems on the same queries is statistically significant.

Uses the paired randomisation test (Fisher 1935; Smucker, Allan & Carterette 2007 on retrieval), the percentile
bootstrap over queries (Efron 1979), and Holm's correction for several comparisons (1979). All draws are seeded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

DRAWS = 10_000
SEED = 0
_DRAWN_AT_A_TIME = 2_000_000  # signs or queries, to bound memory
_SAME = 1e-9  # smaller differences count as none, because measures are sums of rounded numbers


@dataclass(frozen=True)
class Significance:
    """The significance of a mean of per-query differences.

    `ci95` is its bootstrap interval, `p_value` the result of the two-sided paired randomisation test, and `p_holm` the
    same after Holm's correction over the compared systems. `effect_size` is the mean difference in standard deviations
    of the differences (Cohen's d for pairs): 0 if no query changed, infinite if all changed by the same amount.
    """

    ci95: tuple[float, float]
    p_value: float
    p_holm: float
    effect_size: float
    helped: int
    hurt: int
    unchanged: int


def significance(*differences: Sequence[float] | Values, seed: int = SEED, draws: int = DRAWS) -> Significance:
    """Test the mean of a collection's differences, one for each query, or the mean of several such means.

    The p-value is exact if the changed queries allow at most `draws` combinations of signs. Otherwise it comes from
    that many draws and is at least 1 / (draws + 1). Raises ValueError for a collection without queries.
    """
    parts = [np.asarray(values, np.float64) for values in differences]
    if not parts or not all(len(values) for values in parts):
        raise ValueError("there is no query to compare on")

    rng = np.random.default_rng(seed)
    every = np.concatenate(parts)
    # Weight of each query in the mean of means.
    shares = np.concatenate([values / len(values) / len(parts) for values in parts])

    p_value = _randomisation_test(shares[np.abs(every) > _SAME], rng, draws)
    helped, hurt = int((every > _SAME).sum()), int((every < -_SAME).sum())
    return Significance(
        ci95=_bootstrap_interval(parts, rng, draws),
        p_value=p_value,
        p_holm=p_value,
        effect_size=_effect_size(every, float(shares.sum())),
        helped=helped,
        hurt=hurt,
        unchanged=len(every) - helped - hurt,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values after Holm's step-down correction, in the given order."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * np.arange(count, 0, -1))
    corrected = np.empty(count)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]


def _randomisation_test(shares: Values, rng: np.random.Generator, draws: int) -> float:
    """Return the share of random signs whose mean is at least as far from zero as the observed one."""
    seen = abs(shares.sum()) - _SAME / max(len(shares), 1)
    if 2 ** min(len(shares), 60) <= draws:
        signs = np.arange(2 ** len(shares))[:, None] >> np.arange(len(shares)) & 1
        return float((np.abs((2.0 * signs - 1) @ shares) >= seen).mean())

    def means(count: int) -> Values:
        signs: Values = 2.0 * rng.integers(0, 2, (count, len(shares)), np.int8) - 1
        drawn: Values = signs @ shares
        return drawn

    extreme = int((np.abs(_drawn(means, len(shares), draws)) >= seen).sum())
    return (extreme + 1) / (draws + 1)


def _bootstrap_interval(parts: Sequence[Values], rng: np.random.Generator, draws: int) -> tuple[float, float]:
    def means(values: Values) -> Values:
        def drawn(count: int) -> Values:
            resampled: Values = values[rng.integers(0, len(values), (count, len(values)), np.int32)].mean(axis=1)
            return resampled

        return _drawn(drawn, len(values), draws)

    low, high = np.quantile(np.mean([means(values) for values in parts], axis=0), [0.025, 0.975])
    return float(low), float(high)


def _drawn(means: Callable[[int], Values], width: int, draws: int) -> Values:
    """Draw this many means, in chunks that fit into memory."""
    size = max(1, _DRAWN_AT_A_TIME // max(width, 1))
    return np.concatenate([means(min(size, draws - start)) for start in range(0, draws, size)])


def _effect_size(differences: Values, mean: float) -> float:
    if np.abs(differences).max() <= _SAME:
        return 0.0
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return mean / deviation if deviation > _SAME else float(np.copysign(np.inf, mean))
