"""Which engine runs a checkpoint: the table of engines, the choice of the fastest, and servers."""

import os
from collections.abc import Mapping

from plackett._extras import is_installed, require
from plackett.checkpoints.exports import EXPORTS, STORED_AS, exports_of
from plackett.checkpoints.folder import Checkpoint, has_weights
from plackett.checkpoints.hub import Patterns, torch_files
from plackett.engines.base import Engine, EngineSettings, Parts
from plackett.errors import SettingError

# Name -> (module, extra that installs what it needs). onnxruntime comes with the bare install.
ENGINES = {
    "torch": ("plackett.engines.torch.engine", "train"),
    "onnx": ("plackett.engines.onnx", "train"),
    "openvino": ("plackett.engines.openvino", "openvino"),
}


def load_engine(name: str, checkpoint: Checkpoint, settings: EngineSettings = EngineSettings()) -> Engine:
    """The engine called `name` with the weights of `checkpoint`; "auto" is the fastest exact one."""
    _check_name(name)
    module, extra = ENGINES[automatic(checkpoint, settings) if name == "auto" else name]
    engine: Engine = require(module, extra=extra).load(checkpoint, settings)
    return engine


def automatic(checkpoint: Checkpoint, settings: EngineSettings) -> str:
    """What "auto" stands for: torch for weights where it is installed, else the fastest engine that has an export."""
    if _torch_first(settings) and (settings.device not in (None, "cpu") or has_weights(checkpoint.folder)):
        return "torch"
    there = exports_of(checkpoint.folder)
    return next((engine for engine, stored in _preferred(settings) if (engine, stored) in there), "torch")


def files_for(name: str, settings: EngineSettings, *, allow_pickle: bool) -> list[Patterns]:
    """What to fetch of a repository for the engine called `name`: the first of these that it has.

    Weights come last for an engine that cannot run them, so that the error can say how to export them.
    """
    _check_name(name)
    for_torch = torch_files(allow_pickle=allow_pickle)
    exports = [
        tuple(f"{file}*" for file in EXPORTS[key])  # a large graph has its weights beside it
        for key in _preferred(settings)
        if name in ("auto", key[0])
    ]
    first = name == "torch" or (name == "auto" and _torch_first(settings))
    return [*for_torch, *exports] if first else [*exports, *for_torch]


def _check_name(name: str) -> None:
    if name != "auto" and name not in ENGINES:
        raise SettingError.unknown("engine", name, [*ENGINES, "auto"])


def _torch_first(settings: EngineSettings) -> bool:
    """Whether "auto" is torch where there are weights."""
    return settings.device not in (None, "cpu") or is_installed("torch")


def _preferred(settings: EngineSettings) -> list[tuple[str, str]]:
    """The keys of `EXPORTS` that will do, the exact ones first, and among those the fastest that is installed."""
    fastest = "openvino" if is_installed("openvino") else "onnx"
    fitting = [key for key in EXPORTS if settings.precision is None or key[1] == STORED_AS[settings.precision]]
    return sorted(fitting, key=lambda key: (key[1] != "fp32", key[0] != fastest))


def is_url(model: str | os.PathLike[str]) -> bool:
    """Whether a name is a server's address, in place of a folder or a hub id."""
    return str(model).startswith(("http://", "https://"))


def open_remote(url: str, *, activation: str | None, settings: Mapping[str, object]) -> Parts:
    """A server that reranks, as an engine. SettingError for `settings` that were given: they are the server's own."""
    given = [name for name, value in settings.items() if value not in (None, False, "auto")]
    if given:
        raise SettingError(
            f"{', '.join(given)} cannot be chosen for {url}: a server runs as it was started; leave it out"
        )
    from plackett.engines.remote import (
        engine as remote,  # here, because the HTTP client is a third of `import plackett`
    )

    return remote.connect(url, activation)
