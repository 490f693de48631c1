"""The table of settings beside the sources of the libraries that read them, and what each treatment does."""

import ast
import dataclasses
import inspect
import json
import shutil
import textwrap
from importlib import import_module

import pytest
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto import tokenization_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from plackett import CheckpointError
from plackett.checkpoints.folder import read_checkpoint
from plackett.checkpoints.settings import REFUSED, TREATMENT
from plackett.families import FAMILIES


def keys_read(source, *names):
    """String keys that a class, function or module takes from the mappings of those names."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(source)))):
        match node:
            case ast.Call(
                func=ast.Attribute(ast.Name(name), "get" | "pop" | "setdefault"), args=[ast.Constant(key), *_]
            ):
                found |= {key} if name in names else set()
            case ast.Subscript(ast.Name(name), ast.Constant(key)):
                found |= {key} if name in names else set()
            case ast.Compare(ast.Constant(key), [ast.In() | ast.NotIn()], [ast.Name(name)]):
                found |= {key} if name in names else set()
    return {key for key in found if isinstance(key, str)}


def attributes_read(source, *names):
    """Attributes that a module takes from the objects of those names; methods do not count."""
    tree = ast.parse(inspect.getsource(source))
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and id(node) not in called]
    return {node.attr for node in attributes if ast.unparse(node.value) in names}


def of_tokenizers():
    base, fast = PreTrainedTokenizerBase, PreTrainedTokenizerFast
    return (
        keys_read(base.__init__, "kwargs")
        | keys_read(base._from_pretrained, "init_kwargs")
        | keys_read(base.from_pretrained, "tokenizer_config")
        | keys_read(fast.__init__, "kwargs")
        | keys_read(fast.convert_to_native_format, "local_kwargs")
        | keys_read(fast, "init_kwargs")
        | keys_read(tokenization_auto, "tokenizer_config")
        | set(base.SPECIAL_TOKENS_ATTRIBUTES)
    )


def of_configurations():
    base = PreTrainedConfig
    return (
        keys_read(base, "config_dict")
        | keys_read(base.__post_init__, "kwargs")
        | keys_read(AutoConfig.from_pretrained, "config_dict")
        | {field.name for field in dataclasses.fields(base)}
    )


def test_every_key_that_transformers_reads_is_treated():
    tokenizers, configurations = of_tokenizers(), of_configurations()
    assert {"model_max_length", "added_tokens_decoder", "auto_map", "padding_side"} <= tokenizers
    assert {"model_type", "auto_map", "torch_dtype", "architectures"} <= configurations
    assert not tokenizers - TREATMENT["tokenizer_config.json"].keys()
    assert not configurations - TREATMENT["config.json"].keys()


@pytest.mark.peer
def test_every_key_that_sentence_transformers_reads_is_treated():
    module = import_module("sentence_transformers.base.modules.transformer")
    models = [import_module(f"sentence_transformers.{part}.model") for part in ("base", "cross_encoder")]

    first = set(inspect.signature(module.Transformer.__init__).parameters) - {"self", "model_name_or_path"}
    first |= {*module.Transformer.config_keys, *keys_read(module.Transformer, "config")}
    assert {"max_seq_length", "modality_config", "processing_kwargs"} <= first
    assert not first - TREATMENT["sentence_bert_config.json"].keys()

    own = set().union(*(keys_read(model, "model_config") for model in models))
    assert {"activation_fn", "prompts", "default_prompt_name"} <= own
    assert not own - TREATMENT["config_sentence_transformers.json"].keys()

    listed = keys_read(models[0], "module_config")
    assert {"type", "path"} <= listed
    assert not listed - TREATMENT["modules.json"].keys()

    configuration = set().union(*(attributes_read(source, "config", "text_config") for source in (module, *models)))
    of_adapters_and_other_tasks = {"base_model_name_or_path", "encoder", "hidden_dim", "hidden_size", "projection_dim"}
    assert {"architectures", "sentence_transformers"} <= configuration
    assert not configuration - TREATMENT["config.json"].keys() - of_adapters_and_other_tasks - {"sub_configs", "setter"}


def test_aliases_are_those_of_the_configuration_classes():
    read = {"pad_token_id", "type_vocab_size", "vocab_size", "num_labels"}
    for name, family in FAMILIES.items():
        renamed = CONFIG_MAPPING[name].attribute_map
        assert family.aliases == {alias: usual for alias, usual in renamed.items() if usual in read}, name


REFUSALS = [
    (file, key)
    for file in ("config.json", "tokenizer_config.json", "modules.json")
    for key, treatment in TREATMENT[file].items()
    if treatment == REFUSED
]


@pytest.mark.parametrize(("file", "key"), REFUSALS)
def test_every_key_that_is_refused_stops_the_loading(bert, tmp_path, file, key):
    folder = shutil.copytree(bert, tmp_path / "m")
    value = {"AutoModelForSequenceClassification": "mine.Model"} if key == "auto_map" else ["anything"]
    if file == "modules.json":
        content: object = [{"idx": 0, "name": "0", "type": "sentence_transformers.models.Transformer", key: value}]
    else:
        content = {**json.loads((folder / file).read_text()), key: value}
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="chat template" if key == "chat_template" else key):
        read_checkpoint(folder)
