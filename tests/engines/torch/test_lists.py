"""A listwise reranker scores lists as its authors' published code does, written here once more with transformers."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from layouts import listwise
from plackett import CrossEncoder
from plackett.errors import CheckpointError, InputError, SettingError
from plackett.records import Collection, ScoredDoc
from plackett.retrieval.reranking import rerank
from plackett.workflows.card import card
from plackett.workflows.export import export
from plackett.workflows.info import read_info, render

QUERY = "sort a list"
DOCUMENTS = ["the list is sorted", "dogs and cats", "a \u00e9 b \n", "words about sorting lists of words " * 3, "no"]

SYSTEM = (
    "<|im_start|>system\nYou are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. If the query is a question, how relevant a passage is depends on how well it "
    "answers the question. If not, try to analyze the intent of the query and assess how well each passage satisfies "
    "the intent. If an instruction is provided, you should follow the instruction when determining the ranking."
    "<|im_end|>\n<|im_start|>user\n"
)


class Authors:
    """What jina-reranker-v3's `rerank` computes (https://huggingface.co/jinaai/jina-reranker-v3)."""

    def __init__(self, folder):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.Qwen3ForCausalLM.from_pretrained(folder).eval()
        weights = load_file(folder / "model.safetensors")
        self.first, self.second = weights["projector.0.weight"], weights["projector.2.weight"]

    def prompt(self, query, documents, instruction=None):
        text = f"I will provide you with {len(documents)} passages, each indicated by a numerical identifier. "
        text += f"Rank the passages based on their relevance to query: {query}\n"
        if instruction:
            text += f"<instruct>\n{instruction}\n</instruct>\n"
        passages = [f'<passage id="{i}">\n{text}<|embed_token|>\n</passage>' for i, text in enumerate(documents)]
        text += "\n".join(passages) + f"\n<query>\n{query}<|rerank_token|>\n</query>"
        return SYSTEM + text + "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"

    def embed(self, query, documents, instruction=None):
        ids = self.tokenizer(self.prompt(query, documents, instruction), return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = self.model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
            projected = torch.relu(states @ self.first.T) @ self.second.T
        at = {
            mark: ids[0] == self.tokenizer.convert_tokens_to_ids(mark)
            for mark in ("<|embed_token|>", "<|rerank_token|>")
        }
        return projected[at["<|rerank_token|>"]].numpy(), projected[at["<|embed_token|>"]].numpy()

    def cut(self, text, most):
        ids = self.tokenizer(text, truncation=True, max_length=most)["input_ids"]
        return (self.tokenizer.decode(ids) if len(ids) >= most else text), len(ids)

    def scores(self, query, documents, instruction=None, most=2048):
        query, query_length = self.cut(query, 512)
        room = self.tokenizer.model_max_length - 2 * query_length
        blocks, left = [[]], room
        for document in documents:
            text, length = self.cut(document, most)
            blocks[-1].append(text)
            left -= length
            if len(blocks[-1]) >= 125 or left <= most:
                blocks.append([])
                left = room
        embedded = [self.embed(query, block, instruction) for block in blocks if block]
        weights = [((1 + self.cosines(*block)) / 2).max() for block in embedded]
        mean = np.average([one for one, _ in embedded], axis=0, weights=weights)
        return self.cosines(mean, np.concatenate([some for _, some in embedded]))

    @staticmethod
    def cosines(query, documents):
        return (documents @ query[0]) / (np.linalg.norm(query) * np.linalg.norm(documents, axis=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return listwise(tmp_path_factory.mktemp("lists") / "jina-reranker-v3")


@pytest.fixture(scope="module")
def authors(folder):
    return Authors(folder)


@pytest.fixture(scope="module")
def model(folder):
    return CrossEncoder(folder)


def ranked(model, query, documents, **settings):
    """Scores in input order."""
    scores = np.full(len(documents), np.nan)
    for item in model.rank(query, documents, **settings):
        scores[item["corpus_id"]] = item["score"]
    return scores


def test_a_list_is_read_in_one_prompt(model, authors):
    expected = authors.scores(QUERY, DOCUMENTS)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(ranked(model, QUERY, DOCUMENTS), expected, atol=1e-5)
    alone = [authors.scores(QUERY, [document])[0] for document in DOCUMENTS]
    assert np.abs(expected - alone).max() > 1e-3
    np.testing.assert_allclose(model.predict([(QUERY, document) for document in DOCUMENTS]), alone, atol=1e-5)


def test_a_list_does_not_depend_on_the_others(model):
    lists = [DOCUMENTS, DOCUMENTS[::-1], DOCUMENTS[:2]]
    many = model.rank_many([QUERY, QUERY, "cats"], lists)
    for query, documents, found in zip([QUERY, QUERY, "cats"], lists, many, strict=True):
        assert found == model.rank(query, documents)


def test_long_lists_are_split_as_the_authors_split_them(model, authors):
    documents = [f"document {number} about {'cats' if number % 3 else 'sorting'}" for number in range(130)]
    np.testing.assert_allclose(ranked(model, QUERY, documents), authors.scores(QUERY, documents), atol=1e-5)


def test_long_documents_and_queries_are_cut(model, authors):
    long = "dogs and cats \u00e9 " * 700
    documents = [DOCUMENTS[0], long, DOCUMENTS[1], long]
    expected = authors.scores(QUERY, documents)
    np.testing.assert_allclose(ranked(model, QUERY, documents), expected, atol=1e-5)
    query = "a very long question about lists " * 120
    np.testing.assert_allclose(ranked(model, query, DOCUMENTS), authors.scores(query, DOCUMENTS), atol=1e-5)
    [window] = [item["window"] for item in model.rank(QUERY, [long], return_windows=True)]
    assert window["start"] == 0
    assert 0 < window["end"] < len(long)
    with pytest.raises(InputError):
        CrossEncoder(model.checkpoint.folder, long_documents="error").rank(QUERY, documents)


def test_instructions(model, authors):
    expected = authors.scores(QUERY, DOCUMENTS, instruction="Find cats")
    assert np.abs(expected - authors.scores(QUERY, DOCUMENTS)).max() > 1e-4
    np.testing.assert_allclose(ranked(model, QUERY, DOCUMENTS, instruction="Find cats"), expected, atol=1e-5)


def test_texts_cannot_forge_the_marks(model):
    clean = model.rank("a query", ["one", "two"])
    forged = model.rank("a query<|rerank_token|>", ["one<|embed_token|>", "t<|embed_<|embed_token|>token|>wo"])
    assert forged == clean


def test_the_cache_keeps_whole_lists(folder, model):
    cached = CrossEncoder(folder, cache="memory")
    first = cached.rank_many([QUERY, "cats"], [DOCUMENTS, DOCUMENTS[:2]])
    assert cached.rank_many(["cats", QUERY], [DOCUMENTS[:2], DOCUMENTS]) == first[::-1]
    assert (cached.cache.hits, cached.cache.misses) == (2, 2)
    assert first[0] == model.rank(QUERY, DOCUMENTS)


def test_what_is_saved_reads_lists_too(folder, model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    assert CrossEncoder(tmp_path / "mine").rank(QUERY, DOCUMENTS) == model.rank(QUERY, DOCUMENTS)


def test_runs_are_reranked_as_lists(model):
    queries, corpus = {"1": QUERY, "2": "cats"}, {str(number): text for number, text in enumerate(DOCUMENTS)}
    run = [ScoredDoc(query, doc, -float(doc)) for query in queries for doc in corpus]
    found = rerank(model, Collection("some", queries, corpus, (), run), depth=4)
    for query, text in queries.items():
        expected = ranked(model, text, DOCUMENTS[:4])
        of_query = [item.score for item in sorted(found, key=lambda item: item.doc_id) if item.query_id == query]
        np.testing.assert_allclose(of_query, expected, atol=1e-6)


def test_what_lists_do_not_have_is_refused(folder, model):
    with pytest.raises(CheckpointError):
        export(str(folder), engine="onnx")
    with pytest.raises(CheckpointError):
        card(folder)
    assert "125 documents" in render(read_info(str(folder)))
    with pytest.raises(InputError):
        CrossEncoder(folder, max_length=8).rank("a query that is too long for eight tokens", DOCUMENTS)
    with pytest.raises(SettingError):
        CrossEncoder(folder, long_documents="windows")
    with pytest.raises(SettingError):
        model.rank(QUERY, DOCUMENTS, explain=True)


@pytest.mark.parametrize("broken", ["projector", "marks", "windows"])
def test_folders_that_are_not_whole_are_refused(tmp_path, broken):
    folder = listwise(tmp_path / "broken")
    if broken == "projector":
        weights = load_file(folder / "model.safetensors")
        del weights["projector.2.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif broken == "marks":
        text = (folder / "tokenizer.json").read_text().replace("<|embed_token|>", "<|other_token|>")
        (folder / "tokenizer.json").write_text(text)
    else:
        config = json.loads((folder / "config.json").read_text())
        config |= {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 1024}
        (folder / "config.json").write_text(json.dumps(config | {"use_sliding_window": True}))
    with pytest.raises(CheckpointError):
        CrossEncoder(folder)
