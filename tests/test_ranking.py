"""The one order of ranked lists."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plackett.ranking import stable_order

FLOATS = st.floats(allow_nan=False, width=32)


@given(st.lists(FLOATS, max_size=30))
def test_the_order_is_that_of_a_stable_sort(scores: list[float]) -> None:
    expected = sorted(range(len(scores)), key=lambda index: scores[index], reverse=True)
    assert stable_order(np.array(scores, dtype=np.float32)).tolist() == expected


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0]), max_size=30))
def test_equal_scores_keep_their_input_order(scores: list[float]) -> None:
    ones = [index for index, score in enumerate(scores) if score == 1]
    zeros = [index for index, score in enumerate(scores) if score == 0]
    assert stable_order(np.array(scores)).tolist() == ones + zeros


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_not_a_number_comes_last(dtype: type) -> None:
    assert stable_order(np.array([np.nan, -np.inf, 2, np.nan, np.inf], dtype=dtype)).tolist() == [4, 2, 1, 0, 3]


def test_it_needs_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; import plackett.ranking"
    subprocess.run([sys.executable, "-c", program], check=True)
