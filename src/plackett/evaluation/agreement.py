"""Measure how well two sets of scores of the same pairs agree, in value and in order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from plackett.ranking import stable_order

Scores = NDArray[np.float32]

TOP = 10
WORST = 5


@dataclass(frozen=True)
class Agreement:
    """The agreement of two sets of logits of `pairs` pairs.

    `largest` and `mean` are absolute differences, `worst` the indices of the pairs that differ most. `tau` is the mean
    Kendall's tau-b over queries with at least two documents, `overlap` the mean share of common documents among the
    best `TOP` over queries with more than `TOP`. Both are None without such queries, or for several labels.
    """

    pairs: int
    queries: int
    largest: float
    mean: float
    tau: float | None
    overlap: float | None
    worst: tuple[int, ...]


def agreement(a: Scores, b: Scores, queries: Sequence[str]) -> Agreement:
    """Compare logits (pairs, labels), at least one pair; `queries` names the query of each pair."""
    differences = np.abs(a.astype(np.float64) - b)
    of_pairs = differences.max(axis=1)
    rows: dict[str, list[int]] = {}
    for index, query in enumerate(queries):
        rows.setdefault(query, []).append(index)

    lists = [(a[of_query, 0], b[of_query, 0]) for of_query in rows.values()] if a.shape[1] == 1 else []
    return Agreement(
        pairs=len(a),
        queries=len(rows),
        largest=float(of_pairs.max()),
        mean=float(differences.mean()),
        tau=_mean_over(lists, kendall_tau, more_than=1),
        overlap=_mean_over(lists, top_overlap, more_than=TOP),
        worst=tuple(int(index) for index in stable_order(of_pairs)[:WORST]),
    )


def kendall_tau(a: Scores, b: Scores) -> float:
    """Return Kendall's tau-b of two rankings (Kendall, The Treatment of Ties in Ranking Problems, 1945).

    It is undefined if one of them ties everything; then the result is 1 if both do, and 0 otherwise.
    """
    concordance, untied_a, untied_b = 0, 0, 0
    for index in range(len(a) - 1):
        order_a, order_b = (np.sign(values[index + 1 :] - values[index]) for values in (a, b))
        concordance += int(order_a @ order_b)
        untied_a += int(np.count_nonzero(order_a))
        untied_b += int(np.count_nonzero(order_b))

    if not untied_a or not untied_b:
        return float(untied_a == untied_b)
    return float(concordance / np.sqrt(float(untied_a) * untied_b))


def top_overlap(a: Scores, b: Scores) -> float:
    """Return the share of common documents among the best `TOP` of two rankings; ties keep the input order."""
    best_a, best_b = (set(stable_order(values)[:TOP].tolist()) for values in (a, b))
    return len(best_a & best_b) / len(best_a)


def _mean_over(
    lists: Sequence[tuple[Scores, Scores]], measure: Callable[[Scores, Scores], float], *, more_than: int
) -> float | None:
    """Return the mean of a measure over the lists of more than this many documents, None without any."""
    values = [measure(a, b) for a, b in lists if len(a) > more_than]
    return fmean(values) if values else None
