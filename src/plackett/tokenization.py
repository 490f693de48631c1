"""(query, document) -> token ids.

The truth is `tokenizer.json`, as for TEI and `tokenizers` itself. transformers 5 rebuilds the normaliser of
known classes from their defaults; where the file says something else, Plackett keeps to the file.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plackett._extras import require
from plackett.batching import EncodedPairs
from plackett.checkpoint import VOCABULARIES, Checkpoint
from plackett.errors import CheckpointError, MissingExtraError, SettingError

# Texts are encoded in chunks of this many pairs, so that a huge input's Rust encodings never stand in memory at once.
CHUNK = 8192


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
        special = self._tokenizer.num_special_tokens_to_add(True)
        if max_length <= special:
            raise SettingError(f"max_length={max_length} leaves no room for text beside {special} special tokens")
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length, strategy="longest_first", direction=truncation_side)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "PairTokenizer":
        """The tokenizer of a checkpoint: `tokenizer.json`, or else what transformers makes of the older files."""
        path = checkpoint.folder / "tokenizer.json"
        try:
            text = path.read_text(encoding="utf-8") if path.is_file() else _converted(checkpoint.folder)
            tokenizer = Tokenizer.from_str(text)
        except (CheckpointError, MissingExtraError):
            raise
        except Exception as error:  # the Rust side raises bare Exceptions
            raise CheckpointError(f"the tokenizer of {checkpoint.folder} cannot be read: {error}") from error
        return cls(
            tokenizer,
            checkpoint.max_length,
            token_types=checkpoint.token_types,
            truncation_side=checkpoint.truncation_side,
        )

    def encode(self, pairs: Sequence[tuple[str, str]] | Sequence[str]) -> EncodedPairs:
        """Token ids of all pairs, or of single texts, unpadded, in input order."""
        none = np.empty(0, np.int64)
        token_ids, type_ids, lengths = [none], [none], [none]
        for start in range(0, len(pairs), CHUNK):
            encodings = self._tokenizer.encode_batch_fast(list(pairs[start : start + CHUNK]))
            lengths.append(np.array([len(encoding) for encoding in encodings], np.int64))
            token_ids.append(_flat(encoding.ids for encoding in encodings))
            if self._token_types:
                type_ids.append(_flat(encoding.type_ids for encoding in encodings))
        flat = np.concatenate(token_ids)
        types = np.concatenate(type_ids) if self._token_types else np.zeros_like(flat)
        return EncodedPairs(flat, types, np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))


def _flat(rows: Iterable[list[int]]) -> NDArray[np.int64]:
    return np.fromiter(itertools.chain.from_iterable(rows), np.int64)


def _converted(folder: Path) -> str:
    if not any(path for pattern in VOCABULARIES for path in folder.glob(pattern)):
        # transformers would make a tokenizer that knows no word.
        raise CheckpointError(f"{folder} holds no tokenizer.json and no vocabulary: it was not saved to the end")
    transformers = require("transformers", extra="train")
    text: str = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str()
    return text
