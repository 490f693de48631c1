"""Embeddings are those of sentence-transformers on the same folder."""

import numpy as np
import pytest

from peers import sentence_transformers
from plackett import CheckpointError
from plackett.bi_encoder import BiEncoder
from tiny import PAIRS

TEXTS = [text for pair in PAIRS for text in pair]


@pytest.mark.peer
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_embeddings_are_those_of_sentence_transformers(tiny, family):
    theirs = sentence_transformers.SentenceTransformer(str(tiny(family)), device="cpu")  # a plain folder: mean pooling
    theirs.max_seq_length = 16
    expected = theirs.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(BiEncoder(tiny(family), max_length=16).embed(TEXTS), expected, atol=1e-5)


def test_order_and_number_of_texts_do_not_matter(bert):
    encoder = BiEncoder(bert)
    embeddings = encoder.embed(TEXTS)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(encoder.embed(TEXTS[::-1]), embeddings[::-1], atol=1e-6)
    assert encoder.embed([]).shape == (0, embeddings.shape[1])


def test_a_folder_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        BiEncoder(tmp_path)
