"""(query, document) -> token ids.

`tokenizer.json` is authoritative, as for TEI and `tokenizers` itself. transformers 5 rebuilds the normaliser of known
classes from their defaults; if the file differs, Plackett follows the file.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plackett._extras import require
from plackett.checkpoints.folder import VOCABULARIES, Checkpoint
from plackett.checkpoints.inputs import Inputs
from plackett.checkpoints.own_files import TOKENIZER
from plackett.errors import CheckpointError, MissingExtraError, SettingError
from plackett.tokenization.batches import EncodedPairs, ragged_positions
from plackett.tokenization.consistency import add_named, check_tokenizer
from plackett.tokenization.shortening import Shortener, Text

# Texts are encoded in chunks of this many pairs or characters, to limit the Rust encodings in memory.
CHUNK = 8192
CHUNK_CHARACTERS = 1 << 21

MOST_CHARACTERS = 1 << 22
"""Maximum number of characters of a text that is read completely, in windows: its encoding takes 0.5 GB."""


class Kept(NamedTuple):
    """What remains of a pair that is too long: ranges of tokens, [start, end), counted within each text.

    query: the range in the query, for all windows. windows: int64 (windows, 2), the ranges in the document.
    """

    query: tuple[int, int]
    windows: NDArray[np.int64]


# (index of the pair, tokens of its query, tokens of its document, available tokens) -> what remains of it.
Cut = Callable[[int, int, int, int], Kept]


class PairTokenizer:
    """A fast tokenizer, configured once so that threads can share it, and the truncation of long pairs.

    It does not use the truncation of `tokenizers`, which keeps every combination of the parts cut from the query and
    the document: 250 MB for one query of 4,000 words and one document of 10,000 words
    (https://github.com/huggingface/tokenizers/issues/2035).
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int, *, token_types: bool, truncation_side: str = "right"
    ) -> None:
        special = tokenizer.num_special_tokens_to_add(True)
        if max_length <= special:
            raise SettingError(f"max_length={max_length} leaves no room for text next to {special} special tokens")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._process = os.getpid()
        self.max_length = max_length
        self.room = max_length - special
        self._token_types = token_types
        self._left = truncation_side == "left"
        self._shortener = Shortener(max_length, left=self._left)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "PairTokenizer":
        """Create the tokenizer of a checkpoint, with its token limit."""
        return cls.over(checked_tokenizer(checkpoint), checkpoint.inputs)

    @classmethod
    def over(cls, tokenizer: Tokenizer, inputs: Inputs) -> "PairTokenizer":
        """Configure a tokenizer for a checkpoint's inputs."""
        side = truncation_side(tokenizer, inputs)
        return cls(tokenizer, inputs.max_length, token_types=inputs.token_types, truncation_side=side)

    def encode(self, pairs: Sequence[tuple[str, str]] | Sequence[str]) -> EncodedPairs:
        """Return token ids of all pairs, or of single texts, unpadded, in input order, cut by `longest_first`."""
        return self.encode_windows(pairs, self.longest_first)[0]

    def encode_windows(
        self, pairs: Sequence[tuple[str, str]] | Sequence[str], cut: Cut, *, whole: bool = False
    ) -> tuple[EncodedPairs, NDArray[np.int64]]:
        """Return the token ids of all windows of all pairs, in input order, and how many each pair has, (pairs,).

        `whole` means that `cut` may keep any token of a text; otherwise it keeps those of one end. In any case, only
        one end of a text of more than `MOST_CHARACTERS` is read.
        """
        stay_in_process(self._process)
        parts, counts = [], [np.empty(0, np.int64)]
        for start, texts in chunks(pairs):
            encodings = self._encodings(texts, whole)
            flat = flat_of(encodings, token_types=self._token_types)
            long = np.flatnonzero(flat.lengths > self.max_length)
            rows, count = with_windows(
                flat, {int(index): self._cut(encodings[index], start + int(index), cut) for index in long}
            )
            parts.append(rows)
            counts.append(count)
        return EncodedPairs.joined(parts), np.concatenate(counts)

    def spans(self, pair: tuple[str, str], cut: Cut, *, whole: bool = False) -> list[tuple[int, int]]:
        """Return the range of the document's characters, [start, end), that each window of a pair reads."""
        stay_in_process(self._process)
        if whole or not self._shortener.applies_to(pair):
            encoding, skipped = self._tokenizer.encode_batch([pair])[0], 0
        else:
            encode = self._tokenizer.encode_batch
            [encoding] = encode([self._shortener.cut(pair)])
            encoding, skipped = self._shortener.extended(pair, encoding, encode)
        if len(encoding) <= self.max_length:
            return [(0, len(pair[1]))]
        _, (first, _), kept = self._cut(encoding, 0, cut)
        spans = (_characters(encoding, int(start), int(end)) for start, end in first + kept.windows)
        return [(start + skipped, end + skipped) for start, end in spans]

    def limited(self, max_length: int, *, left: bool) -> "PairTokenizer":
        """Return this tokenizer with another token limit, cutting texts at their end, or for `left` at their start."""
        side = "left" if left else "right"
        return PairTokenizer(self._tokenizer, max_length, token_types=self._token_types, truncation_side=side)

    def length(self, pair: tuple[str, str]) -> int:
        """Return the number of tokens of an untruncated pair."""
        return len(self._tokenizer.encode(*pair))

    def longest_first(self, _: int, query: int, document: int, room: int) -> Kept:
        """Truncate like `tokenizers` and sentence-transformers: only the longer text, or both to half of the room.

        Texts lose their ends or, with `truncation_side="left"`, their starts.
        """
        of_query, of_document = shares(query, document, room)
        return Kept(self.side(query, of_query), np.array([self.side(document, of_document)], np.int64))

    def side(self, length: int, kept: int) -> tuple[int, int]:
        """Return the range of at most `kept` tokens that remains of a text."""
        return side_of(length, kept, left=self._left)

    def _encodings(self, texts: list[str | tuple[str, str]], whole: bool) -> list[Encoding]:
        """Encode texts; for texts far beyond the limit, only the part that the model reads."""
        encode = self._tokenizer.encode_batch_fast
        is_long = self._shortener.applies_to if not whole else is_huge
        long = [index for index, text in enumerate(texts) if is_long(text)]
        if not long:
            return encode(texts)
        short = list(texts)
        for index in long:
            short[index] = self._shortener.cut(texts[index])
        encodings = encode(short)
        for index in long:
            encodings[index], _ = self._shortener.extended(texts[index], encodings[index], encode)
        return encodings

    def _cut(self, encoding: Encoding, index: int, cut: Cut) -> tuple[tuple[int, int], tuple[int, int], Kept]:
        """Return the positions of the query and the document in a pair, and what remains of them."""
        sequences = np.array([-1 if sequence is None else sequence for sequence in encoding.sequence_ids])
        document = _run(sequences == 1, len(encoding))
        query = _run(sequences == 0, document[0])
        lengths = query[1] - query[0], document[1] - document[0]
        return query, document, cut(index, *lengths, self.max_length - len(encoding) + sum(lengths))


def stay_in_process(loaded_in: int) -> None:
    """Keep a forked process from waiting for threads of `tokenizers` that exist only in its parent."""
    if os.getpid() != loaded_in:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"


def shares(query: int, document: int, room: int) -> tuple[int, int]:
    """Return the tokens available for query and document; the shorter text gets at most half of the room."""
    shorter = min(query, document, room // 2)
    return (shorter, room - shorter) if query <= document else (room - shorter, shorter)


def side_of(length: int, kept: int, *, left: bool) -> tuple[int, int]:
    """Return the run of at most `kept` tokens that remains of a text: its start, or its end for `left`."""
    return (max(0, length - kept), length) if left else (0, min(length, kept))


def is_huge(text: Text) -> bool:
    """Whether a text, or one of a pair, has too many characters to be read completely."""
    return max(map(len, (text,) if isinstance(text, str) else text)) > MOST_CHARACTERS


def _run(of_text: NDArray[np.bool_], otherwise: int) -> tuple[int, int]:
    """Return the token range of a text, [start, end); both are `otherwise` if it has no tokens."""
    places = np.flatnonzero(of_text)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (otherwise, otherwise)


def _characters(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """Return the range of characters that the tokens from `start` to `end` stand for."""
    first, last = encoding.token_to_chars(start), encoding.token_to_chars(max(start, end - 1))
    return (first[0], last[1]) if first and last else (0, 0)


def with_windows(
    whole: EncodedPairs, cuts: dict[int, tuple[tuple[int, int], tuple[int, int], Kept]]
) -> tuple[EncodedPairs, NDArray[np.int64]]:
    """Cut the pairs in `cuts`, given the positions of query and document and what remains of them.

    Returns the rows, and how many each pair has, (pairs,).
    """
    counts = np.ones(len(whole), np.int64)
    counts[list(cuts)] = [len(kept.windows) for _, _, kept in cuts.values()]
    return (_take(whole, cuts, counts) if cuts else whole), counts


def _take(
    whole: EncodedPairs, cuts: dict[int, tuple[tuple[int, int], tuple[int, int], Kept]], counts: NDArray[np.int64]
) -> EncodedPairs:
    """Return the rows, each made of five token runs of its pair: what remains of both texts, and what is around."""
    cu_windows = np.concatenate([[0], np.cumsum(counts)])
    runs = np.zeros((cu_windows[-1], 5, 2), np.int64)
    runs[:, 0, 0] = np.repeat(whole.cu_seqlens[:-1], counts)
    runs[:, 0, 1] = np.repeat(whole.cu_seqlens[1:], counts)
    for index, (query, document, kept) in cuts.items():
        rows, start = slice(cu_windows[index], cu_windows[index + 1]), whole.cu_seqlens[index]
        runs[rows, 4, 1] = runs[rows, 0, 1]
        runs[rows, 0, 1] = start + query[0]
        runs[rows, 1] = start + query[0] + np.array(kept.query)
        runs[rows, 2] = start + query[1], start + document[0]
        runs[rows, 3] = start + document[0] + kept.windows
        runs[rows, 4, 0] = start + document[1]
    lengths = runs[..., 1] - runs[..., 0]
    tokens = ragged_positions(runs[..., 0].ravel(), lengths.ravel())
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths.sum(axis=1))])
    return EncodedPairs(whole.token_ids[tokens], whole.type_ids[tokens], cu_seqlens)


def truncation_side(tokenizer: Tokenizer, inputs: Inputs) -> str:
    """Return the side at which long texts are cut; call it before a `PairTokenizer` configures the tokenizer."""
    return inputs.truncation_side or str((tokenizer.truncation or {}).get("direction", "right"))


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Read the tokenizer of a checkpoint: `tokenizer.json`, or else transformers' conversion of older files."""
    path = checkpoint.folder / TOKENIZER
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else _converted(checkpoint.folder)
        return Tokenizer.from_str(text)
    except (CheckpointError, MissingExtraError):
        raise
    except Exception as error:  # the Rust side raises bare Exceptions
        raise CheckpointError(f"the tokenizer of {checkpoint.folder} cannot be read: {error}") from error


def checked_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Return the tokenizer of a checkpoint; CheckpointError if its files are inconsistent."""
    tokenizer = read_tokenizer(checkpoint)
    check_tokenizer(tokenizer, checkpoint.folder, checkpoint.inputs.vocabulary)
    add_named(tokenizer, checkpoint.folder)
    return tokenizer


def chunks(texts: Sequence[str | tuple[str, str]]) -> Iterator[tuple[int, list[str | tuple[str, str]]]]:
    """Yield parts of the texts, or pairs, that are encoded at once, each with the index of its first item."""
    part: list[str | tuple[str, str]] = []
    characters, start = 0, 0
    for index, text in enumerate(texts):
        part.append(text)
        characters += len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
        if len(part) == CHUNK or characters > CHUNK_CHARACTERS or index == len(texts) - 1:
            yield start, part
            part, characters, start = [], 0, index + 1


def flat_of(encodings: Sequence[Encoding], *, token_types: bool) -> EncodedPairs:
    """Return the tokenizer's output as arrays."""
    token_ids = _array(encoding.ids for encoding in encodings)
    type_ids = _array(encoding.type_ids for encoding in encodings) if token_types else np.zeros_like(token_ids)
    lengths = np.array([len(encoding) for encoding in encodings], np.int64)
    return EncodedPairs(token_ids, type_ids, np.concatenate([[0], np.cumsum(lengths)]))


def _array(rows: Iterable[list[int]]) -> NDArray[np.int64]:
    return np.fromiter(itertools.chain.from_iterable(rows), np.int64)


def _converted(folder: Path) -> str:
    if not any(path for pattern in VOCABULARIES for path in folder.glob(pattern)):
        # transformers would create a tokenizer without words.
        raise CheckpointError(f"{folder} has neither a tokenizer.json nor a vocabulary: it is incomplete")
    transformers = require("transformers", extra="train")
    text: str = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str()
    return text
