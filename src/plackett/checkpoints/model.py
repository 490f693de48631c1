"""The description of a model, independent of the folder or server that it comes from."""

from collections.abc import Callable
from dataclasses import dataclass, field

from plackett.checkpoints.activations import ACTIVATIONS, Activation
from plackett.checkpoints.calibrations import Calibration
from plackett.checkpoints.heads import ToLogit, as_they_are


@dataclass(frozen=True)
class Model:
    """A reranker, as its users see it.

    name: used in messages, reports and run files.
    labels: columns of its logits.
    to_logit: raw outputs of the engine -> one logit per pair; None keeps the outputs of several labels.
    activation: a name in `ACTIVATIONS`, or `CALIBRATED`, which applies `calibration`.
    prompt: text that precedes every query.
    instruction: replaces the default instruction of a chat template.
    names: of the labels, if there are several.
    digest: identifies the scores; two models with the same digest return the same scores.
    """

    name: str
    labels: int = 1
    to_logit: ToLogit | None = as_they_are
    activation: str = "sigmoid"
    calibration: Calibration | None = None
    prompt: str = ""
    instruction: str = ""
    names: tuple[str, ...] = ()
    digest: Callable[[], str] = field(default=str, compare=False, repr=False)

    @property
    def ranks(self) -> bool:
        """Whether each pair has one score, as ranking, calibration and evaluation require."""
        return self.to_logit is not None

    @property
    def activate(self) -> Activation:
        """Return the function from raw logits to scores."""
        return self.calibration or ACTIVATIONS[self.activation][1]
