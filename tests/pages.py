"""The code blocks of a Markdown page, and a reader who runs them from top to bottom in one folder."""

import contextlib
import gc
import io
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import peers
from plackett.cli import main

FENCE = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<note>[^\n]*?) -->\n\s*)?```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("python", "shell")
BACKGROUND = "in the background"
SERVED = 8000
"""The port that pages name."""


@dataclass(frozen=True)
class Block:
    """A fenced block: `note` is the comment above it, `title` the file that a page calls it."""

    language: str
    text: str
    title: str | None
    note: str

    @property
    def runs(self) -> bool:
        return self.language in RUN and not self.note.startswith("not run: ")


def blocks(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        indent = match["indent"]
        lines = re.sub(rf"^{indent}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(match["language"], lines, match["title"], match["note"] or ""))
    return found


class Reader:
    """Runs blocks in `folder`, names of Python kept from block to block; `quick` is added to commands that train."""

    def __init__(self, folder: Path, quick: str) -> None:
        self.folder = folder
        self.quick = quick
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.started: list[subprocess.Popen[bytes]] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def read(self, block: Block) -> None:
        text = block.text.replace(f":{SERVED}", f":{self.port}")
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if not block.runs:
            return
        if block.language == "python":
            exec(compile(text, block.title or "block", "exec"), self.names)
        elif block.note == BACKGROUND:
            self._start(text)
        else:
            for line in _lines(text):
                self._run(line)

    def _run(self, line: str) -> None:
        """A plain `plackett` line in this process, for speed; a shell runs the others."""
        line += self.quick if line.startswith("plackett train") and "--show" not in line else ""
        words = shlex.split(line, comments=True)
        if words[0] == "plackett" and not {"|", ">", "&&"} & set(words):
            code, shown = _called(words)
        else:
            peers.started.append(line)
            command = re.sub(r"(^|[|(] ?)plackett ", rf"\1{shlex.quote(sys.executable)} -m plackett ", line)
            done = subprocess.run(command, shell=True, cwd=self.folder, capture_output=True, text=True, check=False)
            code, shown = done.returncode, done.stdout + done.stderr
        assert code == 0, (line, shown)

    def _start(self, text: str) -> None:
        words = shlex.split(text, comments=True)
        command = [sys.executable, "-m", *words, "--port", str(self.port)]
        peers.started.append(text)
        self.started.append(subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL))
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready"):
                return
            time.sleep(0.1)
        raise AssertionError(f"{text} does not get ready")

    def close(self) -> None:
        for process in self.started:
            process.terminate()
            process.wait(timeout=60)
        self.names.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # clients of servers, which pages do not close
            gc.collect()


def _lines(text: str) -> Iterator[str]:
    """The commands of a block, joined where a line ends with a backslash."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


def _called(words: list[str]) -> tuple[int | str, str]:
    """Run the command in this process: (exit code, what it shows)."""
    shown = io.StringIO()
    before, sys.argv = sys.argv, words
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            main()
    except SystemExit as end:
        return end.code or 0, shown.getvalue()
    finally:
        sys.argv = before
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the end of a command ends the process
    return 0, shown.getvalue()
