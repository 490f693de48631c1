"""Documents beyond the token limit: truncated, refused, or read in overlapping windows.

A window is a complete pair with part of the document, so its special tokens and token types come from the tokenizer's
own post-processor. The stride of `tokenizers` cannot be used: it is set before the query is known, and panics if a
query leaves less room than the stride.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import check_fields
from plackett.checkpoints.folder import Checkpoint
from plackett.errors import InputError, SettingError
from plackett.tokenization.batches import WindowedPairs
from plackett.tokenization.templates import TemplateTokenizer, tokenizer_of
from plackett.tokenization.tokenizer import MOST_CHARACTERS, Cut, Kept, is_huge

POLICIES = ("longest_first", "truncate", "error", "windows")
AGGREGATES = ("max", "first", "mean")
Refuse = Callable[[int, str], None]


def refuse_pair(index: int, reason: str) -> None:
    """Raise InputError for a pair."""
    raise InputError(f"pair {index}: {reason}")


SMALLEST_WINDOW = 4  # a query must leave a quarter of the tokens to the windows, or there would be too many to score


@dataclass(frozen=True)
class LongDocuments:
    """The policy for pairs longer than `max_length`. Pairs that fit score the same under every policy.

    `policy`: `longest_first` cuts the longer text, query or document, as sentence-transformers does; `truncate` cuts
    only the document; `error` refuses the pair; `windows` reads the whole document in windows, each of which repeats
    the last `overlap` of the previous one. `aggregate`: the document's score is the `max` or `mean` of its windows' raw
    logits, or that of the `first` window, in which case the others are not read.
    """

    policy: str = "longest_first"
    aggregate: str = "max"
    overlap: float = 0.25

    def __post_init__(self) -> None:
        check_fields(self)
        if self.policy not in POLICIES:
            raise SettingError.unknown("long_documents", self.policy, POLICIES)
        if self.aggregate not in AGGREGATES:
            raise SettingError.unknown("aggregate", self.aggregate, AGGREGATES)
        if not 0 <= self.overlap < 1:
            raise SettingError(f"overlap={self.overlap!r} must be a share of a window, at least 0 and below 1")

    @property
    def reads_everything(self) -> bool:
        """Whether a long document is always read to its end."""
        return self.policy == "windows" and self.aggregate != "first"

    @classmethod
    def of(cls, value: "str | LongDocuments") -> "LongDocuments":
        """Return the given settings, or those of the policy of that name."""
        return value if isinstance(value, LongDocuments) else cls(policy=value)

    def ranges(self, length: int, room: int) -> NDArray[np.int64]:
        """Return the token range [start, end) of each window of at most `room` tokens, (windows, 2)."""
        step = max(1, room - int(room * self.overlap))
        starts = np.arange(0, max(1, length - room + step), step)[: 1 if self.aggregate == "first" else None]
        return np.stack([starts, np.minimum(starts + room, length)], axis=1)


class WindowTokenizer:
    """The tokenizer of a checkpoint, with a policy for long documents. Configured once, so threads can share it."""

    def __init__(self, checkpoint: Checkpoint, settings: LongDocuments) -> None:
        self.settings = settings
        self._tokenizer = tokenizer_of(checkpoint)

    def encode(
        self, pairs: Sequence[tuple[str, str]], refuse: Refuse = refuse_pair, _lists: Sequence[object] | None = None
    ) -> WindowedPairs:
        """Return the token ids of all pairs, unpadded, in input order.

        `refuse` is called with the index of a pair that is too long for the policy, and the reason. If it returns, the
        pair is cut by `longest_first`.
        """
        if self.settings.reads_everything:
            for index, pair in enumerate(pairs):
                if is_huge(pair):
                    refuse(index, _too_much(pair))
        rows, counts = self._tokenizer.encode_windows(pairs, self._cut(refuse), whole=self.settings.reads_everything)
        return WindowedPairs(rows, np.concatenate([[0], np.cumsum(counts)]))

    def instructed(self, instruction: str) -> "WindowTokenizer":
        """Return this tokenizer with another instruction. SettingError for a model without a template."""
        if not isinstance(self._tokenizer, TemplateTokenizer):
            raise SettingError("this model has no chat template, so it accepts no instruction")
        found = copy.copy(self)
        found._tokenizer = self._tokenizer.instructed(instruction)
        return found

    def spans(self, pair: tuple[str, str]) -> list[tuple[int, int]]:
        """Return the range of the document's characters, [start, end), that each window of a pair reads."""
        return self._tokenizer.spans(pair, self._cut(refuse_pair), whole=self.settings.reads_everything)

    def _cut(self, refuse: Refuse) -> Cut:
        if self.settings.policy == "longest_first" and not isinstance(self._tokenizer, TemplateTokenizer):
            return self._tokenizer.longest_first
        return partial(self._cut_document, refuse)

    def _cut_document(self, refuse: Refuse, index: int, query: int, document: int, room: int) -> Kept:
        left = room - query
        reason = self._reason_to_refuse(query, left)
        if reason:
            refuse(index, reason)
            return self._tokenizer.longest_first(index, query, document, room)
        if self.settings.policy == "windows":
            return Kept((0, query), self.settings.ranges(document, left))
        return Kept((0, query), np.array([self._tokenizer.side(document, left)], np.int64))

    def _reason_to_refuse(self, query: int, left: int) -> str:
        """Return why the policy refuses the pair, if so: for its document, or a query that leaves too little room."""
        limit = f"max_length={self._tokenizer.max_length}"
        if left < max(1, self._tokenizer.room // SMALLEST_WINDOW if self.settings.policy == "windows" else 1):
            if isinstance(self._tokenizer, TemplateTokenizer):
                return (
                    f"the query and the template around it leave {max(0, left)} of {limit} tokens for the document; "
                    "shorten the query, or raise max_length"
                )
            return (
                f"the query has {query} tokens, and {limit} leaves {max(0, left)} for the document, which is too few; "
                "shorten the query, or use long_documents='longest_first' to cut both"
            )
        if self.settings.policy == "error":
            return (
                f"the document has more than {left} token{'s' * (left != 1)}, the most that {limit} leaves after its "
                "query; shorten it, or use long_documents='truncate' or 'windows'"
            )
        return ""


def _too_much(pair: tuple[str, str]) -> str:
    return (
        f"the query has {len(pair[0]):,} characters and the document {len(pair[1]):,}, and windows read at most "
        f"{MOST_CHARACTERS:,} of each; split the document, or use long_documents='truncate'"
    )
