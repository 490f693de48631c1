"""Engines run the forward pass: token ids in, raw logits out.

All of them keep one contract, `Engine`. `load_engine` finds one by its name in `ENGINES`; to add an engine, write its
module with a `load(checkpoint, settings)` and give it a line there, with the extra that installs what it needs.
"""

from plackett.engines.base import PRECISIONS, Engine, EngineSettings, FakeEngine, Parts
from plackett.engines.loading import ENGINES, load_engine

__all__ = ["ENGINES", "PRECISIONS", "Engine", "EngineSettings", "FakeEngine", "Parts", "load_engine"]
