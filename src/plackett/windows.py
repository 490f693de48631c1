"""Documents that are longer than the model reads: cut, refused, or read in overlapping windows.

A window is the whole pair without the rest of the document, so that its special tokens and token types are those of the
tokenizer's own post-processor. The stride of `tokenizers` itself is no help: it is set before the query is known, and
panics where a query leaves less room than the stride.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from plackett.batching import EncodedPairs, WindowedPairs, ragged_positions
from plackett.checkpoint import Checkpoint
from plackett.errors import InputError, SettingError
from plackett.tokenization import chunks, flat_pairs, keep_longest_first, read_tokenizer

POLICIES = ("longest_first", "truncate", "error", "windows")
AGGREGATES = ("max", "first", "mean")
SMALLEST_WINDOW = 4  # a query leaves a quarter of the text's tokens to the windows, or they would be too many to score


@dataclass(frozen=True)
class LongDocuments:
    """What becomes of a pair that is longer than `max_length`; one that fits is scored the same by all of them.

    `policy`: `longest_first` cuts the longer text, query or document, as sentence-transformers does; `truncate` cuts
    the document only; `error` refuses it; `windows` reads all of the document in windows, each `overlap` of which is
    the end of the one before. `aggregate`: the document's score is the `max` or `mean` of its windows' raw logits, or
    that of the `first` window, and then the others are not read.
    """

    policy: str = "longest_first"
    aggregate: str = "max"
    overlap: float = 0.25

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise SettingError.unknown("long_documents", self.policy, POLICIES)
        if self.aggregate not in AGGREGATES:
            raise SettingError.unknown("aggregate", self.aggregate, AGGREGATES)
        if isinstance(self.overlap, bool) or not isinstance(self.overlap, int | float) or not 0 <= self.overlap < 1:
            raise SettingError(f"overlap={self.overlap!r} is not a share of a window, from 0 to less than 1")

    @classmethod
    def of(cls, value: "str | LongDocuments") -> "LongDocuments":
        """The settings that a user gave, or those of the policy of that name."""
        return value if isinstance(value, LongDocuments) else cls(policy=value)

    def ranges(self, length: int, room: int, *, from_end: bool = False) -> NDArray[np.int64]:
        """First and behind-last token of each window of at most `room` tokens, (windows, 2).

        `from_end` keeps the end of a document that is truncated.
        """
        if self.policy != "windows":
            start = max(0, length - room) if from_end else 0
            return np.array([[start, min(length, start + room)]], np.int64)
        step = max(1, room - int(room * self.overlap))
        starts = np.arange(0, max(1, length - room + step), step)[: 1 if self.aggregate == "first" else None]
        return np.stack([starts, np.minimum(starts + room, length)], axis=1)


class WindowTokenizer:
    """The tokenizer of a checkpoint, with a policy for long documents. Set once, so that threads can share it."""

    def __init__(self, checkpoint: Checkpoint, settings: LongDocuments) -> None:
        self.settings = settings
        self._max_length = checkpoint.max_length
        self._token_types = checkpoint.token_types
        self._left = checkpoint.truncation_side == "left"
        self._tokenizer = read_tokenizer(checkpoint)
        keep_longest_first(self._tokenizer, self._max_length, checkpoint.truncation_side)
        if settings.policy != "longest_first":
            self._tokenizer.no_truncation()

    def encode(self, pairs: Sequence[tuple[str, str]], name: Callable[[int], str] = "pair {}".format) -> WindowedPairs:
        """Token ids of all pairs, unpadded, in input order.

        `name` names a pair in the InputError for one that is too long for the policy, or whose query is.
        """
        parts, counts = [], [np.empty(0, np.int64)]
        for start, texts in chunks(pairs):
            encodings = self._tokenizer.encode_batch_fast(texts)
            whole = flat_pairs(encodings, token_types=self._token_types)
            cuts = {
                int(index): self._cut(encodings[index], name(start + int(index)))
                for index in np.flatnonzero(whole.lengths > self._max_length)
            }
            count = np.ones(len(texts), np.int64)
            count[list(cuts)] = [len(windows) for _, windows in cuts.values()]
            parts.append(_take(whole, cuts, count) if cuts else whole)
            counts.append(count)
        return WindowedPairs(EncodedPairs.joined(parts), np.concatenate([[0], np.cumsum(np.concatenate(counts))]))

    def spans(self, pair: tuple[str, str]) -> list[tuple[int, int]]:
        """The characters of its document that each window of a pair reads: first, and behind the last."""
        encoding = self._tokenizer.encode_batch([pair])[0]
        if len(encoding) <= self._max_length and not encoding.overflowing:
            return [(0, len(pair[1]))]
        first, last = _document(encoding)
        windows = first + self._cut(encoding, "the pair")[1] if len(encoding) > self._max_length else [(first, last)]
        return [_characters(encoding, int(start), int(end)) for start, end in windows]

    def _cut(self, encoding: Encoding, where: str) -> tuple[tuple[int, int], NDArray[np.int64]]:
        """Where the document of a pair that is too long stands, and its windows, counted from there."""
        first, last = _document(encoding)
        room = self._max_length - len(encoding) + last - first
        limit = f"max_length={self._max_length}"
        text = self._max_length - self._tokenizer.num_special_tokens_to_add(True)
        if room < max(1, text // SMALLEST_WINDOW if self.settings.policy == "windows" else 1):
            raise InputError(
                f"{where}: the query has {text - room} tokens, and {limit} leaves {max(0, room)} beside it, too few "
                f"for the document's {last - first}; shorten it, or take long_documents='longest_first', to cut both"
            )
        if self.settings.policy == "error":
            raise InputError(
                f"{where}: the document has {last - first} tokens, and {limit} leaves {max(0, room)} for it beside "
                "its query; shorten it, or take long_documents='truncate' or 'windows'"
            )
        return (first, last), self.settings.ranges(last - first, room, from_end=self._left)


def _document(encoding: Encoding) -> tuple[int, int]:
    """The first token of the document, and the one behind its last."""
    of_document = np.flatnonzero(np.array([sequence == 1 for sequence in encoding.sequence_ids], bool))
    return (int(of_document[0]), int(of_document[-1]) + 1) if len(of_document) else (len(encoding), len(encoding))


def _characters(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """The characters of a text that its tokens from `start` to `end` stand for."""
    first, last = encoding.token_to_chars(start), encoding.token_to_chars(max(start, end - 1))
    return (first[0], last[1]) if first and last else (0, 0)


def _take(
    whole: EncodedPairs, cuts: dict[int, tuple[tuple[int, int], NDArray[np.int64]]], counts: NDArray[np.int64]
) -> EncodedPairs:
    """The rows, each of three runs of tokens of its pair: what is before the document, its window, what is behind."""
    cu_windows = np.concatenate([[0], np.cumsum(counts)])
    runs = np.zeros((cu_windows[-1], 3, 2), np.int64)
    runs[:, 0, 0] = np.repeat(whole.cu_seqlens[:-1], counts)
    runs[:, 0, 1] = runs[:, 2, 0] = runs[:, 2, 1] = np.repeat(whole.cu_seqlens[1:], counts)
    for index, ((first, last), windows) in cuts.items():
        rows, start = slice(cu_windows[index], cu_windows[index + 1]), whole.cu_seqlens[index]
        runs[rows, 0, 1], runs[rows, 2, 0] = start + first, start + last
        runs[rows, 1] = start + first + windows
    lengths = runs[..., 1] - runs[..., 0]
    tokens = ragged_positions(runs[..., 0].ravel(), lengths.ravel())
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
    return EncodedPairs(whole.token_ids[tokens], whole.type_ids[tokens], cu_seqlens)
