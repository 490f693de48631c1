"""One query with many documents: the query is tokenised once, and pairs are assembled from their two texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plackett.tokenization.batches import EncodedPairs
from plackett.tokenization.shortening import Shortener
from plackett.tokenization.tokenizer import shares, side_of

QUERIES = 64
"""Number of queries whose tokens are cached, because a request is tokenised in several parts."""

PROBES = (("a", "b"), (" two words", "Two, words! "), ("", "x"), ("x\n", ""))

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Template:
    """The tokens around the two texts of a pair, (token ids, token types) of each part, and the types of the texts."""

    parts: tuple[tuple[Ids, Ids], ...]
    query_type: int
    document_type: int


class SharedQueryTokenizer:
    """Tokenises pairs with a common query, with the same result as a `PairTokenizer` of the same tokenizer.

    It does not configure the tokenizer, which must neither pad nor truncate.
    """

    def __init__(self, tokenizer: Tokenizer, *, token_types: bool) -> None:
        self._tokenizer = tokenizer
        self._token_types = token_types
        self._query = lru_cache(QUERIES)(self._ids)
        self._template = _template(tokenizer)
        if self._template is not None and not all(self._agrees(*probe) for probe in PROBES):
            self._template = None

    def takes(self, query: str, documents: Sequence[str], max_length: int) -> bool:
        """Whether the texts can be assembled. Long ones are truncated before they are tokenised, pair by pair."""
        shortener = Shortener(max_length, left=False)
        return self._template is not None and not any(map(shortener.applies_to, (query, *documents)))

    def encode(self, query: str, documents: Sequence[str], max_length: int, truncation_side: str) -> EncodedPairs:
        """Return token ids of all pairs, unpadded, in input order; the longer text of a pair is truncated, or both."""
        template = self._template
        if template is None:
            raise ValueError("the tokenizer has no template")
        left = truncation_side == "left"
        room = max_length - sum(len(ids) for ids, _ in template.parts)
        found = self._query(query)
        encodings = self._tokenizer.encode_batch_fast(list(documents), add_special_tokens=False)

        rows: list[tuple[Ids, Ids]] = []
        for encoding in encodings:
            ids = np.array(encoding.ids, np.int64)
            of_query, of_document = shares(len(found), len(ids), room)
            rows += _row(template, _side(found, of_query, left=left), _side(ids, of_document, left=left))

        tokens, types = (np.concatenate([np.empty(0, np.int64), *part]) for part in zip(*rows, strict=True))
        lengths = np.array([len(ids) for ids, _ in rows], np.int64).reshape(len(encodings), -1).sum(axis=1)
        types = types if self._token_types else np.zeros_like(types)
        return EncodedPairs(tokens, types, np.concatenate([[0], np.cumsum(lengths)]))

    def _ids(self, text: str) -> Ids:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    def _agrees(self, query: str, document: str) -> bool:
        """Whether an assembled pair equals the tokenizer's."""
        expected = self._tokenizer.encode(query, document)
        made = self.encode(query, [document], len(expected) + 1, "right")
        types = expected.type_ids if self._token_types else [0] * len(expected)
        return bool(made.token_ids.tolist() == expected.ids and made.type_ids.tolist() == types)


def _template(tokenizer: Tokenizer) -> Template | None:
    """Return the template of a tokenizer, read from a pair; None if its texts give no tokens, or are reordered."""
    encoding = tokenizer.encode("a", "a")
    sequences = np.array([-1 if item is None else item for item in encoding.sequence_ids])
    query, document = np.flatnonzero(sequences == 0), np.flatnonzero(sequences == 1)
    if not len(query) or not len(document) or query[-1] > document[0]:
        return None
    ids, types = np.array(encoding.ids, np.int64), np.array(encoding.type_ids, np.int64)
    ends = (slice(0, query[0]), slice(query[-1] + 1, document[0]), slice(document[-1] + 1, len(ids)))
    return Template(tuple((ids[end], types[end]) for end in ends), int(types[query[0]]), int(types[document[0]]))


def _row(template: Template, query: Ids, document: Ids) -> list[tuple[Ids, Ids]]:
    start, middle, end = template.parts
    of_query, of_document = np.full_like(query, template.query_type), np.full_like(document, template.document_type)
    return [start, (query, of_query), middle, (document, of_document), end]


def _side(ids: Ids, kept: int, *, left: bool) -> Ids:
    return ids[slice(*side_of(len(ids), kept, left=left))]
