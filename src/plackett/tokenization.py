"""(query, document) -> token ids.

The truth is `tokenizer.json`, as for TEI and `tokenizers` itself. transformers 5 rebuilds the normaliser of
known classes from their defaults; where the file says something else, Plackett keeps to the file.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plackett._extras import require
from plackett.batching import EncodedPairs
from plackett.checkpoint import VOCABULARIES, Checkpoint
from plackett.errors import CheckpointError, MissingExtraError, SettingError

# Texts are encoded in chunks of so many pairs or characters, so that a huge input's Rust encodings never are in memory
# at once.
CHUNK = 8192
CHUNK_CHARACTERS = 1 << 23


class PairTokenizer:
    """A fast tokenizer whose truncation is set once, so that threads can share it.

    Pairs longer than `max_length` tokens lose tokens of the longer text first (`longest_first`), from its end or, with
    `truncation_side="left"`, from its start.
    """

    def __init__(
        self, tokenizer: Tokenizer, max_length: int, *, token_types: bool, truncation_side: str = "right"
    ) -> None:
        self._tokenizer = tokenizer
        self.max_length = max_length
        self._token_types = token_types
        keep_longest_first(tokenizer, max_length, truncation_side)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "PairTokenizer":
        """The tokenizer of a checkpoint, with its token limit."""
        return cls(
            read_tokenizer(checkpoint),
            checkpoint.max_length,
            token_types=checkpoint.token_types,
            truncation_side=checkpoint.truncation_side,
        )

    def encode(self, pairs: Sequence[tuple[str, str]] | Sequence[str]) -> EncodedPairs:
        """Token ids of all pairs, or of single texts, unpadded, in input order."""
        return EncodedPairs.joined(
            [
                flat_pairs(self._tokenizer.encode_batch_fast(texts), token_types=self._token_types)
                for _, texts in chunks(pairs)
            ]
        )


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The tokenizer of a checkpoint: `tokenizer.json`, or else what transformers makes of the older files."""
    path = checkpoint.folder / "tokenizer.json"
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else _converted(checkpoint.folder)
        return Tokenizer.from_str(text)
    except (CheckpointError, MissingExtraError):
        raise
    except Exception as error:  # the Rust side raises bare Exceptions
        raise CheckpointError(f"the tokenizer of {checkpoint.folder} cannot be read: {error}") from error


def keep_longest_first(tokenizer: Tokenizer, max_length: int, truncation_side: str) -> None:
    """Set a tokenizer to cut pairs to `max_length` tokens; SettingError where that leaves no room for text."""
    special = tokenizer.num_special_tokens_to_add(True)
    if max_length <= special:
        raise SettingError(f"max_length={max_length} leaves no room for text beside {special} special tokens")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy="longest_first", direction=truncation_side)


def chunks(texts: Sequence[str | tuple[str, str]]) -> Iterator[tuple[int, list[str | tuple[str, str]]]]:
    """The texts, or pairs, in parts that are encoded at once, each with the index of its first."""
    part: list[str | tuple[str, str]] = []
    characters, start = 0, 0
    for index, text in enumerate(texts):
        part.append(text)
        characters += len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
        if len(part) == CHUNK or characters > CHUNK_CHARACTERS or index == len(texts) - 1:
            yield start, part
            part, characters, start = [], 0, index + 1


def flat_pairs(encodings: Sequence[Encoding], *, token_types: bool) -> EncodedPairs:
    """What the tokenizer gave, as arrays."""
    token_ids = _flat(encoding.ids for encoding in encodings)
    type_ids = _flat(encoding.type_ids for encoding in encodings) if token_types else np.zeros_like(token_ids)
    lengths = np.array([len(encoding) for encoding in encodings], np.int64)
    return EncodedPairs(token_ids, type_ids, np.concatenate([[0], np.cumsum(lengths)]))


def _flat(rows: Iterable[list[int]]) -> NDArray[np.int64]:
    return np.fromiter(itertools.chain.from_iterable(rows), np.int64)


def _converted(folder: Path) -> str:
    if not any(path for pattern in VOCABULARIES for path in folder.glob(pattern)):
        # transformers would make a tokenizer that knows no word.
        raise CheckpointError(f"{folder} holds no tokenizer.json and no vocabulary: it was not saved to the end")
    transformers = require("transformers", extra="train")
    text: str = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str()
    return text
