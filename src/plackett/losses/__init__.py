"""Listwise losses: pure functions of scores, labels and a mask, by name in `LOSSES`."""

from plackett.losses.likelihood import LOSSES, POSITION_WEIGHTS, REDUCTIONS, SCHEMES, TIES, Loss
from plackett.losses.matrices import to_matrix

__all__ = ["LOSSES", "POSITION_WEIGHTS", "REDUCTIONS", "SCHEMES", "TIES", "Loss", "to_matrix"]
