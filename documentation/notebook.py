"""Run a notebook from top to bottom, and render it with its outputs as a page of the site.

python -m documentation.notebook docs/tour.ipynb
"""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient


def run(path: Path) -> Any:
    """Run a notebook in a new kernel; raises if a cell does."""
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    quiet = [
        "--IPKernelApp.log_level=ERROR"
    ]  # every kernel warns that it uses TCP, even if only this machine can connect
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources, extra_arguments=quiet)
    client.execute()
    return notebook


def page(notebook: Any) -> str:
    """Return Markdown with the code and its outputs."""
    return "\n\n".join(part for cell in notebook.cells for part in _parts(cell)) + "\n"


def _parts(cell: Any) -> list[str]:
    if cell.cell_type == "markdown":
        return [cell.source]
    return [f"```python\n{cell.source}\n```", *(_output(output) for output in cell.get("outputs", ()))]


def _output(output: Any) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return str(data["text/html"])
    return f"```text\n{(output.get('text') or data.get('text/plain', '')).rstrip()}\n```"


if __name__ == "__main__":
    sys.stdout.write(page(run(Path(sys.argv[1]))))
