"""MTEB: a cross-encoder with its protocol, for reranking and retrieval tasks."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett.cross_encoder import CrossEncoder
from plackett.errors import InputError
from plackett.integrations._shared import Source, framework, opened

with framework("mteb", "mteb", "2.0"):
    from mteb.models import ModelMeta


class PlackettCrossEncoder:
    """`mteb.evaluate(PlackettCrossEncoder("models/mine"), tasks)`; scores are raw logits, to avoid ties.

    `model_name` is a folder, a Hub id or a `plackett.CrossEncoder`; the default is the embedded model.
    """

    def __init__(
        self, model_name: Source = None, revision: str | None = None, device: str | None = None, **_: object
    ) -> None:
        if not isinstance(model_name, CrossEncoder):
            model_name = CrossEncoder(model_name, revision=revision, device=device)
        self.model = opened(model_name)
        name = self.model.model.name
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": name if "/" in name else f"plackett/{name}",
                "revision": revision or self.model.fingerprint().split()[-1],
                "loader": PlackettCrossEncoder,
                "model_type": ["cross-encoder"],
            }
        )

    def predict(
        self, inputs1: Iterable[Mapping[str, Any]], inputs2: Iterable[Mapping[str, Any]], **_: object
    ) -> NDArray[np.float32]:
        """Score the paired texts of two loaders, in order: float32 (pairs,)."""
        pairs = list(zip(_texts(inputs1), _texts(inputs2), strict=True))
        return self.model.score(pairs)[:, 0] if pairs else np.empty(0, np.float32)


def _texts(batches: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the texts of a loader."""
    texts: list[str] = []
    for batch in batches:
        if "text" not in batch:
            raise InputError(f"the task has the columns {', '.join(sorted(batch))}, and Plackett reads text only")
        texts += batch["text"]
    return texts
