"""Fixtures that every test may use."""

import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any hub client is imported: no test asks the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would each compile what they import
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the cores are shared out already: more threads would wait

import pytest

import peers
from plackett._hardware import usable_threads
from plackett.checkpoints.folder import Checkpoint, read_checkpoint
from plackett.cli import main
from tiny import build

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ROOT = pathlib.Path(__file__).parents[1]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers `-n auto` starts: three for two cores, since some tests wait for what they started."""
    return usable_threads() * 3 // 2


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Leave out, with `-m "not peer"`, files that are all about a peer: they import it."""
    wanted = "not peer" not in config.getoption("markexpr", "")
    if wanted or not collection_path.name.startswith("test_"):
        return None
    lines = collection_path.read_text(encoding="utf-8").splitlines()
    return any(line.startswith("pytestmark = ") and "pytest.mark.peer" in line for line in lines) or None


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a long value by its argument, which pytest numbers: an id is to be read, and typed after `-k`."""
    long = val.bit_length() > 64 if isinstance(val, int) else isinstance(val, str | bytes) and len(val) > 80
    return argname if long else None


@pytest.fixture(autouse=True)
def markers_are_set(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test of the fast ones that starts programs or uses a peer fails: it lacks the marker."""
    peers.started.clear()
    peers.used.clear()
    yield
    left_out = request.config.getoption("markexpr", "")
    for name, found in {"process": peers.started, "peer": peers.used}.items():
        if found and f"not {name}" in left_out:
            pytest.fail(f"mark this test with @pytest.mark.{name}: {found[0]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium by Playwright; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


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


@pytest.fixture(scope="session")
def graph(bert: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """`bert` exported to ONNX, for tests that start programs: one that imports torch takes six times as long."""
    from plackett.workflows.export import export  # torch, seconds

    return export(str(bert), engine="onnx", output=tmp_path_factory.mktemp("exported") / "bert").folder


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
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the end of a command ends the process
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
