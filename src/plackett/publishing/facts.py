"""What a card says of a model, as frozen records, and `plackett.json`, the file of a checkpoint that holds them.

Training writes the file; evaluation, export and calibration add to it with `update`. Every number in it comes from a
run. The fields are those of the records here; `schema` is their version, raised when an older reader would go wrong.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from plackett._files import whole_file
from plackett.errors import CheckpointError

FILE = "plackett.json"
SCHEMA = 1

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Model:
    """The checkpoint itself. `repository` is its hub id, `base_revision` a commit, where they are known.

    `weights` says whether it holds weights for torch, and not exported engines alone.
    """

    name: str
    base: str
    architecture: str
    parameters: int
    max_length: int
    labels: int
    activation: str
    base_revision: str = ""
    repository: str = ""
    language: tuple[str, ...] = ()
    license: str = ""
    weights: bool = True


@dataclass(frozen=True)
class Usage:
    """A query, some documents, and what the model really gave them: scores after the activation, and raw logits."""

    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...]
    logits: tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """Minimum, mean and maximum of a number over samples."""

    minimum: float
    mean: float
    maximum: float


@dataclass(frozen=True)
class Sample:
    """One list, cut: `length` documents in truth, each text at most `recording.SHOWN_CHARACTERS` long."""

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    length: int


@dataclass(frozen=True)
class Lists:
    """A file of lists, by its name, and what its first `sampled` lists are like.

    `source` is where it can be had again (`hf://…`), empty for a local file; `size` is missing for a stream.
    """

    name: str
    size: int | None
    sampled: int
    query_characters: Spread
    document_characters: Spread
    list_length: Spread
    label: Spread
    samples: tuple[Sample, ...] = ()
    source: str = ""
    revision: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Measured:
    """One measure before and after; `ci95` and `p_value` are those of the difference, where they were computed."""

    first_stage: float
    reranked: float
    difference: float
    ci95: tuple[float, float] | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """One collection measured. `primary` is the measure that counts; `parameters` is what repeats the measurement.

    `task` is the hub's name of the kind of measurement.
    """

    collection: str
    queries: int
    depth: int
    measures: Mapping[str, Measured]
    primary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    revision: str = ""
    task: str = "cross-encoder-reranking"


@dataclass(frozen=True)
class Development:
    """A collection that was measured while the model learnt; `source` and `revision` as of `Lists`."""

    name: str
    queries: int
    source: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Training:
    """A training that ended. `settings` is the recipe's, `arguments` the Trainer's, all of both.

    `changed` names those that are not the defaults; `best_step` is the step whose weights were kept; `lists_seen`
    counts a list as often as it was seen, `seconds` is the whole run's.
    """

    data: tuple[Lists, ...]
    held_out: Lists | None
    loss: str
    loss_parameters: Mapping[str, Any]
    settings: Mapping[str, Any]
    arguments: Mapping[str, Any]
    changed: tuple[str, ...]
    log: tuple[Mapping[str, float], ...]
    best_step: int
    lists_seen: int
    seconds: float
    hardware: str
    description: str = ""
    development: tuple[Development, ...] = ()


@dataclass(frozen=True)
class EngineFacts:
    """An exported engine: its file, and what was measured of it on `hardware`.

    `precision` is what it computes in, which the file may leave open. `bytes` is the size of its files,
    `pairs_per_second` its speed over the pairs of `workload`, `milliseconds` the median time of one such `rank`;
    `max_difference` is the largest distance of a raw logit from torch's, and `measures` holds (torch, this engine)
    where its ranking was measured, on `lists`.
    """

    engine: str
    file: str
    bytes: int
    hardware: str
    precision: str = "fp32"
    workload: str = ""
    pairs_per_second: float | None = None
    milliseconds: float | None = None
    max_difference: float | None = None
    measures: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lists: str = ""


@dataclass(frozen=True)
class CalibrationFacts:
    """Raw score -> probability, fitted on `pairs` pairs of `collection`.

    `measures` holds (before, after), of the expected calibration error for one; `threshold` is a probability, and
    `threshold_rule` says what it was chosen for.
    """

    method: str
    collection: str
    pairs: int
    parameters: Mapping[str, float]
    measures: Mapping[str, tuple[float, float]]
    threshold: float | None = None
    threshold_rule: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a card says."""

    schema: int = SCHEMA
    model: Model
    versions: Mapping[str, str]
    usage: Usage | None = None
    training: Training | None = None
    evaluations: tuple[Evaluation, ...] = ()
    engines: tuple[EngineFacts, ...] = ()
    calibration: CalibrationFacts | None = None


_FACTS = TypeAdapter(Facts)


def read_facts(folder: Path) -> Facts:
    """The facts of a checkpoint; CheckpointError where it has none, or some of a newer Plackett."""
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no {FILE}, the facts of its card; write one: plackett card {folder}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and isinstance(values.get("schema"), int) and values["schema"] > SCHEMA:
            raise CheckpointError(
                f"{path} is of schema {values['schema']}, this Plackett knows {SCHEMA}: install a newer one"
            )
        return _FACTS.validate_python(values)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read; delete it and write another: {error}") from error


def write_facts(folder: Path, facts: Facts) -> None:
    """Write the facts beside the weights, whole or not at all. The same facts give the same bytes."""
    with whole_file(folder / FILE) as stream:
        stream.write(dump_facts(facts))


def dump_facts(facts: Facts) -> str:
    """The content of `plackett.json`."""
    return _FACTS.dump_json(facts, indent=2).decode() + "\n"


def add_evaluations(facts: Facts, evaluations: Sequence[Evaluation]) -> Facts:
    """The facts with more collections measured; a collection at the same depth takes the place of the older one."""
    new = {(item.collection, item.depth): item for item in evaluations}
    old = {(item.collection, item.depth): item for item in facts.evaluations}
    return replace(facts, evaluations=tuple((old | new).values()))


def add_engine(facts: Facts, engine: EngineFacts) -> Facts:
    """The facts with one engine more; one of the same file and precision takes the place of the older one."""
    engines = {(item.file, item.precision): item for item in (*facts.engines, engine)}
    return replace(facts, engines=tuple(engines.values()))


def is_hub_id(name: str) -> bool:
    """Whether a name has the form owner/name."""
    return _HUB_ID.fullmatch(name) is not None
