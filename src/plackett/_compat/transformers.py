"""Internals of transformers that Plackett reads or replaces.

They are not part of its documented API. `tests/_compat/test_transformers.py` fails when they change.
"""

import contextlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import Trainer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import eager_attention_forward
from transformers.utils import logging

TRIED = ("5.23.0",)
"""Releases that these functions were tried with."""

LOGGERS = tuple(INTEGRATION_TO_CALLBACK)
"""Names that `report_to` accepts beside "none" and "all"."""


def replace_forward(module: nn.Module, forward: Callable[..., Tensor]) -> None:
    """Replace the forward pass of one module; `forward` takes the module as its first argument."""
    module.forward = types.MethodType(forward, module)


def attend(attention: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Attention of a BERT layer, by the implementation that its configuration names.

    `query`, `key` and `value` are (pairs, heads, tokens, size); the result is (pairs, tokens, heads, size).
    """
    function = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)
    attended: Tensor = function(attention, query, key, value, mask, dropout=dropout, scaling=attention.scaling)[0]
    return attended


def callback_state(trainer_state: Mapping[str, Any], callback: str) -> Mapping[str, Any]:
    """Arguments that a callback saved in `trainer_state.json`; LookupError if there are none."""
    saved: Mapping[str, Any] = trainer_state["stateful_callbacks"][callback]["args"]
    return saved


def load_weights(trainer: Trainer, checkpoint: str) -> None:
    """Load the weights of a checkpoint into the trainer's model, whichever way they were sharded."""
    trainer._load_from_checkpoint(checkpoint)


def forget_deepspeed() -> None:
    """Load models whole from here on, after a training with ZeRO-3 cut them into shards."""
    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence reports, bars and warnings of transformers; what matters in them is raised as an error."""
    logs: Any = logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
