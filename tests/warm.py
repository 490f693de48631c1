"""Processes of the command line that find torch and transformers imported: they are forked from one that has them.

They are processes like any other, to be killed, stopped and waited for. The seven seconds of importing that each would
take are spent once. A process that needs options of the interpreter has to be started by `subprocess`.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

HEAVY = ["plackett.training.trainer", "plackett.cli.group", "warm"]


class Command:
    """A command that runs. `returncode` is that of subprocess: None while it runs, negative after a signal."""

    def __init__(
        self, arguments: Sequence[object], changes: Mapping[str, str] | None = None, file_limit: int | None = None
    ) -> None:
        """Start it in the working directory; `changes` to its environment, `file_limit` in bytes of a file."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(HEAVY)
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._outputs = [folder / "stdout", folder / "stderr"]
        words = [str(word) for word in arguments]
        environment = {**os.environ, **(changes or {})}
        self._process = context.Process(
            target=_run, args=(words, os.getcwd(), environment, [str(path) for path in self._outputs], file_limit)
        )
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.pid and self.returncode is None:
            os.kill(self._process.pid, number)

    def wait(self) -> int:
        self._process.join(300)
        if self.returncode is None:
            self._process.kill()
            raise TimeoutError(f"the command still runs: {self.errors()}")
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Wait for the end; what it wrote to standard output and standard error."""
        self.wait()
        output, errors = (path.read_text() for path in self._outputs)
        return output, errors

    def errors(self) -> str:
        """What it has written to standard error so far."""
        path = self._outputs[1]
        return path.read_text() if path.is_file() else ""


def _run(
    words: list[str], folder: str, environment: dict[str, str], outputs: list[str], file_limit: int | None
) -> None:
    from plackett.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    if file_limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    sys.argv = ["plackett", *words]
    main()
