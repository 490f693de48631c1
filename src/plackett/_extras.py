"""The one door to optional dependencies."""

import importlib
import importlib.util
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


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of an import hook that hides modules
        return False
