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

BLOCKER = f"""
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def python(code, *arguments):
    command = [sys.executable, "-c", BLOCKER + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
