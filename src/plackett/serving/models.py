"""The models of a server: each one's tokenizer, scores and scale, and the choice of a request's model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from plackett.checkpoints.activations import ACTIVATIONS, CALIBRATED
from plackett.checkpoints.calibrations import Calibration, read_calibration
from plackett.checkpoints.folder import Checkpoint
from plackett.cross_encoder import CrossEncoder
from plackett.dialects import RerankRequest
from plackett.errors import PlackettError, RequestError, SettingError
from plackett.serving.lists import ListReader
from plackett.serving.refusal import Refusal
from plackett.serving.scheduling import Rows
from plackett.serving.settings import SCALES, Settings
from plackett.serving.texts import TextReader
from plackett.tokenization.batches import WindowedPairs

WARM_UP = ("what do cats eat", "Cats eat meat: mice, birds and fish.")


class ServedModel:
    """A loaded checkpoint. Requests in progress keep theirs if the server loads another one."""

    def __init__(self, name: str, encoder: CrossEncoder, activation: str) -> None:
        if not encoder.model.ranks:
            raise SettingError(f"{name} has {encoder.model.labels} labels; a server needs one score for each pair")
        self.name = name
        self.checkpoint = _instructed(encoder)
        reads_lists = self.checkpoint.lists is not None
        self.reader: TextReader | ListReader = (ListReader if reads_lists else TextReader)(self.checkpoint)
        self._encoder = encoder.one_lane()
        self._calibration = _calibration(encoder)
        # Cosines have no sigmoid: only a calibration turns them into probabilities.
        self._default = activation if not reads_lists or activation == CALIBRATED else "identity"
        self.activation(None)

    @property
    def lanes(self) -> int:
        """Number of batches scored at once."""
        return self._encoder.lanes

    def encode(self, request: RerankRequest, pairs: Sequence[tuple[str, str]], indices: Sequence[int]) -> Rows:
        """Tokenise some pairs of a request, in whole lists; errors refer to `indices`."""
        return self.reader.encode(request, pairs, indices)

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """Return raw logits, float32 (pairs,)."""
        return self._encoder.score_encoded(WindowedPairs.whole(rows))[:, 0]

    def activation(self, name: str | None) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """Return the function from logits to scores. RequestError for an unknown name."""
        name = name or self._default
        if name == CALIBRATED:
            if self._calibration is None:
                raise RequestError(f"the model {self.name} has no calibration", field="activation")
            return self._calibration
        if name not in FUNCTIONS:
            raise RequestError(f"activation must be one of {', '.join([*FUNCTIONS, CALIBRATED])}", field="activation")
        return FUNCTIONS[name]

    @staticmethod
    def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the sigmoid of logits, whatever the scale of replies."""
        return FUNCTIONS["sigmoid"](logits.astype(np.float64))

    def warm_up(self) -> None:
        """Score some pairs in each lane, so that the first request does not wait for preparations of the engine.

        Short pairs suffice: after them, a request of 20 long pairs takes as long as later ones.
        """
        request = RerankRequest.of(WARM_UP[0], WARM_UP[1:] * 4)
        rows = self.encode(request, request.pairs, range(4))
        for _ in range(self.lanes):
            self.score(rows)


@dataclass(frozen=True)
class Models:
    """The models by name; the first is the default."""

    by_name: Mapping[str, ServedModel]

    @property
    def default(self) -> ServedModel:
        """The model for requests that name none."""
        return next(iter(self.by_name.values()))

    def find(self, name: str | None, *, strict: bool = True) -> ServedModel:
        """Return the model for a request. A single model serves all names.

        With several models, an unknown name is refused with status 404 or, unless `strict`, means the default.
        """
        if name is None or len(self.by_name) == 1:
            return self.default
        if name not in self.by_name and strict:
            raise Refusal(404, f"there is no such model; models: {', '.join(self.by_name)}", field="model")
        return self.by_name.get(name, self.default)


def load_models(settings: Settings) -> Models:
    """Load and warm up every model. Raises as CrossEncoder does."""
    found = {name: _load(name, checkpoint, settings) for name, checkpoint in settings.checkpoints.items()}
    for model in found.values():
        model.warm_up()
    return Models(found)


def _load(name: str, checkpoint: str | None, settings: Settings) -> ServedModel:
    encoder = CrossEncoder(
        checkpoint,
        engine=settings.engine,
        precision=settings.precision or None,
        threads=settings.threads or None,
        max_length=settings.max_length or None,
        instruction=settings.instruction or None,
        positive_label=settings.positive_label or None,
        trust_remote_code=settings.trust_remote_code,
    )
    try:
        return ServedModel(name, encoder, settings.activation)
    except RequestError as error:
        raise SettingError(f"activation={settings.activation!r}: {error}") from error


def _instructed(encoder: CrossEncoder) -> Checkpoint:
    """Return the checkpoint with the server's instruction, if any."""
    checkpoint, instruction = encoder.checkpoint, encoder.model.instruction
    if not instruction:
        return checkpoint
    if checkpoint.lists is not None:
        return replace(checkpoint, lists=replace(checkpoint.lists, instruction=instruction))
    if checkpoint.template is None:
        return checkpoint
    return replace(checkpoint, template=replace(checkpoint.template, instruction=instruction))


def _calibration(encoder: CrossEncoder) -> Calibration | None:
    if encoder.model.calibration is not None:
        return encoder.model.calibration
    try:
        return read_calibration(encoder.checkpoint.folder)
    except PlackettError:  # missing or damaged, but not requested yet
        return None


# In float64, because in float32 the sigmoid of a logit above 17 is 1.
FUNCTIONS = cast(
    Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]],
    {name: ACTIVATIONS[name][1] for name in SCALES},
)
