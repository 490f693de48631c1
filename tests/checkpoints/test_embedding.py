"""How a folder embeds is read without torch, and what Plackett does not support is named."""

import json
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from plackett.checkpoints.embedding import Embedding, read_embedding
from plackett.checkpoints.hub import SETTINGS, WEIGHTS
from plackett.errors import CheckpointError

CHAIN = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]


def chain(*modules):
    return [
        {"idx": i, "path": path, "type": f"sentence_transformers.models.{n}"} for i, (n, path) in enumerate(modules)
    ]


@pytest.fixture
def folder(tmp_path):
    """`folder(file=content, ...)`: a folder of sentence-transformers, with these files in place of its own."""

    def write(**files):
        own = {"modules": chain(*CHAIN), "1_Pooling/config": {"pooling_mode_cls_token": True}}
        for name, content in (own | files).items():
            path = tmp_path / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content))
        return tmp_path

    return write


def test_a_plain_folder_is_pooled_by_the_mean(tmp_path):
    assert read_embedding(tmp_path) == Embedding(tmp_path, ("mean",), normalised=True)


def test_a_reranker_is_read_as_a_plain_encoder(folder):
    """As sentence-transformers does: its prompts and its chain are those of another task."""
    path = folder(config_sentence_transformers={"model_type": "CrossEncoder", "prompts": {"query": "x"}})
    assert read_embedding(path) == Embedding(path)


def test_settings_are_read(folder):
    path = folder(
        config_sentence_transformers={
            "prompts": {"query": "q: ", "document": None, "x": "x: "},
            "default_prompt_name": "x",
            "similarity_fn_name": "dot",
        },
        sentence_bert_config={"max_seq_length": 128, "do_lower_case": True},
        modules=chain(*CHAIN[:2]),
    )
    found = read_embedding(path)
    assert found == Embedding(path, ("cls",), False, "x: ", {"query": "q: ", "document": ""}, 128, True)
    assert [found.prompt(role) for role in (None, "query", "document")] == ["x: ", "q: ", ""]


BAD = {
    "a dense layer": ({"modules": chain(*CHAIN[:2], ("Dense", "2_Dense"))}, "Transformer, Pooling, Dense"),
    "no pooling": ({"modules": chain(CHAIN[0])}, "Transformer"),
    "somebody's code": ({"modules": [*chain(*CHAIN[:2]), {"path": "", "type": "mine.Normalize"}]}, "mine.Normalize"),
    "no list": ({"modules": {}}, "modules.json"),
    "a path that leads out": ({"modules": chain(CHAIN[0], ("Pooling", "../1_Pooling"))}, "outside"),
    "token states": ({"2_Normalize/config": {"module_input_name": "token_embeddings"}}, "2_Normalize"),
    "an unknown pooling": ({"1_Pooling/config": {"pooling_mode": "median"}}, "median"),
    "no name of a pooling": ({"1_Pooling/config": {"pooling_mode": 3}}, "3"),
    "another kind": ({"config_sentence_transformers": {"model_type": "SparseEncoder"}}, "SparseEncoder"),
    "distances": ({"config_sentence_transformers": {"similarity_fn_name": "euclidean"}}, "euclidean"),
    "fewer dimensions": ({"config_sentence_transformers": {"truncate_dim": 8}}, "truncate_dim"),
    "prompts that are none": ({"config_sentence_transformers": {"prompts": {"query": 3}}}, "prompts"),
    "an unknown prompt": ({"config_sentence_transformers": {"default_prompt_name": "x"}}, "'x'"),
    "a prompt that is not pooled": (
        {
            "config_sentence_transformers": {"prompts": {"query": "q: "}},
            "1_Pooling/config": {"pooling_mode": "mean", "include_prompt": False},
        },
        "include_prompt",
    ),
    "another task": ({"sentence_bert_config": {"transformer_task": "text-generation"}}, "transformer_task"),
    "arguments of the model": ({"sentence_bert_config": {"model_args": {"x": 1}}}, "model_args"),
    "a limit that is none": ({"sentence_bert_config": {"max_seq_length": "512"}}, "max_seq_length"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_supported_is_named(folder, name):
    files, named = BAD[name]
    with pytest.raises(CheckpointError, match=named):
        read_embedding(folder(**files))


def test_missing_settings_of_the_pooling_are_named(folder):
    path: Path = folder()
    (path / "1_Pooling" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="1_Pooling"):
        read_embedding(path)


def test_a_download_fetches_what_is_read(folder):
    path = folder(config_sentence_transformers={}, sentence_bert_config={}, **{"2_Normalize/config": {}})
    files = [str(file.relative_to(path)) for file in sorted(path.rglob("*.json"))]
    assert len(files) == 5
    assert [*filter_repo_objects(files, allow_patterns=[*SETTINGS, *WEIGHTS[0]])] == files
