"""Lists for the default model: labels against their definition, written out; queries that come out of passages."""

import math
import random

import numpy as np
import pytest

from default_model import lists
from default_model.lists import Passages, Questions, Taught, query_of
from plackett import CrossEncoder
from plackett.bi_encoder import BiEncoder
from plackett.engines import FakeEngine
from plackett.records import LabeledList

LISTS = [
    LabeledList("egg calories", ("Egg calories are food.", "Hens lay eggs.", "Paris is far."), (1.0, 0.0, 0.0)),
    LabeledList("capital france", ("Paris is a capital.", "Hens lay eggs.", "Rome is old."), (1.0, 0.0, 0.0)),
]
WORDS = {  # without stop words
    "Egg calories are food.": ["egg", "calories", "food"],
    "Hens lay eggs.": ["hens", "lay", "eggs"],
    "Paris is far.": ["paris", "far"],
    "Paris is a capital.": ["paris", "capital"],
    "Rome is old.": ["rome", "old"],
}
PASSAGE = "The calorie is a unit of energy. A large egg has about 72 calories in all of it! Short one."


def bm25(query, document):
    """Lucene's variant, k1 1.5, b 0.75 (Kamphuis et al. 2020)."""
    mean = sum(map(len, WORDS.values())) / len(WORDS)
    words, score = WORDS[document], 0.0
    for term in query.split():
        holding = sum(term in other for other in WORDS.values())
        weight = math.log(1 + (len(WORDS) - holding + 0.5) / (holding + 0.5))
        score += weight * words.count(term) / (words.count(term) + 1.5 * (0.25 + 0.75 * len(words) / mean))
    return score


@pytest.fixture
def taught(tmp_path):
    return Taught(LISTS, tmp_path / "embeddings")


def test_labels_are_cosines_bm25_and_bonus(taught):
    teacher = BiEncoder(lists.TEACHER)
    source = Questions("", scale=20, bonus=4, own=2, similar=1)
    for item, made in zip(LISTS, taught.lists(source), strict=True):
        assert made.query == item.query
        assert set(item.documents) < set(made.documents)
        assert len(made.documents) == 4
        query, *documents = teacher.embed([made.query, *made.documents])
        for text, embedding, label in zip(made.documents, documents, made.labels, strict=True):
            expected = 20 * (query @ embedding + 0.01 * bm25(item.query, text)) + 4 * (text == item.documents[0])
            assert label == pytest.approx(expected, abs=0.3)  # embeddings in bf16 where the processor has it


def test_logits_of_the_reranker_are_added(bert, tmp_path):
    reranker = CrossEncoder(bert, engine=FakeEngine(lambda ids: float(ids.sum()) / 1000))
    alone, beside = (
        list(Taught(LISTS, tmp_path, reranker).lists(Questions("", 1, 0, own=2, similar=1, reranker=weight)))
        for weight in (0.0, 0.5)
    )
    for before, after in zip(alone, beside, strict=True):
        assert after.documents == before.documents
        logits = reranker.score([(after.query, document) for document in after.documents])[:, 0]
        assert logits.std() > 0
        assert after.labels == pytest.approx(np.array(before.labels) + 0.5 * logits, abs=0.002)


def test_a_source_that_asks_a_reranker_needs_one(taught):
    with pytest.raises(ValueError, match="reranker"):
        next(taught.lists(Questions("", 1, 0, own=1, similar=0, reranker=1)))


def test_some_of_the_lists_are_drawn(taught):
    (drawn,) = taught.lists(Questions("", 1, 0, own=1, similar=0, lists=1))
    assert drawn.query in {item.query for item in LISTS}


def test_the_first_sentences_of_an_article_are_a_query_for_the_others():
    long = LabeledList("who", ("The egg is round.", "Two.", "Three.", "Four.", "Five."), (0.0, 1.0, 0.0, 0.0, 0.0))
    assert list(lists.articles([long, LISTS[0]])) == [
        LabeledList("The egg is round. Two. Three.", ("Four.", "Five."), (1.0, 1.0))
    ]
    (subject,) = lists.subjects([long])
    assert subject == LabeledList("egg round", long.documents[1:], (1.0,) * 4)


def test_the_sentences_of_an_article_are_its_answers(taught):
    source = Questions("", scale=0, bonus=3, own=0, similar=2, queries="subjects")
    for item, made in zip(LISTS, taught.lists(source), strict=True):
        labels = dict(zip(made.documents, made.labels, strict=True))
        assert {text for text, label in labels.items() if label == 3} == set(item.documents[1:])
        assert set(labels.values()) == {0, 3}


def test_own_documents_are_kept_by_similarity(taught):
    first, _ = taught.lists(Questions("", scale=1, bonus=0, own=1, similar=0))
    assert set(first.documents) == {LISTS[0].documents[0], "Hens lay eggs."}  # nearer to an egg than Paris is


def test_embeddings_are_made_once_for_the_same_texts(taught, tmp_path, monkeypatch):
    source = Questions("", scale=1, bonus=0, own=1, similar=0)
    known = list(taught.lists(source))
    monkeypatch.setattr(lists, "BiEncoder", None)
    assert list(Taught(LISTS, tmp_path / "embeddings").lists(source)) == known
    with pytest.raises(TypeError):  # other texts are not taken for these
        Taught(LISTS[:1], tmp_path / "embeddings")


def test_lists_of_passages(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "NEAR", ((0, 3, 2),))
    monkeypatch.setattr(lists, "FAR", 1)
    taught = Taught(LISTS, tmp_path)
    source = Passages("", scale=10, lists=5)
    made = list(taught.lists(source))
    assert len(made) == 5
    assert made == list(taught.lists(source))
    for item in made:
        assert item.query not in item.documents
        assert 1 <= len(item.documents) == len(set(item.documents)) <= 3


def test_labels_of_passages_are_cosines_and_bm25(taught, monkeypatch):
    monkeypatch.setattr(lists, "NEAR", ((0, 5, 5),))
    teacher = BiEncoder(lists.TEACHER)
    for made in taught.lists(Passages("", scale=10, lists=5)):
        query, *documents = teacher.embed([made.query, *made.documents])
        for text, embedding, label in zip(made.documents, documents, made.labels, strict=True):
            assert label == pytest.approx(10 * (query @ embedding + 0.01 * bm25(made.query, text)), abs=0.15)


def test_queries_out_of_a_passage():
    found = {query_of(PASSAGE, random.Random(seed)) for seed in range(300)}
    sentences = set(PASSAGE.replace("! Short one.", "!").replace(". A", ".|A").split("|"))
    assert {PASSAGE, *sentences} < found
    keywords = found - {PASSAGE} - sentences
    assert not any("short" in query for query in keywords)  # too short a sentence
    lengths = np.array([len(query.split()) for query in keywords])
    assert lengths.min() == 2
    assert lengths.max() <= 6
    for query in keywords:
        places = [PASSAGE.lower().index(word) for word in query.split()]
        assert places == sorted(places)
        assert not {"the", "is", "a", "of", "in", "it"} & set(query.split())


def test_a_passage_without_words_is_its_own_query():
    assert {query_of("the of", random.Random(seed)) for seed in range(20)} == {"the of"}
