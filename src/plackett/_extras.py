"""The one door to optional dependencies."""

import importlib
from types import ModuleType

from plackett.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """The imported `module`; where it, or what it imports, is not installed, an error that names the extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("plackett"):
            raise
        message = f"this needs {error.name}, which is not installed: pip install 'plackett[{extra}]'"
        raise MissingExtraError(message) from error
