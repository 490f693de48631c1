"""BM25 over a corpus: words without stop words, optionally stemmed, and character n-grams for text without spaces.

`bm25s` computes the scores. Text in Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese is split into overlapping
character bigrams, as in Lucene's CJKAnalyzer; all other text is split into words.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import bm25s
from bm25s import stopwords

from plackett._arguments import COUNT, check_fields, checked
from plackett._extras import extra
from plackett._wording import counted
from plackett.errors import DataError, SettingError
from plackett.records import Collection, ScoredDoc

logging.getLogger("bm25s").setLevel(logging.WARNING)  # bm25s sets itself to DEBUG

DOCUMENTS = "documents.json"  # ids and settings, beside the files of bm25s
SAVED = (DOCUMENTS, "*.index.npy", "*.index.json")
"""Names of the files of a saved index."""

NGRAM = 2  # default number of characters if the corpus needs n-grams
SPACELESS_SHARE = 0.01  # of the characters in a corpus; a few Chinese names in an English corpus stay below

# Letters and vowel signs of scripts whose words are not divided by spaces, and Hangul, whose words carry particles.
SPACELESS = (
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana
    "\u1100-\u11ff\uac00-\ud7af"  # Hangul
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece"  # Thai, Lao
    "\u1000-\u103f\u1050-\u109f\u1780-\u17d3"  # Burmese, Khmer
)
WORD = r"(?u)\b\w\w+\b"  # bm25s's pattern
RUN = re.compile(f"[{SPACELESS}]+")
NGRAM_OR_WORD = rf"[{SPACELESS}]+|{WORD.removeprefix('(?u)')}"

# Stop words by language: bm25s's lists, and `none`.
LANGUAGES: Mapping[str, Sequence[str]] = {
    {"EN": "english", "EN_PLUS": "english_plus"}.get(name, name.lower()): words
    for name, words in ((key.removeprefix("STOPWORDS_"), value) for key, value in vars(stopwords).items())
    if isinstance(words, tuple)
} | {"japanese": (), "thai": (), "none": ()}


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """How BM25 splits text into terms. Raises SettingError for an unknown name.

    language: the language of the stop words to remove (`LANGUAGES`; `none` keeps all words). stemmer: an algorithm of
    PyStemmer, such as `english`. ngrams: the number of characters per term in text without spaces; 0 splits all text
    into words, and None chooses bigrams for a corpus with such text and words for any other.
    """

    language: str = "english"
    stemmer: str | None = None
    ngrams: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.language not in LANGUAGES:
            raise SettingError.unknown("language", self.language, LANGUAGES)
        if self.ngrams is not None and self.ngrams < 0:
            raise SettingError(f"ngrams is {self.ngrams}; pass a number of characters, or 0 to split only into words")
        if self.stemmer is not None:
            _stemmer(self.stemmer)

    def for_corpus(self, texts: Iterable[str]) -> "Splitting":
        """Choose `ngrams` from the corpus if it is None."""
        if self.ngrams is not None:
            return self
        return replace(self, ngrams=NGRAM if spaceless_share(texts) >= SPACELESS_SHARE else 0)

    def terms(self, texts: Iterable[str]) -> bm25s.tokenization.Tokenized:
        """Split each text into terms."""
        return bm25s.tokenize(
            [ngrams(text, self.ngrams) for text in texts] if self.ngrams else list(texts),
            token_pattern=NGRAM_OR_WORD if self.ngrams else WORD,
            stopwords=list(LANGUAGES[self.language]),
            stemmer=None if self.stemmer is None else _stemmer(self.stemmer),
            show_progress=False,
        )

    def __str__(self) -> str:
        words = "no stop words" if not LANGUAGES[self.language] else f"{self.language.capitalize()} stop words"
        parts = [words, f"{self.stemmer} stemmer" if self.stemmer else "no stemming"]
        if self.ngrams:
            parts.append(f"character {self.ngrams}-grams for text without spaces")
        return ", ".join(parts)


ENGLISH = Splitting()


class BM25:
    """An index of a corpus: Lucene's variant of BM25 with k1 1.5 and b 0.75."""

    @checked()
    def __init__(self, corpus: Mapping[str, str], splitting: Splitting = ENGLISH) -> None:
        if not corpus:
            raise DataError("there are no documents to search: the corpus or the lists are empty")
        self._doc_ids = list(corpus)
        self._splitting = splitting.for_corpus(corpus.values())
        terms = self._splitting.terms(corpus.values())
        if not any(terms.ids):
            raise DataError(
                f"BM25 finds no terms in the corpus ({counted(len(corpus), 'document')}; {self._splitting}); choose "
                "other stop words with --language, or split text without spaces with --ngrams 2"
            )
        self._index = bm25s.BM25()
        self._index.index(terms, show_progress=False)

    def save(self, folder: Path) -> None:
        """Write the index into a folder: arrays and JSON, no pickles."""
        self._index.save(folder, show_progress=False)
        kept = {"doc_ids": self._doc_ids, "splitting": asdict(self._splitting)}
        (folder / DOCUMENTS).write_text(json.dumps(kept), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "BM25":
        """Read an index that `save` wrote."""
        kept = json.loads((folder / DOCUMENTS).read_text(encoding="utf-8"))
        index = cls.__new__(cls)
        index._doc_ids = kept["doc_ids"]
        index._splitting = Splitting(**kept["splitting"])
        index._index = bm25s.BM25.load(folder, show_progress=False)
        return index

    @property
    def description(self) -> str:
        """The ranking function and its settings, in words."""
        how = self._index
        return f"BM25 (bm25s {version('bm25s')}, {how.method}, k1 {how.k1}, b {how.b}, {self._splitting})"

    def run(self, queries: Mapping[str, str], *, depth: int) -> list[ScoredDoc]:
        """Return each query's `depth` best documents, best first, without documents that match no term."""
        if not queries:
            return []
        terms = self._splitting.terms(queries.values())
        found, scores = self._index.retrieve(terms, k=min(depth, len(self._doc_ids)), show_progress=False)
        return [
            ScoredDoc(query_id, self._doc_ids[document], float(score))
            for query_id, row, row_scores in zip(queries, found, scores, strict=True)
            for document, score in zip(row, row_scores, strict=True)
            if score > 0
        ]


@checked()
def with_bm25(collection: Collection, *, depth: Annotated[int, COUNT], splitting: Splitting = ENGLISH) -> Collection:
    """Return the collection with BM25's run, replacing any other."""
    index = BM25(collection.corpus, splitting)
    origin = replace(collection.origin, first_stage=index.description)
    return replace(collection, run=index.run(collection.queries, depth=depth), origin=origin)


def spaceless_share(texts: Iterable[str]) -> float:
    """Return the share of characters that belong to scripts without spaces between words."""
    spaceless = total = 0
    for text in texts:
        total += len(text)
        if not text.isascii():
            spaceless += sum(map(len, RUN.findall(text)))
    return spaceless / max(total, 1)


def ngrams(text: str, size: int) -> str:
    """Split runs of spaceless script into overlapping n-grams separated by spaces; shorter runs stay whole.

    Full-width letters and half-width Katakana become the usual characters first (NFKC), as in Lucene's CJKAnalyzer.
    """

    def split(run: re.Match[str]) -> str:
        characters = run[0]
        starts = range(max(len(characters) - size + 1, 1))
        return f" {' '.join(characters[start : start + size] for start in starts)} "

    return RUN.sub(split, unicodedata.normalize("NFKC", text))


def _stemmer(algorithm: str) -> Callable[[list[str]], list[str]]:
    with extra("stemmer"):
        import Stemmer
    if algorithm not in Stemmer.algorithms():
        raise SettingError.unknown("stemmer", algorithm, Stemmer.algorithms())
    stem: Callable[[list[str]], list[str]] = Stemmer.Stemmer(algorithm).stemWords
    return stem
