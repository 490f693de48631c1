"""Programs in a Python that has no extras, whatever is installed."""

import subprocess
import sys

# What comes with extras only. `import plackett` and `plackett --help` must do without.
EXTRAS = {
    "accelerate",
    "bm25s",
    "ir_measures",
    "jaxtyping",
    "jinja2",
    "pyarrow",
    "prometheus_client",
    "pydantic",
    "starlette",
    "torch",
    "transformers",
    "uvicorn",
    "yaml",
}

OF_EVALUATE = {"bm25s", "ir_measures", "jinja2", "pyarrow", "pydantic", "yaml"}
"""What the extra `evaluate` brings."""


def blocker(names):
    """The beginning of a program for which these packages are not installed."""
    return f"""
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


BLOCKER = blocker(EXTRAS)


def python(code, *arguments, installed=()):
    """Run a program without the packages of extras, but for those `installed`."""
    command = [sys.executable, "-c", blocker(EXTRAS - set(installed)) + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
