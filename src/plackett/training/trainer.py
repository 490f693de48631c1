"""Training: a recipe and labelled lists in, a checkpoint and the facts of its training out.

A step tokenises its lists in the data loader, cuts the pairs into micro-batches of similar length, and puts the scores
back into (lists, depth) once, where the loss sees them.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerState, TrainingArguments

from plackett._compat.torch import has_fast_bf16
from plackett._compat.transformers import load_weights, quiet
from plackett._extras import require
from plackett._files import OutputFolder
from plackett.checkpoints.folder import Checkpoint, find_folder, read_base
from plackett.checkpoints.hub import torch_files
from plackett.checkpoints.output import checkpoint_folder
from plackett.cross_encoder import ALONE, CrossEncoder, Share
from plackett.engines.base import Parts
from plackett.engines.torch.engine import TorchEngine
from plackett.errors import CheckpointError, ScoreError, SettingError, TrainingError
from plackett.evaluation.comparison import Evaluator, measured_names
from plackett.families import family_of
from plackett.losses.matrices import to_matrix
from plackett.models import cpu_attention
from plackett.models.classifier import new_model
from plackett.models.first_token import first_token_only
from plackett.models.lora import with_lora, without_lora
from plackett.records import Collection
from plackett.tokenization.tokenizer import PairTokenizer
from plackett.training import sharding
from plackett.training.callbacks import (
    EarlyStop,
    MeasureAtEnd,
    ProgressBar,
    RecipeRecord,
    Reproducible,
    UsableCheckpoints,
    make_usable,
    plot_training,
)
from plackett.training.collator import ListCollator
from plackett.training.gradient_cache import cached_scores
from plackett.training.recipe import ON_THE_CARD, Recipe, loss_function
from plackett.training.resuming import checkpoints, disk_is_not_full, interrupted, no_empty_folder
from plackett.training.sampling import Part, SampledLists, StreamedLists, check_labels

LOGGERS = ("tensorboard", "trackio")  # each the name of its extra too

# Training arguments that no recipe changes. Batches of lists differ in shape and in micro-batches: each process reads
# its own part of a stream instead of being sent it, and no two wait for each other before every micro-batch.
FIXED = {
    "ddp_broadcast_buffers": False,
    "ddp_find_unused_parameters": False,
    "remove_unused_columns": False,
    "disable_tqdm": True,
    "accelerator_config": {"dispatch_batches": False},
}


@dataclass(frozen=True)
class TrainingFacts:
    """What happened: settings as resolved, `lists` seen by each process, `best_step` whose weights were kept."""

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
    """Train on `parts` and write the checkpoint to `recipe.output`, whole or not at all.

    The collections in `dev` are measured before the first step, whenever the training arguments say to evaluate, and
    after the last step. `resume` goes on from the last whole checkpoint of an earlier run of the same recipe.
    `publish(folder, facts)` adds to the folder before it takes its place: the card, usually.

    Raises SettingError for a recipe that does not fit, DataError for lists that do not, and TrainingError for a
    training that collapsed, and where `publish` failed: the folder is there then, without what that would have added.
    """
    check_labels(parts, loss_function(recipe.loss), recipe.loss["name"])
    output = output_of(recipe)
    pickle = recipe.allow_pickle
    folder = find_folder(recipe.base, revision=None, local_files_only=False, files=torch_files(allow_pickle=pickle))
    base = read_base(folder, max_length=recipe.max_length, allow_pickle=pickle)
    arguments = training_arguments(recipe, dev)
    sharding.check_sharding(recipe, arguments)
    trainer = ListTrainer(recipe, base, model_to_train(recipe, base, arguments), arguments, parts, dev)
    on_the_way = Path(str(arguments.output_dir))
    work = output.work() if arguments.process_index == 0 else contextlib.nullcontext(output.path)
    with quiet(), no_empty_folder(on_the_way), work as place, disk_is_not_full(on_the_way), interrupted(on_the_way):
        seconds = _run(trainer, _last_checkpoint(trainer, recipe) if resume else None)
        facts = TrainingFacts(
            recipe=recipe,
            arguments=arguments.to_dict(),  # type: ignore[no-untyped-call]
            lists=trainer.state.global_step * arguments.train_batch_size * arguments.gradient_accumulation_steps,
            seconds=seconds,
            log=tuple(entry for entry in trainer.state.log_history if "train_runtime" not in entry),
            best_step=_best_step(trainer),
            max_length=base.max_length,
        )
        failure = _write(place, trainer, facts, base, publish)
    if failure:
        raise TrainingError(
            f"{recipe.output} is trained and whole, but has no card and may not be measured ({failure}); for the "
            f"card: plackett card {recipe.output}"
        ) from failure
    return facts


def output_of(recipe: Recipe) -> OutputFolder:
    """Check where the checkpoint goes: CheckpointError for a place that may not be written, or that is an input."""
    return checkpoint_folder(recipe.output, inputs=[recipe.base, *recipe.train, *recipe.dev, *recipe.test])


def model_to_train(recipe: Recipe, base: Checkpoint, arguments: TrainingArguments) -> PreTrainedModel:
    """The base under a new head, as the recipe and the device want it."""
    model = new_model(base, layers=recipe.layers, dropout=recipe.dropout, seed=arguments.seed)
    if recipe.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if arguments.device.type == "cpu":
        model.set_attn_implementation(
            cpu_attention.NAME if family_of(model.config.model_type).first_token_head else "eager"
        )
    first_token_only(model)
    return model if recipe.lora is None else with_lora(model, recipe.lora)


def training_arguments(recipe: Recipe, dev: Sequence[Collection] = ()) -> TrainingArguments:
    """The recipe's TrainingArguments over Plackett's defaults: bf16 where the processor has it, nothing reported."""
    defaults = {
        "output_dir": f"{output_of(recipe).path}-training",
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": torch.cuda.is_available() or has_fast_bf16(),
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "none",
        "eval_on_start": bool(dev),
    }
    _check_extras(recipe.training)
    try:
        arguments = TrainingArguments(**{**defaults, **recipe.training, **FIXED})
    except (TypeError, ValueError) as error:
        raise SettingError(f"the training arguments do not fit: {error}") from error
    if recipe.streaming and arguments.max_steps <= 0:
        raise SettingError("a stream has no end that could be known: set training.max_steps")
    best = arguments.metric_for_best_model
    names = measured_names([collection.name for collection in dev], recipe.measures)
    if best is not None and best.removeprefix("eval_") not in names:
        raise SettingError.unknown("metric_for_best_model", best, names or ["(name collections in dev)"])
    if recipe.early_stopping and arguments.eval_strategy == "no":
        raise SettingError("early_stopping needs evaluations: set training.eval_strategy to steps or epoch")
    return arguments


def _check_extras(settings: Mapping[str, Any]) -> None:
    """Name the extra of a logger or of DeepSpeed where it is not installed."""
    report_to = settings.get("report_to") or ()
    for name in [report_to] if isinstance(report_to, str) else report_to:
        if name in LOGGERS:
            require(name, extra=name)
    if settings.get("deepspeed"):
        require("deepspeed", extra="deepspeed")


class ListTrainer(Trainer):
    """The Hugging Face Trainer with two overrides: the loss of a batch of lists, and what evaluation means."""

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        recipe: Recipe,
        base: Checkpoint,
        model: PreTrainedModel,
        arguments: TrainingArguments,
        parts: Sequence[Part],
        dev: Sequence[Collection] = (),
    ) -> None:
        source = StreamedLists if recipe.streaming else SampledLists
        dataset = source(parts, recipe.list_size, arguments.seed, draw=recipe.negatives)
        tokenizer = PairTokenizer.from_checkpoint(base)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=dataset,
            eval_dataset=dev or None,
            data_collator=ListCollator(tokenizer, base, recipe.token_budget, recipe.mini_batch_size),
        )
        self._recipe = recipe
        self._base = base
        self._evaluator = Evaluator(dev, depth=recipe.depth, measures=recipe.measures)
        self._loss = loss_function(recipe.loss)
        self.is_sharded = sharding.is_sharded(self.accelerator)
        self._early_stop = EarlyStop(recipe.early_stopping) if recipe.early_stopping else None
        self.remove_callback(PrinterCallback)
        self.progress = ProgressBar()
        self.add_callback(self.progress)
        self.add_callback(UsableCheckpoints(base, recipe))
        self.add_callback(RecipeRecord(_as_json(recipe)))
        self.add_callback(Reproducible(dataset))
        if dev:
            self.add_callback(MeasureAtEnd())
        if self._early_stop:
            self.add_callback(self._early_stop)

    def is_over(self, state: TrainerState) -> bool:
        """Whether a training in this state has come to its end."""
        stopped = self._early_stop is not None and self._early_stop.is_over(self.args, state)
        return stopped or state.global_step >= state.max_steps

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The recipe's loss on the scores of one batch of lists."""

        def score(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            logits: torch.Tensor = model(**batch).logits
            return logits[:, 0].float()

        batches = sharding.in_step(inputs["micro_batches"]) if self.is_sharded else inputs["micro_batches"]
        cached = self._recipe.cached_gradients and torch.is_grad_enabled()
        in_batches = cached_scores(score, batches, model) if cached else torch.cat([score(batch) for batch in batches])
        if self.is_sharded:
            in_batches = sharding.own_scores(in_batches, len(inputs["order"]))
        scores = torch.empty_like(in_batches).index_copy(0, inputs["order"], in_batches)
        matrix, mask = to_matrix(scores, inputs["lengths"])
        labels, _ = to_matrix(inputs["list_labels"], inputs["lengths"])
        loss = self._loss(matrix, labels, mask)
        return (loss, {"scores": scores}) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Rerank the development collections with the model as it stands: `eval_COLLECTION_MEASURE`.

        They are tokenised once; several processes share the work, in the batches of one. With weights in shards each
        does all of it, in step with the others.
        """
        try:
            found = self._evaluator(*self._encoder_and_share())
        except ScoreError as error:
            raise _collapsed(self.state, str(error)) from error
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _encoder_and_share(self) -> tuple[CrossEncoder, Share]:
        if self.is_sharded:
            sharded = sharding.ShardedEngine(self.model_wrapped, self._base)
            return CrossEncoder.from_parts(Parts.of(self._base, sharded)), ALONE
        model = without_lora(self.accelerator.unwrap_model(self.model))
        share = Share(self.args.process_index, self.args.world_size, self._total)
        return CrossEncoder.from_parts(Parts.of(self._base, TorchEngine(model, self._base))), share

    def _total(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        tensor = torch.from_numpy(array).to(self.args.device)
        total: NDArray[np.float32] = self.accelerator.reduce(tensor, reduction="sum").cpu().numpy()
        return total


def _run(trainer: ListTrainer, last: Path | None) -> float:
    """Train, from the checkpoint `last` on if there is one; seconds that it took."""
    if last is not None:
        trainer.args.eval_on_start = False
        state = TrainerState.load_from_json(str(last / "trainer_state.json"))
        if trainer.is_over(state):  # killed between the last step and the end: the Trainer would add one more
            sharding.check_not_over(trainer.accelerator, last)
            trainer.state = state
            best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
            load_weights(trainer, best or str(last))
            return 0.0
    if trainer.args.dataloader_num_workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # else each worker warns that it forked
    try:
        output = trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        trainer.progress.close()
    return float(output.metrics["train_runtime"])


def _best_step(trainer: ListTrainer) -> int:
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    return int(best.rpartition("-")[2]) if best else trainer.state.global_step


def _last_checkpoint(trainer: ListTrainer, recipe: Recipe) -> Path | None:
    """The newest whole checkpoint of the same recipe, if there is one."""
    folder = Path(str(trainer.args.output_dir))
    for checkpoint, before in checkpoints(folder):
        if before is None:
            continue
        now = _as_json(recipe)
        changed = sorted(
            key for key in now if key not in {"output", "test", *ON_THE_CARD} and now[key] != before.get(key)
        )
        if changed:
            raise SettingError(
                f"{checkpoint} comes from another recipe ({', '.join(changed)} differ); "
                f"train without --resume, or delete {folder}"
            )
        _check_fits(checkpoint, trainer)
        return checkpoint
    return None


def _check_fits(checkpoint: Path, trainer: ListTrainer) -> None:
    """Weights of another architecture would be loaded in part, and silently: the base may have changed in its place."""
    path = checkpoint / "model.safetensors"
    model: Any = trainer.model
    if trainer.is_sharded or not path.is_file():
        return  # adapters and shards, which their own loaders check
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
            f"{checkpoint} holds weights of another architecture ({wrong[0]} does not fit): "
            "train without --resume, or give back the base that it was begun with"
        )


def _as_json(recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return values


def _write(
    folder: Path,
    trainer: ListTrainer,
    facts: TrainingFacts,
    base: Checkpoint,
    publish: Callable[[Path, TrainingFacts], None],
) -> Exception | None:
    """Write the checkpoint and publish it; what failed in that, as hours of training must not hang on a card.

    TrainingError where the weights are worthless.
    """
    weights = sharding.whole_weights(trainer.accelerator, trainer.model_wrapped) if trainer.is_sharded else None
    if not trainer.is_world_process_zero():
        return None
    model = without_lora(trainer.accelerator.unwrap_model(trainer.model))
    _check_finite(trainer.state, model.state_dict() if weights is None else weights)
    # The "original" names would be BERT's of 2018 under ZeRO-3: transformers takes shards for loaded from them.
    model.save_pretrained(folder, state_dict=weights, save_original_format=not trainer.is_sharded)
    make_usable(folder, base, facts.recipe)
    plot_training(facts.log, folder / "training.png")
    try:
        publish(folder, facts)
    except ScoreError as error:
        raise _collapsed(trainer.state, str(error)) from error
    except Exception as error:
        return error
    return None


def _check_finite(state: TrainerState, weights: Mapping[str, torch.Tensor]) -> None:
    """A model of NaN or infinity must not replace another."""
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    if losses and not math.isfinite(losses[-1]):
        raise _collapsed(state, f"the loss is {losses[-1]}")
    for name, weight in weights.items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise _collapsed(state, f"the weights are not finite, {name} among them")


def _collapsed(state: TrainerState, how: str) -> TrainingError:
    return TrainingError(
        f"the training collapsed: at step {state.global_step} {how}; "
        "lower training.learning_rate, lengthen training.warmup_steps, or try another training.seed"
    )
