"""How well two sets of scores of the same pairs agree: in value, and in the order that they give."""

from collections.abc import Sequence
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
    """Of the logits of `pairs` pairs: the `largest` and the `mean` absolute difference, and the `worst` pairs first.

    `tau` is Kendall's tau-b and `overlap` the share of the `TOP` best that are the same, each a mean over queries:
    those of at least two documents, and those of more than `TOP`. None where there is none, and for several labels.
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
    taus = [kendall_tau(*scores) for scores in lists if len(scores[0]) > 1]
    overlaps = [top_overlap(*scores) for scores in lists if len(scores[0]) > TOP]
    return Agreement(
        pairs=len(a),
        queries=len(rows),
        largest=float(of_pairs.max()),
        mean=float(differences.mean()),
        tau=fmean(taus) if taus else None,
        overlap=fmean(overlaps) if overlaps else None,
        worst=tuple(int(index) for index in stable_order(of_pairs)[:WORST]),
    )


def kendall_tau(a: Scores, b: Scores) -> float:
    """Kendall's tau-b of two rankings (Kendall, The Treatment of Ties in Ranking Problems, 1945).

    Where one of them ties everything, tau-b is undefined: here it is 1 if both do, else 0.
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
    """The share of the `TOP` best documents that two rankings have in common; ties keep the order of the input."""
    best_a, best_b = (set(stable_order(values)[:TOP].tolist()) for values in (a, b))
    return len(best_a & best_b) / len(best_a)
