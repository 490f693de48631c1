"""Texts far beyond the token limit: only the end that the model reads is tokenised, so that memory stays bounded.

Tokenizers split a text at white space or after a bounded number of characters, so its first tokens do not depend on
text far behind them. A text is cut at a generous number of characters, preferably at white space, and tokenised again
at twice the number until its tokens exceed the limit by `SLACK`.
"""

from collections.abc import Callable, Sequence

from tokenizers import Encoding

CHARACTERS = 32
"""Initial estimate of characters per token; English text has 4 to 5."""

SLACK = 256
"""Tokens that may depend on the position of the cut. A WordPiece word has at most 100."""

MOST = 256
"""Maximum number of characters to tokenise per token, for texts that give few tokens, such as white space or a file in
base64, because tokenising a megabyte takes seconds. TEI cuts texts at 250."""

NEAR = 1000
"""Number of characters to search for white space, where a cut changes no token."""

Text = str | tuple[str, str]


class Shortener:
    """Cuts texts at a number of characters derived from the token limit; `left` keeps their ends."""

    def __init__(self, max_length: int, *, left: bool) -> None:
        self._enough = max_length + SLACK
        self._characters = self._enough * CHARACTERS
        self._left = left

    def applies_to(self, text: Text) -> bool:
        """Whether a text, or one of a pair, is long enough to be cut."""
        return any(len(part) > self._characters for part in _parts(text))

    def cut(self, text: Text, times: int = 1) -> Text:
        """Cut a text, or both of a pair, at `times` the first number of characters."""
        kept = [self._cut(part, times * self._characters) for part in _parts(text)]
        return kept[0] if isinstance(text, str) else (kept[0], kept[1])

    def extended(
        self, text: Text, encoding: Encoding, encode: Callable[[list[Text]], list[Encoding]]
    ) -> tuple[Encoding, int]:
        """Encode more of a text until that is enough; `encoding` is the one of `cut(text)`.

        Also returns the number of characters skipped before the text, or before the second text of a pair.
        """
        times = 1
        while True:
            parts, kept = _parts(text), _parts(self.cut(text, times))
            are_cut = [len(short) < len(part) for short, part in zip(kept, parts, strict=True)]
            if times * CHARACTERS >= MOST or self._is_enough(encoding, are_cut):
                return encoding, len(parts[-1]) - len(kept[-1]) if self._left else 0
            times *= 2
            [encoding] = encode([self.cut(text, times)])

    def _is_enough(self, encoding: Encoding, are_cut: Sequence[bool]) -> bool:
        """Whether truncation gives the same tokens as for the whole texts.

        The longer text of a pair gets the odd token, so a cut text must be the longer one.
        """
        if all(are_cut) and len(are_cut) > 1:
            return False
        sequences = encoding.sequence_ids
        counts = [sequences.count(number) for number in range(len(are_cut))]
        return all(
            count >= self._enough and count > max(counts[:number] + counts[number + 1 :], default=0)
            for number, (count, is_cut) in enumerate(zip(counts, are_cut, strict=True))
            if is_cut
        )

    def _cut(self, text: str, characters: int) -> str:
        if len(text) <= characters:
            return text
        if self._left:
            start = len(text) - characters
            near = next((place for place in range(start, start + NEAR) if text[place].isspace()), start)
            return text[near:]
        near = next((place for place in range(characters, characters - NEAR, -1) if text[place].isspace()), characters)
        return text[:near]


def _parts(text: Text) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text
