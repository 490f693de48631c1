"""Training: a recipe and labelled lists in, a checkpoint and the facts of its training out.

A step tokenises its lists in the data loader, cuts the pairs into micro-batches of similar length, and puts the scores
back into (lists, depth) once, where the loss sees them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from plackett.batching import token_batches
from plackett.callbacks import ProgressBar, plot_training
from plackett.checkpoint import Checkpoint, copy_tokenizer, find_folder, read_base, whole_folder, write_metadata
from plackett.errors import DataError, SettingError
from plackett.gradient_cache import cached_scores
from plackett.matrices import to_matrix
from plackett.model import new_model, padded_inputs
from plackett.recipes import Recipe, loss_function
from plackett.records import LabeledList
from plackett.sampling import Part, SampledLists
from plackett.tokenization import PairTokenizer


@dataclass(frozen=True)
class TrainingFacts:
    """What happened: settings as resolved, size of the data, the log by step, seconds."""

    recipe: Recipe
    lists: int
    documents: int
    seconds: float
    log: tuple[Mapping[str, float], ...]
    max_length: int


def train(
    recipe: Recipe, lists: Sequence[LabeledList], *, publish: Callable[[Path, TrainingFacts], None]
) -> TrainingFacts:
    """Train on `lists` and write the checkpoint to `recipe.output`, whole or not at all.

    `publish(folder, facts)` adds to the folder before it takes its place: the card, usually.
    """
    if not lists:
        raise DataError("there are no lists to train on")
    base = read_base(find_folder(recipe.base, revision=None, local_files_only=False), max_length=recipe.max_length)
    arguments = training_arguments(recipe)
    model = new_model(base, layers=recipe.layers, dropout=recipe.dropout, seed=arguments.seed)
    if recipe.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    trainer = ListTrainer(recipe, base, model, arguments, lists)
    result = trainer.train()
    facts = TrainingFacts(
        recipe=recipe,
        lists=len(lists),
        documents=sum(len(item.documents) for item in lists),
        seconds=result.metrics["train_runtime"],
        log=tuple(entry for entry in trainer.state.log_history if "loss" in entry),
        max_length=base.max_length,
    )
    with whole_folder(Path(recipe.output)) as folder:
        model.save_pretrained(folder)
        copy_tokenizer(base.folder, folder)
        write_metadata(folder, activation="sigmoid", max_length=base.max_length)
        (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
        plot_training(facts.log, folder / "training.png")
        publish(folder, facts)
    return facts


def training_arguments(recipe: Recipe) -> TrainingArguments:
    """The recipe's TrainingArguments over Plackett's defaults: bf16 where the processor has it, nothing reported."""
    defaults = {
        "output_dir": f"{recipe.output}-training",
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported(),
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "none",
    }
    fixed = {"remove_unused_columns": False, "disable_tqdm": True}
    known = TrainingArguments.__dataclass_fields__
    for key in recipe.training.keys() - known.keys():
        raise SettingError.unknown("training argument", key, known)
    try:
        return TrainingArguments(**{**defaults, **recipe.training, **fixed})
    except (TypeError, ValueError) as error:
        raise SettingError(f"the training arguments do not fit: {error}") from error


class ListCollator:
    """Lists -> micro-batches of token ids, the way back (`order`), lengths and labels. Runs in data-loader workers."""

    def __init__(self, tokenizer: PairTokenizer, base: Checkpoint, token_budget: int) -> None:
        self._tokenizer = tokenizer
        self._base = base
        self._token_budget = token_budget

    def __call__(self, lists: Sequence[LabeledList]) -> dict[str, Any]:
        """One step's input, tensors only."""
        encoded = self._tokenizer.encode([(item.query, document) for item in lists for document in item.documents])
        batches = token_batches(encoded.lengths, self._token_budget)
        return {
            "micro_batches": [padded_inputs(encoded.select(batch), self._base) for batch in batches],
            "order": torch.from_numpy(np.concatenate(batches)),
            "lengths": torch.tensor([len(item.documents) for item in lists]),
            "list_labels": torch.tensor([label for item in lists for label in item.labels]),
        }


class ListTrainer(Trainer):
    """The Hugging Face Trainer with one override: the loss of a batch of lists."""

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        recipe: Recipe,
        base: Checkpoint,
        model: PreTrainedModel,
        arguments: TrainingArguments,
        lists: Sequence[LabeledList],
    ) -> None:
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=SampledLists([Part(lists)], recipe.list_size, arguments.seed),
            data_collator=ListCollator(PairTokenizer.from_checkpoint(base), base, recipe.token_budget),
        )
        self._loss = loss_function(recipe.loss)
        self._cached_gradients = recipe.cached_gradients
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressBar())

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The recipe's loss on the scores of one batch of lists."""

        def score(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            logits: torch.Tensor = model(**batch).logits
            return logits[:, 0].float()

        batches = inputs["micro_batches"]
        cached = self._cached_gradients and torch.is_grad_enabled()
        sorted_scores = (
            cached_scores(score, batches, model) if cached else torch.cat([score(batch) for batch in batches])
        )
        scores = torch.empty_like(sorted_scores).index_copy(0, inputs["order"], sorted_scores)
        matrix, mask = to_matrix(scores, inputs["lengths"])
        labels, _ = to_matrix(inputs["list_labels"], inputs["lengths"])
        loss = self._loss(matrix, labels, mask)
        return (loss, {"scores": scores}) if return_outputs else loss
