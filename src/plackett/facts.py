"""Facts: frozen records of what a model is, how it was trained and how it was measured.

Each capability builds its own facts. A checkpoint keeps them in `plackett.json`, and its model card shows them. Every
number in them comes from a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1  # raised when an older reader would misread the fields


@dataclass(frozen=True)
class Model:
    """The checkpoint itself.

    `repository` is its Hub id and `base_revision` the commit of its base, both empty where unknown. `weights` is false
    for a folder that holds only exported engines.
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
    """A query with documents, and the model's output for them: scores after the activation, and raw logits."""

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
    """One list with its texts shortened; `length` counts all its documents, of which the first few are kept."""

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    length: int


@dataclass(frozen=True)
class Lists:
    """A file of lists, by its name, with statistics of its first `sampled` lists.

    `source` is its address (`hf://…`), empty for a local file. `size` is None for a stream. `share` is the fraction
    that one epoch sees.
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
class MeasureFacts:
    """One measure of a first stage and of its reranking.

    `ci95` and `p_value` belong to the difference; they are None if no significance was computed.
    """

    first_stage: float
    reranked: float
    difference: float
    ci95: tuple[float, float] | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The measures of one collection. `primary` names the main one, `parameters` repeat the measurement.

    `task` is the Hub's name for this kind of measurement.
    """

    collection: str
    queries: int
    depth: int
    measures: Mapping[str, MeasureFacts]
    primary: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    revision: str = ""
    task: str = "cross-encoder-reranking"


@dataclass(frozen=True)
class Development:
    """A collection measured during training; `source` and `revision` as in `Lists`."""

    name: str
    queries: int
    source: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Training:
    """A finished training run: `settings` are those of the recipe, `arguments` those of the Trainer.

    `changed` names the arguments that differ from their defaults. `best_step` is the step whose weights were kept.
    `lists_seen` counts a list each time it is seen. `seconds` is the duration of the whole run.
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
    """An exported engine: its file, and its measurements on `hardware`.

    `precision` is the one it computes in, which the file may not determine. `bytes` is the size of its files.
    `pairs_per_second` is its speed on the pairs of `workload`, `milliseconds` the median time to rank one such query.
    `max_difference` is the largest difference of a raw logit from torch's. `measures` holds (torch, this engine) for
    each measure of its ranking of `lists`.
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
    """A map from raw scores to probabilities, fitted on `pairs` pairs of `collection`.

    `measures` holds (before, after), for instance of the expected calibration error. `threshold` is a probability, and
    `threshold_rule` says how it was chosen.
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
    """Everything that a model card shows."""

    schema: int = SCHEMA
    model: Model
    versions: Mapping[str, str]
    usage: Usage | None = None
    training: Training | None = None
    evaluations: tuple[Evaluation, ...] = ()
    engines: tuple[EngineFacts, ...] = ()
    calibration: CalibrationFacts | None = None


def shortened(text: str, characters: int) -> str:
    """Return a text of at most this many characters, for display; an ellipsis marks the cut."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
