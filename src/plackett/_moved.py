"""Import paths documented in earlier releases: they still work, with a DeprecationWarning that names the new path."""

import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# Removed modules that were documented -> where their documented names are now.
MOVED = {
    "plackett.mining": "plackett.retrieval",
    "plackett.readers": "plackett.data",
    "plackett.reports": "plackett.evaluation.report",
}


class _OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Creates, for an old name, a module with the attributes of the new one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} moved; import from {new}", DeprecationWarning, stacklevel=2)
        module = ModuleType(spec.name, f"The old name of `{new}`.")
        module.__getattr__ = lambda name: getattr(importlib.import_module(new), name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: attributes are looked up when they are used."""


def install() -> None:
    """Let Python find the old names, after all other finders."""
    sys.meta_path.append(_OldNames())
