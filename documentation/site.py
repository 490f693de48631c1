"""Build the site offline from docs/, the benchmarks' pages and generated reference pages.

    python -m documentation.site

Writes build/site-source, whose pages link to each other, and build/site. A broken link or anchor is an error.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from documentation.figures import ROOT
from documentation.notebook import page, run
from documentation.reference import PAGES

SOURCE = ROOT / "build" / "site-source"
REPOSITORY = "https://github.com/plackett/plackett/blob/main/"
# Files of the repository that become pages -> path in the site.
MOVED = {
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "default_model/LOG.md": "benchmarks/default-model-log.md",
    "default_model/results/README.md": "benchmarks/default-model.md",
    "default_model/results/quality.png": "benchmarks/quality.png",
}
LINK = re.compile(r"(\]\()(?!#|\w+:)([^)\s#]+)((?:#[^)\s]*)?\))")


def page_of(path: str) -> str | None:
    """Return the path of a repository file in the site, or None if the site does not contain it."""
    if path in MOVED:
        return MOVED[path]
    if path == "docs/tour.ipynb":
        return "tour.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("benchmarks/") and path.endswith((".md", ".png")):
        return "benchmarks/index.md" if path == "benchmarks/README.md" else path.replace("README.md", "index.md")
    return None


def relinked(text: str, path: str) -> str:
    """Return a page with its links adapted to the site; links to files outside the site lead to the repository."""
    own = page_of(path) or path

    def link(found: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(path).parent / found[2])
        place = page_of(target)
        if place is None:
            return f"{found[1]}{REPOSITORY}{target}{found[3]}"
        return f"{found[1]}{os.path.relpath(place, PurePosixPath(own).parent)}{found[3]}"

    return LINK.sub(link, text)


def collect(source: Path, made: Mapping[str, Callable[[], str]] = {}) -> None:
    """Write the pages and pictures of the site, including the generated pages in `made`."""
    shutil.rmtree(source, ignore_errors=True)
    files = [*ROOT.glob("docs/**/*"), *ROOT.glob("benchmarks/**/*"), *(ROOT / name for name in MOVED)]
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        place = page_of(path)
        if place is None or not file.is_file() or file.suffix == ".ipynb":
            continue
        target = source / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".md":
            target.write_text(relinked(file.read_text(encoding="utf-8"), path), encoding="utf-8")
        else:
            shutil.copy(file, target)
    for name, make in {**PAGES, **made}.items():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(make(), encoding="utf-8")


def main() -> None:
    """Collect the pages and build them, strictly."""
    collect(SOURCE, {"tour.md": lambda: page(run(ROOT / "docs" / "tour.ipynb"))})
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "mkdocs.yml"]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


if __name__ == "__main__":
    main()
