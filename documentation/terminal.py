"""Draw docs/assets/terminal.svg, a picture of a terminal session, from the output of real commands.

python -m documentation.terminal
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from documentation.figures import ROOT
from plackett.data import write_beir
from plackett.workflows.demo import pydocs
from plackett.workflows.demo.training import test_collection

PICTURE = ROOT / "docs" / "assets" / "terminal.svg"
COLUMNS, HELD_OUT, SEED = 112, 0.1, 0
COLLECTION = "python-docs"
SESSION = (
    'plackett rank "how many calories in an egg" "Hens lay eggs in a nest." "A large egg has about 72 calories."',
    'plackett search docs "how do I turn a score into a probability" --top-k 3',
    f"plackett evaluate default --data {COLLECTION} --depth 20",
)
COLOURS = ((224, 108, 117), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194))
DARK = TerminalTheme(
    (30, 34, 42),
    (220, 223, 228),
    [(40, 44, 52), *COLOURS, (220, 223, 228)],
    [(92, 99, 112), *COLOURS, (255, 255, 255)],
)
# rich's own template loads a font from the network; the reader's fixed-width font does as well.
FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>plackett ranks documents and measures itself in a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def session(folder: Path, commands: Sequence[str] = SESSION) -> str:
    """Run the commands in `folder` and return the terminal's text, with escape sequences for colours."""
    shown = []
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command)]
        environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        shown.append(f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m\n{done.stdout}")
    return "\n".join(shown)


def picture(text: str) -> str:
    """Return an SVG of `text`, with lines cut at the width of the terminal."""
    console = Console(record=True, width=COLUMNS, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(Text.from_ansi(text, no_wrap=True, overflow="ellipsis"))
    return console.export_svg(title="plackett", theme=DARK, code_format=FORMAT, unique_id="terminal")


def prepare(folder: Path) -> None:
    """Write the session's input: the pages of docs/, and a collection from this Python's documentation."""
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("assets", "*.ipynb", ".*"))

    objects = pydocs.read_objects()
    held_out = pydocs.held_out_modules(objects, HELD_OUT, SEED)
    test = [item for item in objects if item.module in held_out]
    write_beir(folder / COLLECTION, test_collection(objects, test))


def main() -> None:
    """Run the session and write its picture."""
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        PICTURE.write_text(picture(session(Path(name))), encoding="utf-8")


if __name__ == "__main__":
    main()
