"""Open a model: find its files, choose an engine, and load it."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from plackett._extras import is_installed, require
from plackett.checkpoints.exports import ENGINES, STORED_AS, EngineSpec
from plackett.checkpoints.folder import Checkpoint, find_folder, read_checkpoint
from plackett.checkpoints.foreign import own_errors
from plackett.checkpoints.hub import Patterns, torch_files
from plackett.engines.base import Engine, EngineSettings, Parts
from plackett.engines.memory import check_memory
from plackett.errors import SettingError
from plackett.tokenization.windows import LongDocuments

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Settings for opening a model: the arguments of CrossEncoder, which documents them."""

    engine: str | Engine = "auto"
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    max_length: int | None = None
    long_documents: LongDocuments = LongDocuments()
    revision: str | None = None
    local_files_only: bool = False
    activation: str | None = None
    instruction: str | None = None
    positive_label: str | None = None
    allow_pickle: bool = False
    trust_remote_code: bool = False
    cache: str | os.PathLike[str] | None = None

    @property
    def given(self) -> list[str]:
        """The names of the options that differ from their defaults."""
        return [option.name for option in fields(self) if getattr(self, option.name) != option.default]


NO_OPTIONS = Options()


class Route(NamedTuple):
    """One way to run a checkpoint: an engine, and patterns, each of which must match a file."""

    engine: str
    files: Patterns


def open_model(model: str | os.PathLike[str] | None, options: Options = NO_OPTIONS) -> Parts:
    """Open a folder, a Hub id or the address of a server; None opens the embedded model."""
    with own_errors(model):
        parts = _open(model, options)
    if options.cache is None:
        return parts
    from plackett.engines.caching import CachedEngine, ScoreCache

    name = f"{parts.model.digest() or parts.model.name} {type(parts.engine).__name__} {options.precision}"
    return replace(parts, engine=CachedEngine(parts.engine, ScoreCache(options.cache), name))


def _open(model: str | os.PathLike[str] | None, options: Options) -> Parts:
    if model is not None and is_url(model):
        return _open_server(str(model), options)
    settings = EngineSettings(options.device, options.precision, options.threads)
    name = options.engine if isinstance(options.engine, str) else "auto"
    possible = routes(name, settings, allow_pickle=options.allow_pickle)
    folder = find_folder(
        model,
        revision=options.revision,
        local_files_only=options.local_files_only,
        files=[route.files for route in possible],
    )
    checkpoint = read_checkpoint(
        folder,
        max_length=options.max_length,
        activation=options.activation,
        positive_label=options.positive_label,
        allow_pickle=options.allow_pickle,
        trust_remote_code=options.trust_remote_code,
    )
    _check_window(checkpoint)
    if checkpoint.code:
        logger.warning("running the code of %s: %s", checkpoint.folder, ", ".join(map(str, checkpoint.code)))
    engine = options.engine
    if isinstance(engine, str):
        engine = _load(_chosen(possible, folder), checkpoint, settings)
    parts = Parts.of(checkpoint, engine, options.long_documents)
    return parts if options.instruction is None else parts.instructed(options.instruction)


def _check_window(checkpoint: Checkpoint) -> None:
    """Warn if the end of a long pair, where a decoder's score is read, cannot attend to the query."""
    window = checkpoint.inputs.window
    if window is not None and window < checkpoint.max_length:
        logger.warning(
            "every layer of %s attends to the last %d tokens only, but a pair may have %d; max_length=%d avoids "
            "longer pairs",
            checkpoint.folder,
            window,
            checkpoint.max_length,
            window,
        )


def load_engine(name: str, checkpoint: Checkpoint, settings: EngineSettings = EngineSettings()) -> Engine:
    """Load the engine `name` with the weights of `checkpoint`; "auto" is the fastest exact engine."""
    return _load(_chosen(routes(name, settings), checkpoint.folder), checkpoint, settings)


def automatic(checkpoint: Checkpoint, settings: EngineSettings = EngineSettings()) -> str:
    """Return the engine that "auto" selects."""
    return _chosen(routes("auto", settings), checkpoint.folder)


def routes(name: str, settings: EngineSettings, *, allow_pickle: bool = True) -> list[Route]:
    """List the ways to run a checkpoint with the engine `name`, best first.

    For "auto", engines that can compute as `settings` ask come first, then those that are installed, exact ones, and
    fast ones. Files that the engine cannot run come last, so that its error can give advice.
    """
    if name != "auto" and name not in ENGINES:
        raise SettingError.unknown("engine", name, [*ENGINES, "auto"])
    if name == "auto" and settings.device not in (None, "cpu"):
        name = "torch"  # the only engine with other devices
    ways = [
        (_order(spec, name, stored, settings), Route(spec.name if name == "auto" else name, files))
        for spec in ENGINES.values()
        for stored, files in _files(spec, allow_pickle)
    ]
    return [route for _, route in sorted(ways, key=lambda way: way[0])]


def _order(spec: EngineSpec, name: str, stored: str | None, settings: EngineSettings) -> tuple[bool | int, ...]:
    """The sort key of a route. `stored` is the precision of an exported file, None for weights."""
    precision = settings.precision
    fits = precision is None or (precision in spec.precisions and stored in (None, STORED_AS[precision]))
    installed = all(map(is_installed, spec.packages))
    return name not in ("auto", spec.name), not fits, not installed, stored not in (None, "fp32"), spec.rank


def _files(spec: EngineSpec, allow_pickle: bool) -> Iterator[tuple[str | None, Patterns]]:
    """Yield the files that an engine runs, each with the precision of an exported file."""
    if not spec.exports:
        yield from ((None, patterns) for patterns in torch_files(allow_pickle=allow_pickle))
    for stored, names in spec.exports.items():
        yield stored, tuple(f"{name}*" for name in names)  # a large graph stores its weights separately


def _chosen(possible: list[Route], folder: Path) -> str:
    """Return the engine of the first route whose files are in `folder`."""
    there = (route for route in possible if all(any(folder.glob(pattern)) for pattern in route.files))
    return next(there, possible[0]).engine


def _load(name: str, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
    spec = ENGINES[name]
    spec.check(settings.precision)
    check_memory(checkpoint.folder, spec, settings.precision)
    start = perf_counter()
    engine: Engine = require(spec.module, extra=spec.extra).load(checkpoint, settings)
    logger.info("loaded %s with the engine %s in %.2f s", checkpoint.folder, name, perf_counter() - start)
    return engine


def is_url(model: str | os.PathLike[str]) -> bool:
    """Whether a name is a server's address rather than a folder or a Hub id."""
    return str(model).startswith(("http://", "https://"))


def _open_server(url: str, options: Options) -> Parts:
    """Connect to a server. SettingError for options that are the server's own."""
    given = [name for name in options.given if name not in ("activation", "cache")]
    if given:
        raise SettingError(
            f"{', '.join(given)} cannot be set for {url}, which runs with its own settings; leave {_them(given)} out"
        )
    # Imported here because the HTTP client takes a third of the time of `import plackett`.
    from plackett.engines.remote import engine as remote

    return remote.connect(url, options.activation)


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"
