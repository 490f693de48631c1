"""Internals of transformers' Trainer that Plackett reads, in a separate module because importing it takes seconds.

They are not part of its documented API. `tests/_compat/test_transformers.py` fails when they change.
"""

from collections.abc import Mapping
from typing import Any

from transformers import Trainer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

LOGGERS = tuple(INTEGRATION_TO_CALLBACK)
"""Names that `report_to` accepts besides "none" and "all"."""


def callback_state(trainer_state: Mapping[str, Any], callback: str) -> Mapping[str, Any]:
    """Arguments that a callback saved in `trainer_state.json`; LookupError if there are none."""
    saved: Mapping[str, Any] = trainer_state["stateful_callbacks"][callback]["args"]
    return saved


def load_weights(trainer: Trainer, checkpoint: str) -> None:
    """Load the weights of a checkpoint into the trainer's model, whichever way they were sharded."""
    trainer._load_from_checkpoint(checkpoint)


def forget_deepspeed() -> None:
    """Load complete models again, after training with ZeRO-3 has sharded them."""
    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
