"""Engines, which run the forward pass: token ids in, raw logits out.

Every engine implements the protocol `Engine`. `open_model` chooses one for a model, and `load_engine` loads one by its
name in `ENGINES`. To add an engine, write a module with `load(checkpoint, settings)` and add its `EngineSpec` to the
table.
"""

from plackett.checkpoints.exports import ENGINES, EngineSpec
from plackett.engines.base import PRECISIONS, Engine, EngineSettings, FakeEngine, Parts
from plackett.engines.loading import Options, load_engine, open_model

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Engine",
    "EngineSettings",
    "EngineSpec",
    "FakeEngine",
    "Options",
    "Parts",
    "load_engine",
    "open_model",
]
