"""Tokenization: from text pairs to token ids, from long documents to windows, from ragged ids to batches."""

from plackett.tokenization.batches import EncodedPairs
from plackett.tokenization.tokenizer import PairTokenizer
from plackett.tokenization.windows import LongDocuments

__all__ = ["EncodedPairs", "LongDocuments", "PairTokenizer"]
