"""Intermediate checkpoints of a training run: making them usable, and resuming from complete ones."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from plackett._compat.trainer import callback_state
from plackett._files import follow_umask, is_full
from plackett.checkpoints.folder import Checkpoint, copy_tokenizer, write_metadata
from plackett.checkpoints.own_files import CONFIG, RECIPE, WEIGHTS
from plackett.errors import CheckpointError, SettingError
from plackett.training.recipe import ON_THE_CARD, Recipe

# Prefixes of the files that the Trainer saves in a checkpoint; it writes `trainer_state.json` last.
_SAVED = (
    *("trainer_state", "config.json", "model", "adapter", "optimizer", "scheduler", "training_args", "rng_state"),
    *("pytorch_model", "global_step", "latest", "zero_to_fp32"),  # for sharded weights
)


class RecipeRecord(TrainerCallback, ExportableState):
    """Keeps the recipe in `trainer_state.json`, which is the last file written in a checkpoint."""

    def __init__(self, recipe: Mapping[str, Any]) -> None:
        self._recipe = recipe

    def state(self) -> dict[str, Any]:
        """Return the state that the Trainer saves."""
        return {"args": {"recipe": dict(self._recipe)}, "attributes": {}}

    @staticmethod
    def read(checkpoint: Path) -> Mapping[str, Any]:
        """Return the recipe of a checkpoint; OSError, ValueError or LookupError if it is incomplete."""
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        recipe: Mapping[str, Any] = callback_state(state, RecipeRecord.__name__)["recipe"]
        return recipe


class UsableCheckpoints(TrainerCallback):
    """Makes every intermediate checkpoint usable for ranking, except adapters and shards, which can only resume."""

    def __init__(self, base: Checkpoint, recipe: Recipe) -> None:
        self._base = base
        self._recipe = recipe

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Add the files that the Trainer does not write."""
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and (folder / CONFIG).is_file():
            make_usable(folder, self._base, self._recipe)


def make_usable(folder: Path, base: Checkpoint, recipe: Recipe) -> None:
    """Add the tokenizer, the activation, the token limit and the recipe to saved weights."""
    copy_tokenizer(base.folder, folder)
    write_metadata(folder, activation="sigmoid", inputs=base.inputs, template=base.template)
    (folder / RECIPE).write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    follow_umask(folder)


def as_json(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as JSON represents it."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return values


def last_checkpoint(folder: Path, recipe: Recipe, model: nn.Module | None) -> Path | None:
    """Return the newest complete checkpoint of the same recipe, if any.

    `model` is None for weights in shards, whose own loader checks them. SettingError for another recipe's checkpoint,
    CheckpointError for weights that do not fit the model.
    """
    whole = next(((path, before) for path, before in checkpoints(folder) if before is not None), None)
    if whole is None:
        return None

    checkpoint, before = whole
    free = {"output", "test", *ON_THE_CARD}
    changed = sorted(key for key, value in as_json(recipe).items() if key not in free and value != before.get(key))
    if changed:
        raise SettingError(
            f"{checkpoint} was saved with other settings ({', '.join(changed)}); train without --resume, or delete "
            f"{folder}"
        )
    if model is not None:
        _check_fits(checkpoint, model)
    return checkpoint


def _check_fits(checkpoint: Path, model: nn.Module) -> None:
    """Raise CheckpointError for weights of another architecture, which would be partly loaded without an error."""
    path = checkpoint / WEIGHTS
    if not path.is_file():
        return  # adapters are checked by their loader
    try:
        with safe_open(path, framework="numpy") as weights:
            saved = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); delete {checkpoint} to resume from an earlier one"
        ) from error
    own = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    wrong = sorted(name for name, shape in own.items() if saved.get(name) != shape) or sorted(
        saved.keys() - model.state_dict().keys()
    )
    if wrong:
        raise CheckpointError(
            f"{checkpoint} contains weights of another architecture ({wrong[0]} does not fit): "
            "train without --resume, or restore the base that it was started with"
        )


def check_own(folder: Path) -> None:
    """Raise SettingError for a folder with checkpoints of another program, which a training might remove.

    transformers removes the oldest of all folders called `checkpoint-...`, numbered or not.
    """
    for path in sorted(folder.glob("checkpoint-*")):
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
        if names and (not any(name.startswith(_SAVED) for name in names) or _is_of_another(path)):
            raise SettingError(
                f"{path} was not saved by plackett train, which removes checkpoints from {folder}; choose another "
                "training.output_dir, or move it away"
            )


def _is_of_another(checkpoint: Path) -> bool:
    """Whether a checkpoint is complete, but has no recipe."""
    try:
        RecipeRecord.read(checkpoint)
    except (LookupError, TypeError):
        return True
    except (OSError, ValueError):  # incomplete
        return False
    return False


def _numbered(folder: Path) -> list[Path]:
    """Return the folders of checkpoints, newest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]
    return sorted(found, key=lambda path: -int(path.name.removeprefix("checkpoint-")))


def checkpoints(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any] | None]]:
    """Yield checkpoints, newest first, each with its recipe, or None if it is incomplete."""
    for checkpoint in _numbered(folder):
        try:
            recipe = RecipeRecord.read(checkpoint)
        except (OSError, ValueError, LookupError, TypeError):
            yield checkpoint, None
        else:
            yield checkpoint, recipe


@contextmanager
def disk_is_not_full(folder: Path) -> Iterator[None]:
    """Raise one clear error if a checkpoint or the output does not fit on the disk, and remove incomplete ones."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not is_full(error):
            raise
        whole = []
        for checkpoint, recipe in list(checkpoints(folder)):
            if recipe is not None:
                whole.append(checkpoint)
            else:
                shutil.rmtree(checkpoint, ignore_errors=True)
        what_next = f"{whole[0]} is complete: train again with --resume" if whole else "train again"
        raise CheckpointError(
            f"the disk is full: {folder} or the output could not be written. Free some space; {what_next}"
        ) from error


@contextmanager
def interrupted(folder: Path) -> Iterator[None]:
    """Add a note to a KeyboardInterrupt on what is kept and how to continue."""
    try:
        yield
    except KeyboardInterrupt as error:
        whole = [checkpoint for checkpoint, recipe in checkpoints(folder) if recipe is not None]
        error.add_note(
            f"{whole[0]} is complete: run the same command with --resume to continue"
            if whole
            else "no checkpoint was saved, so a new run starts from the beginning; training.save_strategy saves "
            "checkpoints during a training"
        )
        raise


@contextmanager
def no_empty_folder(folder: Path) -> Iterator[None]:
    """Remove the folder of checkpoints if none was saved."""
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
