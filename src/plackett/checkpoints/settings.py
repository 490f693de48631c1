"""Settings of a folder: those that Plackett follows, those that change no score, and those that it refuses.

The table lists every key that sentence-transformers 6.2 and transformers 5 read for a text classifier, except those of
each family's configuration class, which transformers applies when it builds the model. A test derives the list from
their sources.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from plackett.checkpoints.code import CodeFile, is_native, refused_code, trusted_code
from plackett.checkpoints.jsons import read_optional
from plackett.checkpoints.lists import is_listwise
from plackett.checkpoints.modules import class_of, read_modules
from plackett.checkpoints.own_files import CONFIG, MODULES
from plackett.errors import CheckpointError

FOLLOWED, HARMLESS, REFUSED = "followed", "harmless", "refused"

FIRST_MODULE = (
    *("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json"),
    *("sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json"),
    "sentence_xlnet_config.json",
)
"""Names of the first module's settings; the first file that is not empty counts."""

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

TREATMENT: Mapping[str, Mapping[str, str]] = {
    MODULES: {"idx": HARMLESS, "name": HARMLESS, "path": REFUSED, "type": FOLLOWED, "kwargs": REFUSED},
    "config_sentence_transformers.json": {
        "activation_fn": FOLLOWED,
        "prompts": FOLLOWED,
        "default_prompt_name": FOLLOWED,
        "model_type": FOLLOWED,
        "requirements": HARMLESS,  # library versions that the author recommends
        "keep_in_fp32_modules": HARMLESS,  # all modules are fp32
        "__version__": HARMLESS,
    },
    FIRST_MODULE[0]: {
        "max_seq_length": FOLLOWED,
        "transformer_task": FOLLOWED,
        "modality_config": FOLLOWED,
        "module_output_name": FOLLOWED,
        "unpad_inputs": HARMLESS,  # not applied to classifiers
        "query_length": HARMLESS,  # for inputs that are marked as queries or documents, which pairs are not
        "document_length": HARMLESS,
        "do_lower_case": REFUSED,
        "processing_kwargs": FOLLOWED,  # those of a chat template; others are refused
        "query_expansion": REFUSED,
        "tokenizer_name_or_path": REFUSED,
        "backend": REFUSED,
        **dict.fromkeys(("model_args", "tokenizer_args", "config_args"), REFUSED),
        **dict.fromkeys(("model_kwargs", "processor_kwargs", "config_kwargs"), REFUSED),
    },
    "tokenizer_config.json": {
        "model_max_length": FOLLOWED,
        "max_len": FOLLOWED,
        "truncation_side": FOLLOWED,
        "padding_side": FOLLOWED,  # if scores depend on it; see `families`
        "model_input_names": FOLLOWED,
        "tokenizer_class": FOLLOWED,
        **dict.fromkeys(_NAMED_TOKENS, FOLLOWED),
        "added_tokens_decoder": FOLLOWED,  # compared with tokenizer.json
        "extra_special_tokens": FOLLOWED,
        "additional_special_tokens": FOLLOWED,
        "model_specific_special_tokens": FOLLOWED,
        "do_lower_case": FOLLOWED,  # these four are compared with tokenizer.json
        "strip_accents": FOLLOWED,
        "tokenize_chinese_chars": FOLLOWED,
        "add_prefix_space": FOLLOWED,
        "chat_template": FOLLOWED,
        "auto_map": REFUSED,
        "split_special_tokens": REFUSED,
        "tokenizer_truncation": REFUSED,
        "tokenizer_padding": REFUSED,
        "post_processor": REFUSED,
        "_json_truncation": REFUSED,
        "_json_padding": REFUSED,
        "gguf_file": REFUSED,
        "tokenizer_object": REFUSED,
        "fast_tokenizer_files": REFUSED,  # another file for each release of transformers
        "fix_mistral_regex": REFUSED,
        "keep_accents": FOLLOWED,  # this and the next too, in classes that read them
        "split_by_punct": FOLLOWED,
        "add_bos_token": HARMLESS,  # ignored if there is a tokenizer.json
        "add_eos_token": HARMLESS,
        "vocab": HARMLESS,  # ignored too, as are the next
        "merges": HARMLESS,
        "merges_file": HARMLESS,
        "unk_id": HARMLESS,
        "vocab_file": HARMLESS,
        "tokenizer_file": HARMLESS,
        "_spm_precompiled_charsmap": HARMLESS,
        "pad_token_type_id": HARMLESS,  # padding is masked
        "pad_to_multiple_of": HARMLESS,
        "max_length": HARMLESS,  # this and the next are arguments of each call
        "stride": HARMLESS,
        "truncation_strategy": HARMLESS,
        "clean_up_tokenization_spaces": HARMLESS,  # this and the next concern decoding, chats and files
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": HARMLESS,
        "response_template": HARMLESS,
        "response_schema": HARMLESS,
        "chat_control_tokens": HARMLESS,
        "processor_class": HARMLESS,
        "name_or_path": HARMLESS,
        "tokenizer": HARMLESS,
        "verbose": HARMLESS,
        "backend": HARMLESS,
        "files_loaded": HARMLESS,
        "init_inputs": HARMLESS,
        "is_local": HARMLESS,
        "local_files_only": HARMLESS,
        "_commit_hash": HARMLESS,
    },
    "config.json": {
        "architectures": FOLLOWED,
        "model_type": FOLLOWED,
        "num_labels": FOLLOWED,
        "id2label": FOLLOWED,
        "tokenizer_class": FOLLOWED,
        "transformers_version": FOLLOWED,  # decides on token types if nothing else does
        "sentence_transformers": FOLLOWED,
        "sbert_ce_default_activation_function": FOLLOWED,
        "pad_token_id": FOLLOWED,
        "type_vocab_size": FOLLOWED,
        "vocab_size": FOLLOWED,
        "text_config": FOLLOWED,
        "auto_map": REFUSED,
        "configuration_files": REFUSED,  # another file for each release of transformers
        "quantization_config": REFUSED,
        "use_cache": HARMLESS,  # turned off
        "dtype": HARMLESS,  # this and the next choose how to compute, which is up to Plackett
        "torch_dtype": HARMLESS,
        "_attn_implementation": HARMLESS,
        "attn_implementation": HARMLESS,
        "experts_implementation": HARMLESS,
        "chunk_size_feed_forward": HARMLESS,
        "output_hidden_states": HARMLESS,  # this and the next add outputs beside the logits
        "output_attentions": HARMLESS,
        "return_dict": HARMLESS,
        "label2id": HARMLESS,
        "problem_type": HARMLESS,  # for the loss
        "is_encoder_decoder": FOLLOWED,  # this and the next by transformers, like all keys of a family
        "layer_types": FOLLOWED,
        "per_layer_config": FOLLOWED,
        "rope_scaling": FOLLOWED,
        "rope_theta": FOLLOWED,
        "max_position_embeddings": FOLLOWED,
        "_commit_hash": HARMLESS,
        "name_or_path": HARMLESS,
        "_name_or_path": HARMLESS,
    },
}

_NEUTRAL: tuple[object, ...] = (None, False, "", [], {}, 0)

_PLAIN_MODALITY = {"text": {"method": "forward", "method_output_name": "logits"}}

_CODE_OF = ("AutoModelForSequenceClassification", "AutoModel", "AutoConfig", "AutoTokenizer")


def check_settings(folder: Path, config: Mapping[str, Any], *, trust_code: bool = False) -> tuple[CodeFile, ...]:
    """Raise CheckpointError for a setting or file that others follow and Plackett does not.

    Returns the code that transformers needs for the model, which is none unless trusted.
    """
    check_whole(folder)
    chain = _chain(folder)
    code: tuple[CodeFile, ...] = ()
    for name, key in _refused(folder, config, chain):
        if key == "auto_map" and name == CONFIG and (is_native(config) or is_listwise(config)):
            continue
        if key == "auto_map" and name == CONFIG and trust_code:
            code = trusted_code(folder, config[key])
            continue
        if key == "auto_map":
            raise refused_code(folder, name, config.get(key))
        raise CheckpointError(
            f"{folder / name} sets {key}, which changes scores in other libraries and which Plackett does not support; "
            f"remove {key} if the model was trained without it"
        )
    _check_module(folder)
    _check_processors(folder)
    return code


def check_whole(folder: Path) -> None:
    """Raise CheckpointError for an adapter, which is only part of a model."""
    if not (folder / "adapter_config.json").is_file():
        return
    base = str(read_optional(folder / "adapter_config.json").get("base_model_name_or_path") or "its base model")
    raise CheckpointError(
        f"{folder} holds a LoRA adapter of {base}, not a whole model; merge the two with peft "
        "(AutoPeftModelForSequenceClassification.from_pretrained(FOLDER).merge_and_unload()) and save the merged model "
        "with its tokenizer in a new folder"
    )


def is_chain(folder: Path) -> bool:
    """Whether sentence-transformers loads the modules of a folder; it ignores those of other kinds of models."""
    kind = read_optional(folder / "config_sentence_transformers.json").get("model_type")
    return (folder / MODULES).is_file() and kind == "CrossEncoder"


def first_module(folder: Path) -> dict[str, Any]:
    """Return the settings of the first module of a chain; empty without one."""
    if not is_chain(folder):
        return {}
    return next((found for name in FIRST_MODULE if (found := read_optional(folder / name))), {})


def prompt_of(settings: Mapping[str, Any]) -> str:
    """Return the default prompt of `config_sentence_transformers.json`; empty without one."""
    name, prompts = settings.get("default_prompt_name"), settings.get("prompts")
    return str(prompts.get(name) or "") if name is not None and isinstance(prompts, dict) else ""


def _refused(folder: Path, config: Mapping[str, Any], chain: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the file and key of each refused setting that has an effect."""
    contents: list[tuple[str, Mapping[str, Any], Callable[[str], bool]]] = [
        ("config.json", config, _is_refused("config.json")),
        (
            "tokenizer_config.json",
            read_optional(folder / "tokenizer_config.json"),
            _is_refused("tokenizer_config.json"),
        ),
        (FIRST_MODULE[0], first_module(folder), lambda key: TREATMENT[FIRST_MODULE[0]].get(key, REFUSED) == REFUSED),
        *((MODULES, item, _is_refused(MODULES)) for item in chain),
    ]
    for name, content, is_refused in contents:
        for key, value in content.items():
            if is_refused(key) and value not in _NEUTRAL and not _is_other_code(key, value):
                yield name, key


def _is_refused(file: str) -> Callable[[str], bool]:
    return lambda key: TREATMENT[file].get(key) == REFUSED


def _is_other_code(key: str, value: object) -> bool:
    """Whether an `auto_map` names code for other tasks only."""
    return key == "auto_map" and isinstance(value, dict) and not any(value.get(name) for name in _CODE_OF)


def _chain(folder: Path) -> list[dict[str, Any]]:
    """Return the modules of a folder; CheckpointError unless they are one plain classifier."""
    modules = read_modules(folder)
    names = list(map(class_of, modules))
    if names not in ([], ["Transformer"]):
        raise CheckpointError(
            f"{folder / MODULES} lists the modules {', '.join(names)}. Plackett reads Transformer alone, Transformer "
            "with LogitScore, and the chain of the ettin rerankers, with the classes of sentence_transformers"
        )
    return modules


def _check_module(folder: Path) -> None:
    """Refuse a first module that is not a plain classifier."""
    module = first_module(folder)
    plain: dict[str, tuple[object, ...]] = {
        "transformer_task": ("sequence-classification",),
        "modality_config": (None, _PLAIN_MODALITY),
        "processing_kwargs": (None, {}),
        "module_output_name": (None, "scores"),
    }
    for key, values in plain.items():
        if key in module and module[key] not in values and not _is_template(key, module[key]):
            raise CheckpointError(
                f"{folder / FIRST_MODULE[0]} sets {key} to {str(module[key])[:60]!r}; Plackett reads plain sequence "
                f"classifiers of texts, where it is {values[-1]!r}"
            )


def _is_template(key: str, value: object) -> bool:
    """Whether a setting concerns a chat template: its messages, or its rendering."""
    if not isinstance(value, dict):
        return False
    if key == "processing_kwargs":
        return value.keys() <= {"chat_template"}
    message = value.get("message")
    return key == "modality_config" and isinstance(message, dict) and message.get("method") == "forward"


def _check_processors(folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
        settings = read_optional(folder / name)
        for key in ("processor_class", "image_processor_type", "feature_extractor_type", "auto_map"):
            if settings.get(key):
                raise CheckpointError(
                    f"{folder / name} sets {key}: the model reads more than text, which Plackett does not support"
                )
