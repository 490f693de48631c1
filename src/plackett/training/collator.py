"""Labelled lists -> the input of one training step."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from plackett.checkpoints.folder import Checkpoint
from plackett.models.classifier import padded_inputs
from plackett.records import LabeledList
from plackett.tokenization.batches import token_batches
from plackett.tokenization.templates import AnyTokenizer


class ListCollator:
    """Lists -> micro-batches of token ids, the way back (`order`), lengths and labels. Runs in data-loader workers."""

    def __init__(
        self, tokenizer: AnyTokenizer, base: Checkpoint, token_budget: int, max_pairs: int | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._base = base
        self._token_budget = token_budget
        self._max_pairs = max_pairs

    def __call__(self, lists: Sequence[LabeledList]) -> dict[str, Any]:
        """One step's input, tensors only."""
        if get_worker_info() is not None:  # a forked process has none of the tokenizer's threads
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
        encoded = self._tokenizer.encode([(item.query, document) for item in lists for document in item.documents])
        batches = token_batches(encoded.lengths, self._token_budget, self._max_pairs)
        return {
            "micro_batches": [padded_inputs(encoded.select(batch), self._base) for batch in batches],
            "order": torch.from_numpy(np.concatenate(batches)),
            "lengths": torch.tensor([len(item.documents) for item in lists]),
            "list_labels": torch.tensor([label for item in lists for label in item.labels]),
        }
