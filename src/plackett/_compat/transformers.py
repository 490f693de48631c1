"""Internals of transformers that Plackett reads or replaces.

They are not part of its documented API. `tests/_compat/test_transformers.py` fails when they change.
"""

import contextlib
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.bert.modeling_bert import eager_attention_forward
from transformers.utils import logging

TRIED = ("5.23.0",)
"""Releases that these functions were tested with."""

_LOADING = threading.RLock()


def replace_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Replace the forward pass of one module; `forward` takes the module as its first argument."""
    module.forward = types.MethodType(forward, module)


def attend(attention: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Attention of a BERT layer, by the implementation that its configuration names.

    `query`, `key` and `value` are (pairs, heads, tokens, size); the result is (pairs, tokens, heads, size).
    """
    function = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)
    attended: Tensor = function(attention, query, key, value, mask, dropout=dropout, scaling=attention.scaling)[0]
    return attended


def register_attention(name: str, function: Callable[..., tuple[Tensor, None]]) -> None:
    """Register an attention function under a name, for use as `attn_implementation`. Its masks are None."""
    ALL_ATTENTION_FUNCTIONS.register(name, function)


def log_buckets(distances: Tensor, buckets: int, most: int) -> Tensor:
    """Buckets of token distances in DeBERTa v2 and v3: one for each short distance, logarithmic ones beyond."""
    if buckets <= 0 or most <= 0:
        return distances
    # Imported here because other families do not need it.
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    found: Tensor = make_log_bucket_position(distances, buckets, most).long()
    return found


@contextlib.contextmanager
def heads_in_fp32(names: Iterable[str]) -> Iterator[None]:
    """Load modules of these names in fp32, whatever the rest of a model is loaded in."""
    with _LOADING:
        before = PreTrainedModel._keep_in_fp32_modules_strict
        PreTrainedModel._keep_in_fp32_modules_strict = [*(before or ()), *names]
        try:
            yield
        finally:
            PreTrainedModel._keep_in_fp32_modules_strict = before


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the reports, progress bars and warnings of transformers; the important ones are raised as errors.

    Also silences the warning about a method of transformers that peft calls.
    """
    logs: Any = logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
