"""What happened, as the facts of a card: of lists, of a training, of measurements."""

import inspect
import json
import math
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import TrainingArguments

from plackett.calibration.fitting import Calibrated
from plackett.checkpoints.calibrations import method_of, parameters_of
from plackett.checkpoints.folder import find_folder, read_checkpoint
from plackett.checkpoints.hub import commit_of, is_hub_id, parse_hub_file
from plackett.checkpoints.weights import has_weights, weights_of
from plackett.cross_encoder import CrossEncoder
from plackett.evaluation.comparison import Comparison, mean_of
from plackett.evaluation.sentence_transformers import CUTOFF, Metrics
from plackett.facts import (
    FILE,
    CalibrationFacts,
    Development,
    Evaluation,
    Facts,
    Lists,
    Measured,
    Model,
    Sample,
    Spread,
    Training,
    Usage,
)
from plackett.losses import LOSSES
from plackett.publishing.storage import read_facts
from plackett.ranking import judged_only
from plackett.records import HELD_OUT, NOWHERE, Collection, LabeledList, Origin
from plackett.training.arguments import FIXED
from plackett.training.recipe import OF_THE_MACHINE, Recipe, loss_options, short_paths
from plackett.training.sampling import Part
from plackett.training.train import TrainingFacts

VERSIONS = ("plackett", "torch", "transformers", "tokenizers", "accelerate", "huggingface-hub")
SHOWN_LISTS = 3
SHOWN_DOCUMENTS = 5
SHOWN_CHARACTERS = 1000
USAGE_CHARACTERS = 300

# Recipe keys that have sections of their own on the card.
_ELSEWHERE = {"base", "description", "dev", "language", "license", "loss", "output", "test", "train", "training"}
_LOGGED = {"epoch", "learning_rate", "loss", "step"}


def trained(
    folder: Path,
    facts: TrainingFacts,
    parts: Sequence[Part],
    *,
    held_out: Sequence[LabeledList] = (),
    dev: Sequence[Collection] = (),
) -> Facts:
    """The facts of the checkpoint in `folder`, just trained on `parts`, from which lists were held out.

    `dev` was measured on the way, beside what was held out.
    """
    recipe = facts.recipe
    settings = {key: value for key, value in asdict(recipe).items() if key not in _ELSEWHERE}
    arguments = {key: short_paths(value) for key, value in facts.arguments.items() if key not in OF_THE_MACHINE}
    loss, parameters = _loss(recipe.loss)
    training = Training(
        data=tuple(lists_facts(part) for part in parts),
        held_out=lists_facts(Part(held_out, name=HELD_OUT)) if held_out else None,
        loss=loss,
        loss_parameters=parameters,
        settings=settings,
        arguments=arguments,
        changed=_changed(settings, arguments),
        log=tuple(_log_entry(entry) for entry in facts.log),
        best_step=facts.best_step,
        lists_seen=facts.lists,
        seconds=facts.seconds,
        hardware=_hardware(facts.arguments),
        description=recipe.description,
        development=tuple(
            Development(item.name, len(item.queries), item.origin.source, item.origin.revision) for item in dev
        ),
    )
    base, revision = _base(recipe.base)
    known = described(folder)
    model = replace(
        known.model,
        name=Path(recipe.output).expanduser().resolve().name,
        base=base,
        base_revision=revision,
        language=recipe.language,
        license=recipe.license,
    )
    return replace(known, model=model, training=training)


def described(folder: Path) -> Facts:
    """The facts of a checkpoint of which nothing is known but what it says of itself."""
    checkpoint = read_checkpoint(folder)
    return Facts(
        model=Model(
            name=folder.resolve().name,
            base="",
            architecture=json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0],
            parameters=weights_of(folder)[0],
            max_length=checkpoint.max_length,
            labels=checkpoint.labels,
            activation=checkpoint.activation,
            weights=has_weights(folder),
        ),
        versions={"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
    )


def known_facts(folder: Path) -> Facts:
    """The facts of a checkpoint; where it has none, what it says of itself."""
    return read_facts(folder) if (folder / FILE).is_file() else described(folder)


def lists_facts(part: Part) -> Lists:
    """What the first lists of a file are like. A local file is known by its name only, not by its path."""
    first = part.head
    hub = parse_hub_file(part.name)
    return Lists(
        name=hub.repository if hub else Path(part.name).name,
        source=part.name if hub else "",
        revision=part.revision or (hub and hub.revision) or "",
        size=len(part.lists) if isinstance(part.lists, Sequence) else None,
        share=part.share,
        sampled=len(first),
        query_characters=_spread(len(item.query) for item in first),
        document_characters=_spread(len(document) for item in first for document in item.documents),
        list_length=_spread(len(item.documents) for item in first),
        label=_spread(label for item in first for label in item.labels),
        samples=tuple(_sample(item) for item in first[:SHOWN_LISTS]),
    )


def usage(encoder: CrossEncoder, query: str, documents: Sequence[str]) -> Usage:
    """What the model gives a query's first documents, cut so that they can be read, and scored as they are shown."""
    query = _cut(query, USAGE_CHARACTERS)
    shown = tuple(_cut(text, USAGE_CHARACTERS) for text in documents if text.strip())[:SHOWN_DOCUMENTS]
    pairs = [(query, document) for document in shown]
    return Usage(query, shown, tuple(encoder.predict(pairs).tolist()), tuple(encoder.score(pairs)[:, 0].tolist()))


def evaluation_facts(comparisons: Sequence[Comparison]) -> list[Evaluation]:
    """Comparisons as a card shows them, and their mean where there are several.

    The first measure is the one that counts.
    """
    facts = [_evaluation(item, origin=item.origin) for item in comparisons]
    if len(comparisons) > 1:
        facts.append(_evaluation(mean_of(comparisons), collections=[item.collection for item in comparisons]))
    return facts


def reference_facts(
    collections: Sequence[Collection], metrics: Mapping[str, Metrics], depth: int, always_rerank_positives: bool
) -> list[Evaluation]:
    """What `evaluate_reference` found of each collection, under the names and parameters of the reference's cards."""
    how = {"at_k": CUTOFF, "always_rerank_positives": always_rerank_positives}
    facts = [
        Evaluation(
            collection=f"{item.name}_R{depth}",
            queries=len({scored.query_id for scored in judged_only(item)[0].run}),
            depth=depth,
            measures=_reference_measures(metrics[item.name]),
            primary=f"ndcg@{CUTOFF}",
            parameters={"semantics": "reference", **how, **_parts(item.origin)},
            source=item.origin.source,
            revision=item.origin.revision,
        )
        for item in collections
    ]
    if len(facts) == 1:
        return facts
    mean = {key: fmean(of_one[key] for of_one in metrics.values()) for key in metrics[collections[0].name]}
    names = {"dataset_names": [item.name for item in collections], "rerank_k": depth}
    return [
        *facts,
        Evaluation(
            collection=f"NanoBEIR_R{depth}_mean",
            queries=sum(item.queries for item in facts),
            depth=depth,
            measures=_reference_measures(mean),
            primary=f"ndcg@{CUTOFF}",
            parameters={"semantics": "reference", **names, **how},
            task="cross-encoder-nano-beir",
        ),
    ]


def _reference_measures(metrics: Metrics) -> dict[str, Measured]:
    before = {name: metrics[f"base_{name}"] for name in metrics if not name.startswith("base_")}
    return {name: Measured(base, metrics[name], metrics[name] - base) for name, base in before.items()}


def _parts(origin: Origin) -> dict[str, str]:
    return {**({"first_stage": origin.first_stage} if origin.first_stage else {}), **origin.files}


def _evaluation(comparison: Comparison, origin: Origin = NOWHERE, **more: object) -> Evaluation:
    return Evaluation(
        collection=comparison.collection,
        queries=comparison.queries,
        depth=comparison.depth,
        measures={
            name: Measured(
                comparison.first_stage[name],
                value,
                comparison.difference(name),
                ci95=comparison.significance[name].ci95,
                p_value=comparison.significance[name].p_value,
            )
            for name, value in comparison.reranked.items()
        },
        primary=next(iter(comparison.reranked)),
        parameters={
            "semantics": "trec_eval",
            "measures": list(comparison.reranked),
            "depth": comparison.depth,
            "always_rerank_positives": False,
            **_parts(origin),
            **more,
        },
        source=origin.source,
        revision=origin.revision,
    )


def calibration_facts(calibrated: Calibrated, collection: str) -> CalibrationFacts:
    """A calibration as a card shows it, with the first of its thresholds that can be reached."""
    before, after = calibrated.before, calibrated.best
    reached = [item for item in calibrated.thresholds if item.value is not None and item.kept]
    rule = "{0.target}; on held-out folds it reached a precision of {0.precision:.4f} with a recall of {0.recall:.4f}"
    return CalibrationFacts(
        method=method_of(calibrated.calibration),
        collection=collection,
        pairs=len(after.probabilities),
        parameters=parameters_of(calibrated.calibration),
        measures={"log-loss": (before.log_loss, after.log_loss), "ECE": (before.error, after.error)},
        threshold=reached[0].value if reached else None,
        threshold_rule=rule.format(reached[0]) if reached else "",
    )


def _loss(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The loss and all its options, those left out with their defaults."""
    name, options = loss_options(settings)
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(LOSSES[name]).parameters.items()
        if parameter.default is not inspect.Parameter.empty and key != "generator"
    }
    return name, {**defaults, **options}


def _changed(settings: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of what is not the default of Recipe and TrainingArguments."""
    ours = {item.name: item.default for item in fields(Recipe) if item.default is not MISSING}
    theirs = TrainingArguments(output_dir="", use_cpu=True).to_dict()  # type: ignore[no-untyped-call]
    changed = [name for name, value in settings.items() if value != ours.get(name)]
    changed += [
        name for name, value in arguments.items() if name not in {"use_cpu", *FIXED} and value != theirs.get(name)
    ]
    return tuple(changed)


def _hardware(arguments: Mapping[str, Any]) -> str:
    if arguments["use_cpu"]:
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else str(torch.accelerator.current_accelerator())
    return f"{os.environ.get('WORLD_SIZE', '1')} x {name}"


def _log_entry(entry: Mapping[str, float]) -> dict[str, float]:
    kept = {key: value for key, value in entry.items() if key in _LOGGED or key.startswith("eval_")}
    return {key: value for key, value in kept.items() if isinstance(value, int | float) and math.isfinite(value)}


def _base(name: str) -> tuple[str, str]:
    """The hub id and commit of a base; a folder is known by its name only, not by its path."""
    if Path(name).is_dir() or not is_hub_id(name):
        return Path(name).name, ""
    snapshot = find_folder(name, revision=None, local_files_only=True)
    return name, commit_of(snapshot)


def _spread(values: Iterable[float]) -> Spread:
    known = list(values)
    return Spread(min(known), fmean(known), max(known))


def _sample(item: LabeledList) -> Sample:
    documents = tuple(_cut(text, SHOWN_CHARACTERS) for text in item.documents[:SHOWN_DOCUMENTS])
    labels = item.labels[: len(documents)]
    return Sample(_cut(item.query, SHOWN_CHARACTERS), documents, labels, len(item.documents))


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
