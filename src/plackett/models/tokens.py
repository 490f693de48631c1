"""Comparison with the tokens of transformers, which rebuilds the tokenizers of some families."""

from collections.abc import Sequence

import numpy as np
from transformers import AutoTokenizer

from plackett._compat.transformers import quiet
from plackett.checkpoints.folder import Checkpoint
from plackett.errors import CheckpointError
from plackett.tokenization.tokenizer import PairTokenizer


def misread_tokens(checkpoint: Checkpoint, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Describe the first pair that the installed transformers tokenises differently; empty if all agree."""
    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
            theirs = [
                tokenizer(*pair, truncation=True, max_length=checkpoint.max_length)["input_ids"] for pair in pairs
            ]
        except Exception as error:  # transformers raises many kinds for inconsistent files
            raise CheckpointError(
                f"transformers cannot read the tokenizer of {checkpoint.folder}: {str(error).splitlines()[0]}"
            ) from error
    own = PairTokenizer.from_checkpoint(checkpoint).encode(pairs)
    for pair, found, start, end in zip(pairs, theirs, own.cu_seqlens, own.cu_seqlens[1:], strict=False):
        if not np.array_equal(found, own.token_ids[start:end]):
            return [f"transformers tokenises {pair[1][:40]!r} differently from tokenizer.json, which Plackett follows"]
    return []
