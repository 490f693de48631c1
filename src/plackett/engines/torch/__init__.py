"""The torch engine: packed forward passes for the BERT family, padded ones for every other classifier."""

from plackett.engines.torch.engine import TorchEngine, load

__all__ = ["TorchEngine", "load"]
