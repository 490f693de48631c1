"""Imports of optional dependencies, all of which go through this module."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from plackett.errors import MissingExtraError


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Raise MissingExtraError, which names the extra to install, for imports in the block that are not installed.

    ```python
    with extra("train"):
        from plackett.training.train import train
    ```

    Imported names keep their types. A missing module of Plackett itself is a bug, and its error passes through
    unchanged.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("plackett"):
            raise
        message = f"this needs {error.name}, which is not installed: pip install 'plackett[{name}]'"
        raise MissingExtraError(message) from error


def require(module: str, *, extra: str) -> ModuleType:
    """Import a module whose name is only known at run time, with the same error if it is not installed."""
    with _door(extra):
        return importlib.import_module(module)


_door = extra  # a parameter has its name in `require`


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # raised by import hooks that hide modules
        return False


def lazily(package: str, names: Mapping[str, str], *, extra: str = "train") -> Callable[[str], Any]:
    """Make the `__getattr__` of a package whose public `names` (name -> module) are imported on first use.

    Importing the package costs nothing until one of these names is used. Names that need an optional dependency raise
    MissingExtraError if it is not installed.
    """

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(require(f"{package}.{names[name]}", extra=extra), name)
        setattr(sys.modules[package], name, value)  # Python asks `__getattr__` only once
        return value

    return attribute
