"""Read the scores in a server's response, in any format. RemoteError describes what is wrong."""

import numpy as np
from numpy.typing import NDArray

from plackett._wording import counted
from plackett.errors import RemoteError

LISTS = ("results", "data", "rankings")
SCORES = ("relevance_score", "score", "logit")

# The extreme probabilities below 1 and above 0, in the precision of the computation.
MOST, LEAST = 1 - 2.0**-53, 2.0**-149

LARGEST = float(np.finfo(np.float32).max)


def read_scores(body: object, count: int) -> NDArray[np.float64]:
    """Read items such as `{index, score}`, in a list or in a field of `LISTS`. Returns (count,) in input order."""
    items = _list(body, count)
    scores = np.full(count, np.nan)
    for item in items:
        if not isinstance(item, dict):
            raise RemoteError("no list of scores")
        index = item.get("index")
        if type(index) is not int or not 0 <= index < count:
            raise RemoteError(f"the index {repr(index)[:40]} for {counted(count, 'document')}")
        if not np.isnan(scores[index]):
            raise RemoteError(f"the index {index} twice")
        scores[index] = finite(next((item[name] for name in SCORES if name in item), None))
    return scores


def read_numbers(body: object, count: int) -> NDArray[np.float64]:
    """Read a list of numbers, (count,)."""
    return np.array([finite(item) for item in _list(body, count)], np.float64)


def finite(score: object) -> float:
    """Read a score that float32 can hold."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not abs(score) <= LARGEST:
        raise RemoteError(f"the score {str(score)[:40]}, which is not a finite number")
    return float(score)


def inverse_sigmoid(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logits of probabilities, (count,). Probabilities of 0 and 1 give finite logits, which may be tied."""
    if probabilities.min() < 0 or probabilities.max() > 1:
        worst = max(probabilities, key=lambda value: abs(value - 0.5))
        raise RemoteError(f"the score {worst:g}, although its earlier scores were between 0 and 1")
    inner = np.clip(probabilities, LEAST, MOST)
    logits: NDArray[np.float64] = np.log(inner) - np.log1p(-inner)
    return logits


def _list(body: object, count: int) -> list[object]:
    items = next((body[name] for name in LISTS if name in body), None) if isinstance(body, dict) else body
    if not isinstance(items, list):
        raise RemoteError("no list of scores")
    if len(items) != count:
        raise RemoteError(f"{counted(len(items), 'score')} for {counted(count, 'document')}")
    return items
