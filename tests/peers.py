"""The libraries that Plackett is compared with, imported when a test first uses one, and programs that tests start.

Both are recorded, so that a test without the marker `peer` or `process` fails if it needs one.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

used: list[str] = []
started: list[str] = []


class _Peer:
    """A module that is imported on first use."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if not attribute[0].isupper():  # pytest and hypothesis look at every name of a test module
            raise AttributeError(attribute)
        used.append(self._name)
        return getattr(importlib.import_module(self._name), attribute)


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Record programs of Python that are started; an audit hook."""
    if event == "subprocess.Popen" and Path(str(arguments[0])).name.startswith("python"):
        started.append(str(arguments[1]))


sys.addaudithook(watch)

sentence_transformers: Any = _Peer("sentence_transformers")
cross_encoder: Any = _Peer("sentence_transformers.cross_encoder")
losses: Any = _Peer("sentence_transformers.cross_encoder.losses")
evaluation: Any = _Peer("sentence_transformers.cross_encoder.evaluation")
embedding_modules: Any = _Peer("sentence_transformers.sentence_transformer.modules")
