"""The Hugging Face Trainer for lists.

A step tokenises its lists in the data loader, splits the pairs into micro-batches of similar length, and arranges their
scores as (lists, depth) for the loss.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerState, TrainingArguments

from plackett.checkpoints.folder import Checkpoint
from plackett.cross_encoder import ALONE, CrossEncoder, Share
from plackett.engines.base import Parts
from plackett.engines.torch.engine import TorchEngine
from plackett.errors import ScoreError, TrainingError
from plackett.evaluation.development import Evaluator
from plackett.losses.matrices import to_matrix
from plackett.models.lora import without_lora
from plackett.records import Collection
from plackett.tokenization.templates import tokenizer_of
from plackett.training import sharding
from plackett.training.callbacks import EarlyStop, MeasureAtEnd, ProgressBar, Reproducible
from plackett.training.collator import ListCollator
from plackett.training.gradient_cache import cached_scores
from plackett.training.recipe import Recipe, loss_function
from plackett.training.resuming import RecipeRecord, UsableCheckpoints, as_json
from plackett.training.sampling import Part, SampledLists, StreamedLists


class ListTrainer(Trainer):
    """The Hugging Face Trainer with two overrides: the loss of a batch of lists, and evaluation."""

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
        tokenizer = tokenizer_of(base)
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
        self.add_callback(RecipeRecord(as_json(recipe)))
        self.add_callback(Reproducible(dataset))
        if dev:
            self.add_callback(MeasureAtEnd())
        if self._early_stop:
            self.add_callback(self._early_stop)

    def is_over(self, state: TrainerState) -> bool:
        """Whether training in this state is finished."""
        stopped = self._early_stop is not None and self._early_stop.is_over(self.args, state)
        return stopped or state.global_step >= state.max_steps

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the recipe's loss on the scores of one batch of lists."""

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
        """Rerank the development collections with the current model; return `eval_COLLECTION_MEASURE`.

        They are tokenised once. Several processes share the work, in the same batches as one process; with sharded
        weights, each does all of it, in step with the others.
        """
        try:
            found = self._evaluator(*self._encoder_and_share())
        except ScoreError as error:
            raise collapsed(self.state, str(error)) from error
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


def collapsed(state: TrainerState, how: str) -> TrainingError:
    """Return the error for a training run that has collapsed."""
    return TrainingError(
        f"the training collapsed: at step {state.global_step} {how}; "
        "lower training.learning_rate, lengthen training.warmup_steps, or try another training.seed"
    )
