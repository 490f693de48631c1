"""Pairs rendered by a chat template into one text, of which only the document is ever truncated.

A causal reranker reads its score at the last token. Cutting off a template's end would turn that score into noise, and
cutting a query or an instruction would change the question. So only the document loses its end (or, with
`truncation_side="left"`, its start).
"""

import copy
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plackett._extras import require
from plackett.checkpoints.folder import Checkpoint
from plackett.checkpoints.templates import ChatTemplate
from plackett.errors import CheckpointError, SettingError
from plackett.tokenization.batches import EncodedPairs
from plackett.tokenization.shortening import CHARACTERS, SLACK
from plackett.tokenization.tokenizer import (
    Cut,
    Kept,
    PairTokenizer,
    checked_tokenizer,
    chunks,
    flat_of,
    side_of,
    stay_in_process,
    truncation_side,
    with_windows,
)

_STRUCTURED = ("content[0]", ".type", "'type'", '"type"', "message.content[")
"""Text that marks a template as reading contents as lists of parts, as in sentence-transformers 6.2."""

QUERY, DOCUMENT, _INSTRUCTION = (f"\x00{name}-{secrets.token_hex(8)}\x00" for name in ("query", "document", "system"))
"""Placeholders of the texts, which no text can contain."""

_PROBES = (("a query", "a document"), (" a\n", "\tb "), ("", ""), ("{{ 1 }} <|x|>", "{% if %} &amp; 'é'"))


@dataclass(frozen=True)
class Layout:
    """A template with an instruction, split at its query and its document.

    parts: literal texts and the two marks, in order. strips: whether the template strips white space from the texts.
    """

    parts: tuple[str, ...]
    strips: bool

    @classmethod
    def of(cls, template: ChatTemplate) -> "Layout":
        """Render a template around marks. CheckpointError unless it is exactly its literal parts around the texts."""
        try:
            parts = _split(_render(template, QUERY, DOCUMENT))
            _check_roles(parts)
            for strips in (False, True):
                layout = cls(parts, strips)
                if all(layout.text(*probe)[0] == _render(template, *probe) for probe in _PROBES):
                    return layout
        except CheckpointError:
            raise
        except Exception as error:  # templates may raise anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise CheckpointError(f"the chat template of this model cannot be rendered: {reason}") from error
        raise CheckpointError(
            "the chat template of this model changes the texts of query and document, which Plackett does not support"
        )

    def text(self, query: str, document: str) -> tuple[str, int, int]:
        """Return the rendered text, and the start and end of the document in it, in characters."""
        if self.strips:
            query, document = query.strip(), document.strip()
        start = self.parts.index(DOCUMENT)
        before = "".join(query if part == QUERY else part for part in self.parts[:start])
        after = "".join(query if part == QUERY else part for part in self.parts[start + 1 :])
        return before + document + after, len(before), len(before) + len(document)


class TemplateTokenizer:
    """A fast tokenizer with a chat template and the interface of `PairTokenizer`. Threads can share it."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, max_length: int, *, left: bool = False) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._template = template
        self._layout = Layout.of(template)
        self._process = os.getpid()
        self._left = left
        self.max_length = max_length
        self._around = self._encoded([self._layout.text("", "")[0]])[0].ids

    @property
    def room(self) -> int:
        """Number of tokens available for the two texts."""
        return self.max_length - len(self._around)

    @property
    def last_token(self) -> int | None:
        """The token that ends every pair; None if it belongs to the document."""
        return int(self._around[-1]) if self._around else None

    def limited(self, max_length: int, *, left: bool) -> "TemplateTokenizer":
        """Return this tokenizer with another token limit, cutting documents at their end, or start for `left`."""
        found = copy.copy(self)
        found.max_length, found._left = max_length, left
        return found

    @property
    def takes_instructions(self) -> bool:
        """Whether the template renders an instruction."""
        return takes_instructions(self._template)

    def instructed(self, instruction: str) -> "TemplateTokenizer":
        """Return this tokenizer with another instruction. SettingError for a template that would drop it."""
        if not self.takes_instructions:
            raise SettingError(
                "the chat template of this model renders no instruction (a message with the role system)"
            )
        template = replace(self._template, instruction=instruction)
        return TemplateTokenizer(self._tokenizer, template, self.max_length, left=self._left)

    def length(self, pair: tuple[str, str]) -> int:
        """Return the number of tokens of an untruncated pair."""
        return len(self._encoded([self._layout.text(*pair)[0]])[0])

    def encode(self, pairs: Sequence[tuple[str, str]]) -> EncodedPairs:
        """Return token ids of all pairs, unpadded, in input order, with documents cut to the token limit."""
        return self.encode_windows(pairs, self.longest_first)[0]

    def encode_windows(
        self, pairs: Sequence[tuple[str, str]], cut: Cut, *, whole: bool = False
    ) -> tuple[EncodedPairs, NDArray[np.int64]]:
        """Return the token ids of all windows of all pairs, and how many each pair has; see `PairTokenizer`."""
        stay_in_process(self._process)
        parts, counts = [], [np.empty(0, np.int64)]
        for start, texts in chunks(pairs):
            rendered = [self._rendered((str(text[0]), str(text[1])), whole) for text in texts]
            encodings = self._encoded([text for text, _, _ in rendered])
            cuts = {
                index: self._cut(encoding, rendered[index][1:], start + index, cut)
                for index, encoding in enumerate(encodings)
                if len(encoding) > self.max_length
            }
            rows, count = with_windows(flat_of(encodings, token_types=False), cuts)
            parts.append(rows)
            counts.append(count)
        return EncodedPairs.joined(parts), np.concatenate(counts)

    def spans(self, pair: tuple[str, str], cut: Cut, *, whole: bool = False) -> list[tuple[int, int]]:
        """Return the range of the document's characters, [start, end), that each window of a pair reads."""
        text, start, end = self._rendered(pair, whole)
        skipped = len(pair[1]) - (end - start) if self._left else len(pair[1]) - len(pair[1].lstrip())
        [encoding] = self._encoded([text])
        if len(encoding) <= self.max_length:
            return [(0, len(pair[1]))]
        _, (first, _), kept = self._cut(encoding, (start, end), 0, cut)
        offsets = [encoding.offsets[first + int(a) : first + int(b)] for a, b in kept.windows]
        shift = (skipped if self._layout.strips or self._left else 0) - start
        return [(run[0][0] + shift, run[-1][1] + shift) if run else (0, 0) for run in offsets]

    def longest_first(self, _: int, query: int, document: int, room: int) -> Kept:
        """Truncate the document; the query is part of the template's text."""
        return Kept((0, query), np.array([self.side(document, max(0, room - query))], np.int64))

    def side(self, length: int, kept: int) -> tuple[int, int]:
        """Return the run of at most `kept` tokens that remains of a text."""
        return side_of(length, kept, left=self._left)

    def _encoded(self, texts: list[str]) -> list[Encoding]:
        encodings: list[Encoding] = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return encodings

    def _rendered(self, pair: tuple[str, str], whole: bool) -> tuple[str, int, int]:
        """Return a pair's text, with only the part that is read of a document far beyond the limit."""
        query, document = pair
        characters = (self.max_length + SLACK) * CHARACTERS
        while not whole and len(document) > characters:
            part = document[-characters:] if self._left else document[:characters]
            if len(self._encoded([part])[0]) >= self.max_length + SLACK:
                return self._layout.text(query, part)
            characters *= 2
        return self._layout.text(query, document)

    def _cut(
        self, encoding: Encoding, document: Sequence[int], index: int, cut: Cut
    ) -> tuple[tuple[int, int], tuple[int, int], Kept]:
        """Locate a pair's document among its tokens, and the part that remains; the query stays whole."""
        start, end = document
        places = [place for place, (a, b) in enumerate(encoding.offsets) if a >= start and b <= end and a < b]
        first, last = (places[0], places[-1] + 1) if places else (0, 0)
        kept = cut(index, 0, last - first, self.max_length - (len(encoding) - (last - first)))
        return (first, first), (first, last), Kept((0, 0), kept.windows)


AnyTokenizer = PairTokenizer | TemplateTokenizer


def tokenizer_of(checkpoint: Checkpoint) -> AnyTokenizer:
    """Return what makes token ids of a checkpoint's pairs."""
    return over(checked_tokenizer(checkpoint), checkpoint)


def over(tokenizer: Tokenizer, checkpoint: Checkpoint) -> AnyTokenizer:
    """Return what makes token ids of a checkpoint's pairs with its `tokenizer`, which it sets."""
    inputs = checkpoint.inputs
    if checkpoint.template is None:
        return PairTokenizer.over(tokenizer, inputs)
    left = truncation_side(tokenizer, inputs) == "left"
    made = TemplateTokenizer(tokenizer, checkpoint.template, inputs.max_length, left=left)
    if made.last_token == inputs.pad_id:
        raise CheckpointError(
            f"the chat template of {checkpoint.folder} ends with the padding token, so the model would read its "
            "score at the wrong place; set another pad_token_id"
        )
    return made


def takes_instructions(template: ChatTemplate) -> bool:
    """Whether a template renders an instruction."""
    try:
        return _INSTRUCTION in _render(replace(template, instruction=_INSTRUCTION), "", "")
    except Exception:  # as in `Layout.of`: some templates refuse a message with this role
        return False


def _check_roles(parts: Sequence[str]) -> None:
    """Refuse a template that leaves out a text or repeats the document."""
    counts = {"query": parts.count(QUERY), "document": parts.count(DOCUMENT)}
    missing = " and ".join(role for role, count in counts.items() if not count)
    if missing or counts["document"] > 1:
        raise CheckpointError(
            f"the chat template of this model renders {f'no {missing}' if missing else 'the document twice'}: "
            "it is not a reranker's, which has messages with the roles query and document. Remove the template "
            "if the model was trained on plain pairs of texts"
        )


def _split(text: str) -> tuple[str, ...]:
    """Return the literal parts of a rendered text and the marks between them."""
    parts: list[str] = []
    for number, piece in enumerate(text.split(QUERY)):
        parts += [QUERY] * (number > 0)
        for inner, part in enumerate(piece.split(DOCUMENT)):
            parts += [DOCUMENT] * (inner > 0)
            parts.append(part)
    return tuple(parts)


def _render(template: ChatTemplate, query: str, document: str) -> str:
    """Render a template as transformers does."""
    utils = require("transformers.utils.chat_template_utils", extra="train")
    messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
    if template.instruction:
        messages = [{"role": "system", "content": template.instruction}, *messages]
    variables = {**template.tokens, **template.settings}
    rendered, _ = utils.render_jinja_template(
        conversations=[_formatted(messages, template)], chat_template=template.source, **variables
    )
    text: str = rendered[0]
    return text


def _formatted(messages: Iterable[Mapping[str, str]], template: ChatTemplate) -> list[dict[str, Any]]:
    """Return the messages in the form that a template reads."""
    if _is_flat(template):
        return [dict(message) for message in messages]
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]


def _is_flat(template: ChatTemplate) -> bool:
    """Whether the contents of messages are texts, by the marks that sentence-transformers looks for."""
    if template.format != "auto":
        return template.format == "flat"
    return not any(mark in template.source for mark in _STRUCTURED)
