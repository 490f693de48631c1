"""The torch engine: packed forward passes for known families, padded ones for all other classifiers."""

import plackett.models  # noqa: F401 - first: it refuses a Python without docstrings before transformers fails
from plackett.engines.torch.engine import TorchEngine, load

__all__ = ["TorchEngine", "load"]
