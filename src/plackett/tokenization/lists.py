"""Lists as a listwise reranker reads them: a prompt contains a query and many documents.

A list that is too long for one prompt is split into several, by the rule of the model's authors. Each list is read
independently, so its scores do not depend on other lists in the same call.
"""

import copy
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plackett.checkpoints.folder import Checkpoint
from plackett.errors import SettingError
from plackett.tokenization.batches import EncodedPairs, WindowedPairs, ragged_positions
from plackett.tokenization.tokenizer import checked_tokenizer, flat_of, stay_in_process
from plackett.tokenization.windows import LongDocuments, Refuse, refuse_pair


@dataclass(frozen=True)
class EncodedLists:
    """Token ids of lists: their prompts, concatenated.

    prompts: one row each. documents: int64 (prompts,), documents per prompt. cu_lists: int64 (lists + 1,), the first
    prompt of each list, and the end.
    """

    prompts: EncodedPairs
    documents: NDArray[np.int64]
    cu_lists: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence["EncodedLists"]) -> "EncodedLists":
        """Join the lists of all parts, in order."""
        none = np.empty(0, np.int64)
        documents, sizes = (
            np.concatenate([none, *arrays])
            for arrays in ([part.documents for part in parts], [np.diff(part.cu_lists) for part in parts])
        )
        prompts = EncodedPairs.joined([part.prompts for part in parts])
        return cls(prompts, documents, np.concatenate([[0], np.cumsum(sizes)]))

    def __len__(self) -> int:
        return len(self.cu_lists) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each list, (lists,)."""
        return np.diff(self.prompts.cu_seqlens[self.cu_lists])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of scores per list, one for each document, (lists,)."""
        return np.diff(np.concatenate([[0], np.cumsum(self.documents)])[self.cu_lists])

    def select(self, lists: NDArray[np.int64]) -> "EncodedLists":
        """The given lists, in the given order."""
        sizes = np.diff(self.cu_lists)[lists]
        prompts = ragged_positions(self.cu_lists[lists], sizes)
        cu_lists = np.concatenate([[0], np.cumsum(sizes)])
        return EncodedLists(self.prompts.select(prompts), self.documents[prompts], cu_lists)


class ListTokenizer:
    """The tokenizer of a listwise reranker. It is configured once, so threads can share it."""

    def __init__(self, checkpoint: Checkpoint, settings: LongDocuments = LongDocuments()) -> None:
        if checkpoint.lists is None:
            raise SettingError(f"{checkpoint.folder} reads pairs, not lists")
        if settings.policy == "windows":
            raise SettingError(
                f"{checkpoint.folder} reads lists of documents, not windows of them; leave long_documents out, or set "
                "'truncate' or 'error'"
            )
        self.settings = settings
        self.max_length = checkpoint.max_length
        self._format = checkpoint.lists
        self._tokenizer = checked_tokenizer(checkpoint)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._process = os.getpid()

    @property
    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer, for single texts."""
        return self._tokenizer

    def instructed(self, instruction: str) -> "ListTokenizer":
        """Return a copy with another instruction."""
        found = copy.copy(self)
        found._format = replace(self._format, instruction=instruction)
        return found

    def limited(self, query_tokens: int | None, document_tokens: int | None) -> "ListTokenizer":
        """Return a copy that reads at most this many tokens of a query and a document; None keeps the model's limit."""
        found, form = copy.copy(self), self._format
        found._format = replace(
            form,
            query_tokens=min(query_tokens or form.query_tokens, form.query_tokens),
            document_tokens=min(document_tokens or form.document_tokens, form.document_tokens),
        )
        return found

    def encode(
        self,
        pairs: Sequence[tuple[str, str]],
        refuse: Refuse = refuse_pair,
        lists: Sequence[object] | None = None,
    ) -> WindowedPairs:
        """Return the token ids of all lists, in input order.

        Adjacent pairs with equal values in `lists` form one list; None makes a list of each pair. `refuse` is called
        with the index of a pair that the policy for long documents refuses, and the reason.
        """
        return WindowedPairs.whole(self.encode_lists(pairs, refuse, lists))

    def encode_lists(
        self, pairs: Sequence[tuple[str, str]], refuse: Refuse, lists: Sequence[object] | None
    ) -> EncodedLists:
        """Return only the lists; see `encode`."""
        stay_in_process(self._process)
        keys = range(len(pairs)) if lists is None else lists
        groups = [list(group) for _, group in itertools.groupby(range(len(pairs)), key=lambda index: keys[index])]
        return EncodedLists.joined([self._list(pairs, group, refuse) for group in groups])

    def spans(self, pair: tuple[str, str]) -> list[tuple[int, int]]:
        """Return the characters of each document that are read: start and end."""
        [encoding] = self._tokenizer.encode_batch([pair[1]])
        limit = self._limit(self._query(pair[0])[1])
        return [(0, len(pair[1]) if len(encoding) < limit else encoding.offsets[limit - 1][1])]

    def _list(self, pairs: Sequence[tuple[str, str]], group: list[int], refuse: Refuse) -> EncodedLists:
        """Return the prompts of one list."""
        query, query_tokens, is_cut = self._query(pairs[group[0]][0])
        limit = self._limit(query_tokens)
        texts = [pairs[index][1] for index in group]
        encodings = self._tokenizer.encode_batch(texts)
        for index, encoding in zip(group, encodings, strict=True):
            reason = self._reason_to_refuse(query_tokens, is_cut, len(encoding))
            if reason:
                refuse(index, reason)
        limit = max(1, limit)
        documents = [self._cut(text, encoding, limit) for text, encoding in zip(texts, encodings, strict=True)]
        parts = self._split([min(len(encoding), limit) for encoding in encodings], query_tokens, limit)
        prompts = [self._prompt(query, documents[start:stop]) for start, stop in parts]
        rows = flat_of(self._tokenizer.encode_batch(prompts), token_types=False)
        counts = np.array([stop - start for start, stop in parts], np.int64)
        return EncodedLists(rows, counts, np.array([0, len(parts)]))

    def _query(self, query: str) -> tuple[str, int, bool]:
        """Return the part of a query that is read, its tokens, and whether it was cut."""
        [encoding] = self._tokenizer.encode_batch([query])
        limit = self._format.query_tokens
        return self._cut(query, encoding, limit), min(len(encoding), limit), len(encoding) > limit

    def _limit(self, query_tokens: int) -> int:
        """Return the token limit of a document: a prompt holds the query twice."""
        return min(self._format.document_tokens, self.max_length - 2 * query_tokens)

    def _cut(self, text: str, encoding: Encoding, limit: int) -> str:
        """Return the first tokens of a text, decoded to text as in the authors' code."""
        if len(encoding) < limit:
            return text
        return str(self._tokenizer.decode(encoding.ids[:limit], skip_special_tokens=False))

    def _split(self, lengths: Sequence[int], query_tokens: int, limit: int) -> list[tuple[int, int]]:
        """Return the start and end of each prompt's documents: a prompt is full if another document might not fit."""
        parts, start = [], 0
        room = self.max_length - 2 * query_tokens
        left = room
        for index, length in enumerate(lengths):
            left -= length
            if index - start + 1 >= self._format.most or left <= limit:
                parts.append((start, index + 1))
                start, left = index + 1, room
        return [*parts, (start, len(lengths))] if start < len(lengths) else parts

    def _prompt(self, query: str, documents: Sequence[str]) -> str:
        """Return the text of a prompt. Texts cannot contain the tokens at which scores are read."""
        form, query = self._format, self._without_tokens(query)
        passages = [
            form.passage.format(number=number, text=self._without_tokens(text), token=form.document)
            for number, text in enumerate(documents)
        ]
        instructed = form.instructed.format(instruction=self._without_tokens(form.instruction))
        return "".join(
            [
                form.before,
                form.task.format(count=len(documents), query=query),
                *([instructed] if form.instruction else []),
                *passages,
                form.question.format(query=query, token=form.query),
                form.after,
            ]
        )

    def _without_tokens(self, text: str) -> str:
        before = None
        while before != text:  # removing one may create another
            before = text
            text = text.replace(self._format.query, "").replace(self._format.document, "")
        return text

    def _reason_to_refuse(self, query: int, query_is_cut: bool, document: int) -> str:
        """Return why a document cannot be read or is refused by the policy, if so; lengths are in tokens."""
        limit = self._limit(query)
        if limit < 1:
            return f"the query has {query} tokens, and max_length={self.max_length} leaves no room for documents"
        if self.settings.policy != "error" or (document <= limit and not query_is_cut):
            return ""
        what = f"the document has {document} tokens, and this model reads at most {limit}"
        if query_is_cut:
            what = f"the query has more than {query} tokens, the most that this model reads"
        return f"{what}; shorten it, or use long_documents='truncate'"
