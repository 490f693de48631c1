"""Internals of transformers that Plackett reads or replaces.

They are not part of its documented API. `tests/_compat/test_transformers.py` fails when they change.
"""

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import eager_attention_forward
from transformers.utils import logging

TRIED = ("5.23.0",)
"""Releases that these functions were tried with."""


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
