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
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerState, TrainingArguments

from plackett.batching import token_batches
from plackett.callbacks import ProgressBar, UsableCheckpoints, make_usable, plot_training
from plackett.checkpoint import Checkpoint, check_target, find_folder, read_base, whole_folder
from plackett.cross_encoder import CrossEncoder
from plackett.engines.torch import TorchEngine
from plackett.errors import DataError, ScoreError, SettingError, TrainingError
from plackett.evaluation import evaluate, rerank
from plackett.gradient_cache import cached_scores
from plackett.matrices import to_matrix
from plackett.model import new_model, padded_inputs
from plackett.recipes import Recipe, loss_function
from plackett.records import Collection, LabeledList
from plackett.sampling import Part, SampledLists, StreamedLists
from plackett.tokenization import PairTokenizer


@dataclass(frozen=True)
class TrainingFacts:
    """What happened: settings as resolved, lists seen by each process, the log by step, seconds."""

    recipe: Recipe
    lists: int
    seconds: float
    log: tuple[Mapping[str, float], ...]
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

    The collections in `dev` are measured whenever the training arguments say to evaluate. `resume` goes on from the
    last whole checkpoint of an earlier run of the same recipe. `publish(folder, facts)` adds to the folder before it
    takes its place: the card, usually.

    Raises SettingError for a recipe that does not fit, DataError for lists that do not, and TrainingError for a
    training that collapsed.
    """
    if not any(True for part in parts for _ in part.lists):
        raise DataError("there are no lists to train on")
    check_target(Path(recipe.output))
    base = read_base(find_folder(recipe.base, revision=None, local_files_only=False), max_length=recipe.max_length)
    arguments = training_arguments(recipe, dev)
    model = new_model(base, layers=recipe.layers, dropout=recipe.dropout, seed=arguments.seed)
    if recipe.freeze_embeddings:
        model.get_input_embeddings().requires_grad_(False)
    if arguments.device.type == "cpu":
        model.set_attn_implementation("eager")  # torch's fused attention is slow backwards there
    trainer = ListTrainer(recipe, base, model, arguments, parts, dev)
    last = _last_checkpoint(Path(str(arguments.output_dir)), recipe) if resume else None
    seconds = _run(trainer, last)
    facts = TrainingFacts(
        recipe=recipe,
        lists=trainer.state.global_step * arguments.train_batch_size * arguments.gradient_accumulation_steps,
        seconds=seconds,
        log=tuple(entry for entry in trainer.state.log_history if "train_runtime" not in entry),
        max_length=base.max_length,
    )
    if trainer.is_world_process_zero():
        _write(facts, base, model, publish)
    return facts


def training_arguments(recipe: Recipe, dev: Sequence[Collection] = ()) -> TrainingArguments:
    """The recipe's TrainingArguments over Plackett's defaults: bf16 where the processor has it, nothing reported."""
    defaults = {
        "output_dir": f"{recipe.output}-training",
        "use_cpu": not torch.accelerator.is_available(),
        "bf16": torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported(),
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "none",
    }
    # Batches of lists differ in shape and in micro-batches: each process reads its own part of a stream instead of
    # being sent it, and no two wait for each other before every micro-batch.
    fixed = {
        "ddp_broadcast_buffers": False,
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "accelerator_config": {"dispatch_batches": False},
    }
    known = TrainingArguments.__dataclass_fields__
    for key in recipe.training.keys() - known.keys():
        raise SettingError.unknown("training argument", key, known)
    try:
        arguments = TrainingArguments(**{**defaults, **recipe.training, **fixed})
    except (TypeError, ValueError) as error:
        raise SettingError(f"the training arguments do not fit: {error}") from error
    if recipe.streaming and arguments.max_steps <= 0:
        raise SettingError("a stream has no end that could be known: set training.max_steps")
    best = arguments.metric_for_best_model
    names = [f"{collection.name}_{measure}" for collection in dev for measure in recipe.measures]
    if best is not None and best.removeprefix("eval_") not in names:
        raise SettingError.unknown("metric_for_best_model", best, names or ["(name collections in dev)"])
    return arguments


class ListCollator:
    """Lists -> micro-batches of token ids, the way back (`order`), lengths and labels. Runs in data-loader workers."""

    def __init__(
        self, tokenizer: PairTokenizer, base: Checkpoint, token_budget: int, max_pairs: int | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._base = base
        self._token_budget = token_budget
        self._max_pairs = max_pairs

    def __call__(self, lists: Sequence[LabeledList]) -> dict[str, Any]:
        """One step's input, tensors only."""
        encoded = self._tokenizer.encode([(item.query, document) for item in lists for document in item.documents])
        batches = token_batches(encoded.lengths, self._token_budget, self._max_pairs)
        return {
            "micro_batches": [padded_inputs(encoded.select(batch), self._base) for batch in batches],
            "order": torch.from_numpy(np.concatenate(batches)),
            "lengths": torch.tensor([len(item.documents) for item in lists]),
            "list_labels": torch.tensor([label for item in lists for label in item.labels]),
        }


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
        tokenizer = PairTokenizer.from_checkpoint(base)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=source(parts, recipe.list_size, arguments.seed),
            eval_dataset=dev or None,
            data_collator=ListCollator(tokenizer, base, recipe.token_budget, recipe.mini_batch_size),
        )
        self._recipe = recipe
        self._base = base
        self._dev = dev
        self._loss = loss_function(recipe.loss)
        self.remove_callback(PrinterCallback)
        self.add_callback(ProgressBar())
        self.add_callback(UsableCheckpoints(base, recipe))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The recipe's loss on the scores of one batch of lists."""

        def score(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
            logits: torch.Tensor = model(**batch).logits
            return logits[:, 0].float()

        batches = inputs["micro_batches"]
        cached = self._recipe.cached_gradients and torch.is_grad_enabled()
        in_batches = cached_scores(score, batches, model) if cached else torch.cat([score(batch) for batch in batches])
        scores = torch.empty_like(in_batches).index_copy(0, inputs["order"], in_batches)
        matrix, mask = to_matrix(scores, inputs["lengths"])
        labels, _ = to_matrix(inputs["list_labels"], inputs["lengths"])
        loss = self._loss(matrix, labels, mask)
        return (loss, {"scores": scores}) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Rerank the development collections with the model as it stands: `eval_COLLECTION_MEASURE`."""
        model = self.accelerator.unwrap_model(self.model)
        encoder = CrossEncoder.from_parts(self._base, TorchEngine(model, self._base))
        metrics = {}
        for collection in self._dev:
            try:
                run = rerank(encoder, collection, depth=self._recipe.depth)
            except ScoreError as error:
                raise _collapsed(self.state.global_step, "NaN or infinite") from error
            if len({scored.score for scored in run}) == 1 < len(run):
                raise _collapsed(self.state.global_step, "all the same")
            for measure, value in evaluate(run, collection.qrels, self._recipe.measures).items():
                metrics[f"{metric_key_prefix}_{collection.name}_{measure}"] = value
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _collapsed(step: int, scores: str) -> TrainingError:
    return TrainingError(
        f"the training collapsed: at step {step} the scores of the development lists are {scores}; "
        "lower training.learning_rate, lengthen training.warmup_steps, or try another training.seed"
    )


def _run(trainer: ListTrainer, last: Path | None) -> float:
    """Train, from the checkpoint `last` on if there is one; seconds that it took."""
    if last is not None:
        state = TrainerState.load_from_json(str(last / "trainer_state.json"))
        if state.global_step >= state.max_steps:  # killed after the last step: the Trainer would add one more
            trainer.state = state
            trainer._load_from_checkpoint(str(last))
            return 0.0
    seconds: float = trainer.train(resume_from_checkpoint=str(last) if last else None).metrics["train_runtime"]
    return seconds


def _last_checkpoint(folder: Path, recipe: Recipe) -> Path | None:
    """The newest whole checkpoint of the same recipe, if there is one."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.rpartition("-")[2])):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # the file that is written last
            before = json.loads((checkpoint / "recipe.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        now = json.loads(json.dumps(asdict(recipe)))
        changed = sorted(key for key in now if key not in {"test", "description"} and now[key] != before.get(key))
        if changed:
            raise SettingError(
                f"{checkpoint} comes from another recipe ({', '.join(changed)} differ); "
                f"train without --resume, or delete {folder}"
            )
        return checkpoint
    return None


def _write(
    facts: TrainingFacts, base: Checkpoint, model: PreTrainedModel, publish: Callable[[Path, TrainingFacts], None]
) -> None:
    with whole_folder(Path(facts.recipe.output)) as folder:
        model.save_pretrained(folder)
        make_usable(folder, base, facts.recipe)
        plot_training(facts.log, folder / "training.png")
        publish(folder, facts)
