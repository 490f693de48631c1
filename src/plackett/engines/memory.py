"""The minimum memory of a checkpoint, computed from the headers and sizes of its files before anything is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plackett._hardware import BF16, gigabytes, instructions, usable_memory
from plackett.checkpoints.exports import ENGINES, STORED_AS, EngineSpec
from plackett.checkpoints.weights import has_weights, weights_of
from plackett.errors import TooLargeError

_BYTES = {"fp32": 4, "bf16": 2}
"""Bytes per parameter by the precision in which weights are loaded, whatever their stored precision."""


@dataclass(frozen=True)
class Need:
    """Bytes that an engine needs for a checkpoint in a precision."""

    engine: str
    precision: str
    bytes: int


def needs(folder: Path) -> list[Need]:
    """Return the memory that each engine able to run a folder's files needs, in each of its precisions."""
    found: list[Need] = []
    for spec in ENGINES.values():
        found += (_of_graphs if spec.exports else _of_weights)(folder, spec)
    return found


def check_memory(folder: Path, spec: EngineSpec, precision: str | None) -> None:
    """Raise TooLargeError, with advice, for weights or a graph that do not fit into the available memory."""
    available = usable_memory()
    of_engine = [need for need in needs(folder) if need.engine == spec.name]
    chosen = _chosen(of_engine, precision)
    if available is None or chosen is None or chosen.bytes <= available:
        return
    fitting = [need for need in of_engine if need.bytes <= available and _works(need)]
    options = [f"precision={need.precision!r} ({gigabytes(need.bytes)})" for need in fitting]
    advice = " or ".join([*options, "a smaller model", f"a machine with more than {gigabytes(chosen.bytes)}"])
    raise TooLargeError(
        f"{folder} needs {gigabytes(chosen.bytes)} of memory in {chosen.precision} with the engine {spec.name}, and "
        f"{gigabytes(available)} are available; try {advice}",
        needed=chosen.bytes,
        available=available,
    )


def check_training_memory(folder: Path) -> None:
    """Raise TooLargeError for weights that do not fit into memory in fp32, in which models are trained."""
    available = usable_memory()
    needed = weights_of(folder)[0] * _BYTES["fp32"] if has_weights(folder) else 0
    if available is None or needed <= available:
        return
    raise TooLargeError(
        f"{folder} needs {gigabytes(needed)} of memory for its weights in fp32, before the first step, and "
        f"{gigabytes(available)} are available; train a smaller base, or use a machine with more memory",
        needed=needed,
        available=available,
    )


def _of_weights(folder: Path, spec: EngineSpec) -> Iterator[Need]:
    if has_weights(folder):
        parameters, _ = weights_of(folder)
        yield from (Need(spec.name, precision, parameters * _BYTES[precision]) for precision in spec.precisions)


def _of_graphs(folder: Path, spec: EngineSpec) -> Iterator[Need]:
    for precision in spec.precisions:
        names = spec.exports[STORED_AS[precision]]
        if all((folder / name).is_file() for name in names):
            # A large graph stores its weights in a separate file, whose name begins with the graph's.
            files = {path for name in names for path in folder.glob(f"{name}*")}
            yield Need(spec.name, precision, sum(path.stat().st_size for path in files))


def _chosen(needs: list[Need], precision: str | None) -> Need | None:
    """Return the memory needed in a precision; None means fp32, or else the precision of an existing graph."""
    return next((need for need in needs if precision in (None, need.precision)), None)


def _works(need: Need) -> bool:
    return need.precision != "bf16" or not instructions().isdisjoint(BF16)
