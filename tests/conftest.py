"""Fixtures that every test may use."""

import functools
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any hub client is imported: no test asks the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import pytest

from plackett.checkpoints.folder import Checkpoint, read_checkpoint
from plackett.cli import main
from tiny import build

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """`tiny(family, labels=1)`: the folder of a tiny classifier. Shared by the session: copy it before changing it."""

    @functools.cache
    def folder(family: str, labels: int = 1) -> pathlib.Path:
        return build(tmp_path_factory.mktemp(f"{family}-{labels}-"), family, labels)

    return folder


@pytest.fixture(scope="session")
def bert(tiny: Callable[..., pathlib.Path]) -> pathlib.Path:
    return tiny("bert")


@pytest.fixture
def checkpoint(bert: pathlib.Path) -> Checkpoint:
    return read_checkpoint(bert)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int | str, str, str]]:
    """Run the command in this process: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int | str, str, str]:
        monkeypatch.setattr("sys.argv", ["plackett", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        output = capsys.readouterr()
        return exit_.value.code or 0, output.out, output.err

    return run


@pytest.fixture
def module() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`module(name, ...)`: run a module of the repository as a program, from its root."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", name, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    return run
