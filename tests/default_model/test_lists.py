"""Lists for the default model: labels against their definition, written out; queries that come out of passages."""

import math
import random

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from default_model import lists, splade
from default_model.lists import Passages, Questions, Taught, query_of
from plackett._compat.transformers import quiet
from plackett.bi_encoder import BiEncoder
from plackett.checkpoints.folder import find_folder
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


def expanded(text):
    """SPLADE's weights of words by transformers, a text at a time."""
    folder = find_folder(splade.NAME, revision=None, local_files_only=True)
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with quiet(), torch.inference_mode():
        logits = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True)(**inputs).logits[0]
    return torch.log1p(torch.relu(logits)).amax(0).numpy()


@pytest.fixture
def taught(tmp_path):
    return Taught(LISTS, tmp_path / "embeddings")


@pytest.mark.parametrize("weight", [0, 0.5])
def test_labels_are_cosines_bm25_splade_and_bonus(taught, weight):
    teacher = BiEncoder(lists.TEACHER)
    source = Questions("", scale=20, bonus=4, own=2, similar=1, answer=weight)
    for item, made in zip(LISTS, taught.lists(source), strict=True):
        assert made.query == item.query
        assert set(item.documents) < set(made.documents)
        assert len(made.documents) == 4
        query, answer, *documents = teacher.embed([made.query, item.documents[0], *made.documents])
        for text, embedding, label in zip(made.documents, documents, made.labels, strict=True):
            expected = query @ embedding + 0.01 * bm25(item.query, text) + 0.04 * expanded(item.query) @ expanded(text)
            expected = 20 * (expected + weight * max(answer @ embedding, 0)) + 4 * (text == item.documents[0])
            assert label == pytest.approx(expected, abs=0.3)  # embeddings in bf16 where the processor has it


def test_splade_weighs_words_as_transformers_does():
    texts = ["Egg calories are food.", PASSAGE, "egg"]
    made = splade.Splade(max_length=160).embed(texts).toarray()
    for row, text in zip(made, texts, strict=True):
        assert row == pytest.approx(expanded(text), abs=0.02)  # products are in bf16
        assert 1 < (row > 0).sum() < 300


def test_own_documents_are_kept_by_similarity(taught):
    first, _ = taught.lists(Questions("", scale=1, bonus=0, own=1, similar=0))
    assert set(first.documents) == {LISTS[0].documents[0], "Hens lay eggs."}  # nearer to an egg than Paris is


def test_the_answer_nearest_to_a_document_counts(tmp_path):
    answers = ("Egg calories are food.", "Paris is a capital.")
    nothing = LabeledList("egg", ("Hens lay eggs.", "Paris is far."), (0.0, 0.0))
    item = LabeledList("egg", (*answers, "Hens lay eggs.", "Paris is far."), (1.0, 1.0, 0.0, 0.0))
    taught = Taught([item, nothing], tmp_path)
    alone, beside = (
        [dict(zip(made.documents, made.labels, strict=True)) for made in taught.lists(source)]
        for source in (Questions("", 1, 0, own=4, similar=0), Questions("", 1, 0, own=4, similar=0, answer=1))
    )
    assert alone[1] == beside[1]  # a list without an answer
    more = {text: beside[0][text] - alone[0][text] for text in item.documents}
    teacher = BiEncoder(lists.TEACHER)
    cosines = teacher.embed(list(item.documents)) @ teacher.embed(list(answers)).T
    assert more == pytest.approx(dict(zip(item.documents, cosines.max(axis=1), strict=True)), abs=0.02)


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
