"""The capabilities of this machine and of a checkpoint: versions, instructions, threads, engines, precisions.

Nothing heavy is imported: engines count as installed if their packages are found.
"""

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

from plackett import _hardware as hardware
from plackett._extras import is_installed
from plackett._hardware import gigabytes, usable_memory, usable_threads
from plackett.checkpoints import bundled
from plackett.checkpoints.conversions import layout_of
from plackett.checkpoints.exports import ENGINES, EngineSpec, export_files, exports_of
from plackett.checkpoints.folder import Checkpoint, find_folder, locate, read_checkpoint
from plackett.checkpoints.foreign import own_errors
from plackett.checkpoints.own_files import FACTS
from plackett.checkpoints.weights import weights_of
from plackett.engines.loading import automatic
from plackett.engines.memory import Need, needs
from plackett.errors import CheckpointError

PACKAGES = ("numpy", "tokenizers", "safetensors", "onnxruntime", "openvino", "torch", "transformers")


@dataclass(frozen=True)
class EngineInfo:
    """An engine: whether it is installed, and what to type if not."""

    name: str
    installed: bool
    install: str


@dataclass(frozen=True)
class Export:
    """A graph in the folder: its engine, stored precision and file."""

    engine: str
    precision: str
    file: str


@dataclass(frozen=True)
class Contents:
    """The contents of a checkpoint folder.

    source: the folder that was named. folder: the one that is read, another one if the layout is converted. code: files
    that run if the user trusts them. weights: data types by safetensors' names, empty without weights. window: the
    sliding window of all layers, None without one. memory: the minimum for each engine that can run the folder.
    """

    source: str
    folder: str
    layout: str
    code: tuple[str, ...]
    model_type: str
    parameters: int
    weights: tuple[str, ...]
    labels: int
    head: str
    template: str
    max_length: int
    window: int | None
    activation: str
    memory: tuple[Need, ...]
    exports: tuple[Export, ...]
    facts: bool


@dataclass(frozen=True)
class Info:
    """This machine. `automatic` is the engine that "auto" selects, for the checkpoint if one is named.

    `default_model` is the folder of the embedded model, or the error about it.
    """

    versions: dict[str, str]
    system: str
    processor: str
    instructions: tuple[str, ...]
    threads: int
    memory: int | None
    bf16: bool
    engines: tuple[EngineInfo, ...]
    automatic: str | None
    default_model: str
    checkpoint: Contents | None = None


def read_info(name: str | None = None) -> Info:
    """Read about this machine and the checkpoint `name`, a folder or a cached Hub id. Raises as CrossEncoder does."""
    contents, first = _read(name) if name is not None else (None, None)
    engines = tuple(map(_engine, ENGINES.values()))
    if contents is None:
        first = next((engine.name for engine in engines if engine.installed), None)
    return Info(
        versions=dict(_versions()),
        system=f"{platform.system()} {platform.machine()}",
        processor=hardware.name(),
        instructions=tuple(name for name in hardware.RELEVANT if name in hardware.instructions()),
        threads=usable_threads(),
        memory=usable_memory(),
        bf16=not hardware.instructions().isdisjoint(hardware.BF16),
        engines=engines,
        automatic=first,
        default_model=_default_model(),
        checkpoint=contents,
    )


def _read(name: str) -> tuple[Contents, str]:
    """Return the contents of a checkpoint, and the engine that "auto" selects for it."""
    with own_errors(name):
        source = locate(name, revision=None, local_files_only=True, files=[()])
        folder = find_folder(name, revision=None, local_files_only=True, files=[()])
        checkpoint = read_checkpoint(folder, trust_remote_code=True)  # reading runs nothing
    return _contents(checkpoint, source), automatic(checkpoint)


def render(info: Info) -> str:
    """Format the information for display, one item per line."""
    packages = ", ".join(f"{name} {number}" for name, number in info.versions.items())
    rows = [
        ("versions", packages),
        ("system", info.system),
        ("processor", info.processor),
        ("instructions", " ".join(info.instructions) or "not known"),
        ("threads", str(info.threads)),
        ("memory", _available(info.memory)),
        ("bf16", "yes" if info.bf16 else "no: this processor has no instructions for it"),
        *((f"engine {engine.name}", "installed" if engine.installed else engine.install) for engine in info.engines),
        ("engine auto", info.automatic or "none is installed"),
        ("embedded model", info.default_model),
        *(_rows(info.checkpoint) if info.checkpoint else ()),
    ]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:{width}}{value}" for name, value in rows)


def _available(memory: int | None) -> str:
    return "not known" if memory is None else f"{gigabytes(memory)} available"


def _template(checkpoint: Checkpoint) -> str:
    """Describe how a pair is rendered before it is tokenised."""
    if checkpoint.lists is not None:
        return checkpoint.lists.summary
    if checkpoint.template is None:
        return f"none; the query begins with {checkpoint.prompt!r}" if checkpoint.prompt else "none: pairs of texts"
    instruction = checkpoint.template.instruction
    return f"chat template, instruction {instruction!r}" if instruction else "chat template with its own instruction"


def _head(checkpoint: Checkpoint) -> str:
    """Describe how the raw outputs become scores."""
    if checkpoint.head.to_logit is None:
        return f"{checkpoint.head.name} ({', '.join(checkpoint.names)}); to rank, name one with positive_label"
    [name] = checkpoint.names or ("LABEL_0",)
    return checkpoint.head.name if name == "LABEL_0" else f"{checkpoint.head.name}: {name}"


def _layout(checkpoint: Checkpoint, source: Path) -> str:
    """Describe how the named folder stores its model."""
    if checkpoint.lists is not None:
        return "listwise reranker"
    return layout_of(source) or ("classifier built by its own code" if checkpoint.code else "classifier")


def _origin(contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield the rows about the folder that was named."""
    yield "checkpoint", contents.source
    is_converted = contents.folder != contents.source
    yield "layout", f"{contents.layout}, converted to {contents.folder}" if is_converted else contents.layout
    if contents.code:
        yield "code", f"{', '.join(contents.code)}; run only with --trust-remote-code"


def _rows(contents: Contents) -> Iterator[tuple[str, str]]:
    yield from _origin(contents)
    weights = f"{contents.parameters:,} parameters in {' and '.join(contents.weights)}"
    yield "model", f"{contents.model_type}, {weights if contents.weights else 'exports only'}"
    if {"F16", "BF16"} & set(contents.weights):
        yield "precision", "fp32: the weights are converted when they are loaded"
    yield "labels", str(contents.labels)
    yield "head", contents.head
    yield "template", contents.template
    window = f", each layer attends to the last {contents.window}" if contents.window else ""
    yield "max_length", f"{contents.max_length} tokens{window}"
    yield "activation", contents.activation
    for engine, of_engine in groupby(contents.memory, lambda need: need.engine):
        needed = (f"{gigabytes(need.bytes)} in {need.precision}" for need in of_engine)
        yield f"memory {engine}", f"at least {' or '.join(needed)}"
    for export in contents.exports:
        yield f"export {export.engine}", f"{export.precision}, {export.file}"
    if not contents.exports:
        yield "exports", "none"
    yield "facts", FACTS if contents.facts else "none; to write them: plackett card CHECKPOINT"


def _versions() -> Iterator[tuple[str, str]]:
    yield "plackett", version("plackett")
    yield "python", ".".join(map(str, sys.version_info[:3]))
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _engine(spec: EngineSpec) -> EngineInfo:
    installed = all(map(is_installed, spec.packages))
    return EngineInfo(spec.name, installed, f"not installed: pip install 'plackett[{spec.extra}]'")


def _default_model() -> str:
    try:
        return str(bundled.folder())
    except CheckpointError as error:
        return str(error)


def _contents(checkpoint: Checkpoint, source: Path) -> Contents:
    parameters, types = weights_of(checkpoint.folder)
    return Contents(
        source=str(source),
        folder=str(checkpoint.folder),
        layout=_layout(checkpoint, source),
        code=tuple(map(str, checkpoint.code)),
        model_type=checkpoint.model_type,
        parameters=parameters,
        weights=types,
        labels=checkpoint.labels,
        head=_head(checkpoint),
        template=_template(checkpoint),
        max_length=checkpoint.max_length,
        window=checkpoint.inputs.window,
        activation=checkpoint.activation,
        memory=tuple(needs(checkpoint.folder)),
        exports=tuple(Export(*key, export_files()[key][0]) for key in exports_of(checkpoint.folder)),
        facts=(checkpoint.folder / FACTS).is_file(),
    )
