"""The torch engine: packed forward passes for the families that it knows, padded ones for every other classifier."""

import plackett.models  # noqa: F401 - first: it refuses a Python without docstrings before transformers fails
from plackett.engines.torch.engine import TorchEngine, load

__all__ = ["TorchEngine", "load"]
