"""Training: a recipe and labelled lists in, a checkpoint and its training facts out."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerState, TrainingArguments

from plackett._compat.trainer import load_weights
from plackett._compat.transformers import quiet
from plackett._files import OutputFolder
from plackett.checkpoints.folder import Checkpoint, find_folder, read_base
from plackett.checkpoints.foreign import own_errors
from plackett.checkpoints.hub import torch_files
from plackett.checkpoints.own_files import TRAINING_PLOT
from plackett.engines.memory import check_training_memory
from plackett.engines.trainable import trainable
from plackett.errors import PlackettError, ScoreError, TrainingError
from plackett.families import family_of
from plackett.models import cpu_attention
from plackett.models.classifier import new_model
from plackett.models.first_token import first_token_only
from plackett.models.lora import with_lora, without_lora
from plackett.records import Collection
from plackett.training import sharding
from plackett.training.arguments import output_of, training_arguments
from plackett.training.plot import plot_training
from plackett.training.recipe import Recipe, loss_function
from plackett.training.resuming import (
    check_own,
    disk_is_not_full,
    interrupted,
    last_checkpoint,
    make_usable,
    no_empty_folder,
)
from plackett.training.sampling import Part, check_labels
from plackett.training.trainer import ListTrainer, collapsed


@dataclass(frozen=True)
class TrainingFacts:
    """The outcome of a run: resolved settings, `lists` seen by each process, `best_step` whose weights were kept."""

    recipe: Recipe
    arguments: Mapping[str, Any]
    lists: int
    seconds: float
    log: tuple[Mapping[str, float], ...]
    best_step: int
    max_length: int


def train(
    recipe: Recipe,
    parts: Sequence[Part],
    *,
    dev: Sequence[Collection] = (),
    resume: bool = False,
    publish: Callable[[Path, TrainingFacts], None],
) -> TrainingFacts:
    """Train on `parts` and write the checkpoint to `recipe.output` atomically.

    The collections in `dev` are measured before the first step, at the evaluation steps of the training arguments, and
    after the last step. `resume` continues from the last complete checkpoint of an earlier run of the same recipe.
    `publish(folder, facts)` adds files such as the card before the folder is moved into place.

    Raises SettingError for an invalid recipe, DataError for unsuitable lists, and TrainingError if the training
    collapses, or if `publish` fails; in that case the folder exists, without the files of `publish`.
    """
    check_labels(parts, loss_function(recipe.loss), recipe.loss["name"])
    output = output_of(recipe)
    files = torch_files(allow_pickle=recipe.allow_pickle)
    with trainable(find_folder(recipe.base, revision=None, local_files_only=False, files=files)) as folder:
        facts, failure = _train(recipe, parts, dev, folder, output, resume=resume, publish=publish)

    if failure:
        raise TrainingError(
            f"{recipe.output} is trained and complete, but has no card and may lack measurements ({failure}); "
            f"for the card: plackett card {recipe.output}"
        ) from failure
    return facts


def _train(
    recipe: Recipe,
    parts: Sequence[Part],
    dev: Sequence[Collection],
    folder: Path,
    output: OutputFolder,
    *,
    resume: bool,
    publish: Callable[[Path, TrainingFacts], None],
) -> tuple[TrainingFacts, Exception | None]:
    """Train the weights in `folder`; return the facts and any error of `publish`."""
    with own_errors(recipe.base):
        base = read_base(
            folder, max_length=recipe.max_length, allow_pickle=recipe.allow_pickle, instruction=recipe.instruction
        )
    arguments = training_arguments(recipe, dev)
    sharding.check_sharding(recipe, arguments)
    on_the_way = Path(str(arguments.output_dir))
    check_own(on_the_way)
    check_training_memory(folder)
    model = model_to_train(recipe, base, arguments)
    work = output.work() if arguments.process_index == 0 else contextlib.nullcontext(output.path)
    with quiet(), no_empty_folder(on_the_way), work as place:
        with _in_own_words():
            trainer = ListTrainer(recipe, base, model, arguments, parts, dev)
        with _in_own_words(trainer), disk_is_not_full(on_the_way), interrupted(on_the_way):
            last = last_checkpoint(on_the_way, recipe, None if trainer.is_sharded else model) if resume else None
            facts = _facts(trainer, recipe, base, seconds=_run(trainer, last))
            failure = _write(place, trainer, facts, base, publish)
    return facts, failure


def model_to_train(recipe: Recipe, base: Checkpoint, arguments: TrainingArguments) -> PreTrainedModel:
    """Return the base with a new head, as the recipe and the device require."""
    with own_errors(recipe.base):
        model = new_model(base, layers=recipe.layers, dropout=recipe.dropout, seed=arguments.seed)
    if recipe.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if arguments.device.type == "cpu":
        model.set_attn_implementation(
            cpu_attention.NAME if family_of(model.config.model_type).first_token_head else "eager"
        )
    first_token_only(model)
    return model if recipe.lora is None else with_lora(model, recipe.lora)


def _facts(trainer: ListTrainer, recipe: Recipe, base: Checkpoint, *, seconds: float) -> TrainingFacts:
    arguments = trainer.args
    return TrainingFacts(
        recipe=recipe,
        arguments=arguments.to_dict(),  # type: ignore[no-untyped-call]
        lists=trainer.state.global_step * arguments.train_batch_size * arguments.gradient_accumulation_steps,
        seconds=seconds,
        log=tuple(entry for entry in trainer.state.log_history if "train_runtime" not in entry),
        best_step=_best_step(trainer),
        max_length=base.max_length,
    )


@contextlib.contextmanager
def _in_own_words(trainer: ListTrainer | None = None) -> Iterator[None]:
    """Turn errors of torch and transformers into a TrainingError with the step and advice."""
    try:
        yield
    except PlackettError:
        raise
    except Exception as error:
        where = f"stopped at step {trainer.state.global_step}" if trainer else "cannot start"
        message = str(error).strip().splitlines()
        raise TrainingError(
            f"the training {where}: {type(error).__name__}{': ' if message else ''}{message[0] if message else ''}"
            f"{_advice(error)}"
        ) from error


def _advice(error: Exception) -> str:
    full = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
    return "; lower token_budget, or set cached_gradients: true, to use less memory" if full else ""


def _run(trainer: ListTrainer, last: Path | None) -> float:
    """Train, from the checkpoint `last` if any, and return the duration in seconds."""
    if last is not None:
        trainer.args.eval_on_start = False
        state = TrainerState.load_from_json(str(last / "trainer_state.json"))
        if trainer.is_over(state):  # killed after the last step: the Trainer would run one more
            sharding.check_not_over(trainer.accelerator, last)
            trainer.state = state
            best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
            load_weights(trainer, best or str(last))
            return 0.0
    if trainer.args.dataloader_num_workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # otherwise each worker warns about forking
    try:
        output = trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        trainer.progress.close()
    return float(output.metrics["train_runtime"])


def _best_step(trainer: ListTrainer) -> int:
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    return int(best.rpartition("-")[2]) if best else trainer.state.global_step


def _write(
    folder: Path,
    trainer: ListTrainer,
    facts: TrainingFacts,
    base: Checkpoint,
    publish: Callable[[Path, TrainingFacts], None],
) -> Exception | None:
    """Write the checkpoint and publish it; return an error of publishing, which must not lose hours of training.

    TrainingError if the weights are worthless.
    """
    weights = sharding.whole_weights(trainer.accelerator, trainer.model_wrapped) if trainer.is_sharded else None
    if not trainer.is_world_process_zero():
        return None
    model = without_lora(trainer.accelerator.unwrap_model(trainer.model))
    _check_finite(trainer.state, model.state_dict() if weights is None else weights)
    # Under ZeRO-3, the "original" names would be those of 2018's BERT, because transformers assumes shards came from
    # them.
    model.save_pretrained(folder, state_dict=weights, save_original_format=not trainer.is_sharded)
    make_usable(folder, base, facts.recipe)
    plot_training(facts.log, folder / TRAINING_PLOT)
    try:
        publish(folder, facts)
    except ScoreError as error:
        raise collapsed(trainer.state, str(error)) from error
    except Exception as error:
        return error
    return None


def _check_finite(state: TrainerState, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise TrainingError for weights that are NaN or infinite, before they replace another model."""
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    if losses and not math.isfinite(losses[-1]):
        raise collapsed(state, f"the loss is {losses[-1]}")
    for name, weight in weights.items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise collapsed(state, f"some weights are not finite, such as {name}")
