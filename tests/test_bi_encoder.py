"""Embeddings are those of sentence-transformers on the same folder."""

import json
import shutil

import numpy as np
import pytest

from peers import embedding_modules as modules
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


POOLINGS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["cls", "mean"]]
PROMPTS = {"query": "a question: ", "document": "an answer: ", "other": "words: "}


@pytest.fixture
def saved(tiny, tmp_path):
    """`saved(family, pooling, ...)`: a folder that sentence-transformers wrote."""

    def saved(family="bert", pooling="mean", *, normalised=True, max_length=32, lower=False, **options):
        transformer = modules.Transformer(str(tiny(family)), max_seq_length=max_length, do_lower_case=lower)
        chain = [transformer, modules.Pooling(32, pooling), *([modules.Normalize()] if normalised else [])]
        sentence_transformers.SentenceTransformer(modules=chain, device="cpu", **options).save(str(tmp_path / "saved"))
        return tmp_path / "saved"

    return saved


def assert_same(folder):
    theirs, own = sentence_transformers.SentenceTransformer(str(folder), device="cpu"), BiEncoder(folder)
    unit = own.similarity == "cosine"
    for role, encode in {None: theirs.encode, "query": theirs.encode_query, "document": theirs.encode_document}.items():
        expected = encode(TEXTS, normalize_embeddings=unit)
        np.testing.assert_allclose(own.embed(TEXTS, role=role), expected, atol=1e-5, rtol=1e-5)
    return own


@pytest.mark.peer
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_pooling_is_that_of_the_folder(saved, family, pooling):
    assert " and ".join(np.atleast_1d(pooling)) in assert_same(saved(family, pooling)).description


@pytest.mark.peer
@pytest.mark.parametrize("similarity", ["cosine", "dot", None])
@pytest.mark.parametrize("normalised", [True, False])
def test_the_similarity_is_that_of_the_folder(saved, similarity, normalised):
    own = assert_same(saved(normalised=normalised, similarity_fn_name=similarity))
    assert own.similarity == ("dot product" if similarity == "dot" and not normalised else "cosine")


@pytest.mark.peer
@pytest.mark.parametrize("default", [None, "other", "query"])
@pytest.mark.parametrize("prompts", [PROMPTS, {"query": "a question: ", "passage": "a passage: ", "other": "words: "}])
def test_the_prompts_are_those_of_the_folder(saved, caplog, prompts, default):
    folder = saved(prompts=prompts, default_prompt_name=default)
    own = assert_same(folder)
    assert ("'passage' is ignored" in caplog.text) == ("passage" in prompts)
    embeddings = [own.embed(TEXTS[:1], role=role) for role in ("query", "document")]
    assert not np.allclose(*embeddings)


@pytest.mark.peer
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_token_limit_and_lower_case_are_those_of_the_folder(saved, family):
    folder = saved(family, max_length=None, lower=True)
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_seq_length": 12, "do_lower_case": True}))
    assert "12 tokens" in assert_same(folder).description
    assert "9 tokens" in BiEncoder(folder, max_length=9).description


@pytest.mark.peer
def test_a_folder_of_an_old_release_is_read(saved):
    """Switches for poolings, the encoder in a folder below, modules by their old names, no settings of prompts."""
    folder = saved(pooling="cls")
    below = folder / "0_Transformer"
    below.mkdir()
    for path in [path for path in folder.iterdir() if path.is_file() and path.name != "modules.json"]:
        shutil.move(path, below / path.name)
    (below / "sentence_bert_config.json").write_text('{"max_seq_length": 20, "do_lower_case": false}')
    (below / "config_sentence_transformers.json").unlink()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    names = [("Transformer", "0_Transformer"), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    chain = [
        {"idx": i, "name": n, "path": path, "type": f"sentence_transformers.models.{n}"}
        for i, (n, path) in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(chain))
    assert "cls pooling, 20 tokens" in assert_same(folder).description
