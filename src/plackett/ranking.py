"""The order of a ranked list, written once; numpy only, so that it works on the bare install."""

from typing import Any

import numpy as np
import numpy.typing as npt


def stable_order(scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
    """Indices of `scores`, best first; equal scores keep their input order and NaN comes last.

    The order of `sorted(..., reverse=True)`. trec_eval differs: it breaks ties by document id.
    """
    return np.argsort(-np.asarray(scores), kind="stable")
