"""Facts in, README.md out: a pure function. The sections follow those of sentence-transformers' cards."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import yaml

from plackett._files import whole_file
from plackett._wording import one_line
from plackett.checkpoints.hub import is_hub_id
from plackett.checkpoints.own_files import CARD
from plackett.facts import Evaluation, Facts, Lists, Training, Usage
from plackett.publishing.citations import papers
from plackett.publishing.storage import read_facts, write_facts

SIGNIFICANT = 0.05
FOLDED = 100  # a training log with more rows is collapsed


def render(facts: Facts) -> str:
    """Render the model card of these facts."""
    facts = replace(facts, evaluations=_with_depths(facts.evaluations))
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"cell": cell, "code": code, "python": repr, "json": _json, "line": _line, "mb": _megabytes}
    template = environment.from_string(
        files("plackett.publishing").joinpath("card.md.jinja").read_text(encoding="utf-8")
    )
    training = facts.training
    return template.render(
        facts=facts,
        front_matter=_front_matter(facts),
        groups=_groups(facts.evaluations),
        significant=any(_mark(item, name) for item in facts.evaluations for name in item.measures),
        in_one_cell=_in_one_cell,
        interval=_interval,
        mark=_mark,
        ranking=_ranking(facts.usage) if facts.usage else [],
        log=list(_log_rows(training)) if training else [],
        measured=_measured_names(training) if training else [],
        folded=FOLDED,
        settings={**training.settings, **training.arguments} if training else {},
        spread=_spread,
        engine=next((item.engine for item in facts.engines), ""),
        location=facts.model.repository or f"path/to/{facts.model.name}",
        papers=_papers(facts),
    )


def write_card(folder: Path, facts: Facts) -> Path:
    """Write the facts and their card beside the weights, and return the path of the card."""
    write_facts(folder, facts)
    with whole_file(folder / CARD) as stream:
        stream.write(render(read_facts(folder)))
    return folder / CARD


def cell(value: object) -> str:
    """Escape text for a line or a table, so that Markdown, HTML, mathematics and links in it have no effect.

    Underscores between letters, which mean nothing in Markdown, are kept, so names stay readable in a terminal.
    """
    text = one_line(value)
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]", "\ufffd", text)
    text = re.sub(r"[&<>|`*\[\]\\~$]|^[#+=-]|(?<=^\d)[.)](?= |$)", _reference, text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", _reference, text)


def code(value: object) -> str:
    """Escape text as `cell` does, formatted as code."""
    return f"<code>{cell(value)}</code>"


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def _front_matter(facts: Facts) -> str:
    model, training = facts.model, facts.training
    library = "sentence-transformers" if model.weights else "plackett"  # the library whose code the Hub shows
    tags = dict.fromkeys([library, "cross-encoder", "reranker", "plackett"])
    values = {
        "language": list(model.language),
        "license": model.license,
        "library_name": library,
        "tags": [*tags, *(_training_tags(training) if training else [])],
        "base_model": model.base if is_hub_id(model.base) else None,
        "datasets": _datasets(training) if training else [],
        "pipeline_tag": "text-ranking",
        "metrics": list({name: None for item in facts.evaluations for name in item.measures}),
        "model-index": _model_index(facts) if facts.evaluations else None,
    }
    return yaml.safe_dump(
        {key: value for key, value in values.items() if value}, sort_keys=False, allow_unicode=True, width=10_000
    )


def _training_tags(training: Training) -> list[str]:
    sizes = [part.size for part in training.data]
    size = [] if None in sizes else [f"dataset_size:{sum(filter(None, sizes))}"]
    return ["generated_from_trainer", *size, f"loss:{training.loss}"]


def _datasets(training: Training) -> list[str]:
    return list(dict.fromkeys(part.name for part in training.data if part.source))


def _model_index(facts: Facts) -> list[dict[str, Any]]:
    return [{"name": facts.model.name, "results": [_index_entry(item) for item in facts.evaluations]}]


def _index_entry(item: Evaluation) -> dict[str, Any]:
    dataset = {"name": item.collection.replace("_", " "), "type": item.collection, "revision": item.revision}
    return {
        "task": {"type": item.task, "name": item.task.replace("-", " ").title()},
        "dataset": {key: value for key, value in dataset.items() if value},
        "metrics": [
            {"type": name, "value": round(values.reranked, 6), "name": name} for name, values in item.measures.items()
        ],
    }


def _with_depths(evaluations: Sequence[Evaluation]) -> tuple[Evaluation, ...]:
    """Add the depth to the name of a collection measured at several depths, as sentence-transformers does."""
    times = Counter(item.collection for item in evaluations)
    return tuple(
        replace(item, collection=f"{item.collection}_R{item.depth}") if times[item.collection] > 1 else item
        for item in evaluations
    )


def _groups(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Yield adjacent evaluations with the same measures together, for one table."""
    return [list(group) for _, group in groupby(evaluations, key=lambda item: (list(item.measures), item.primary))]


def _in_one_cell(item: Evaluation, name: str) -> str:
    values = item.measures[name]
    return f"{values.reranked:.4f} ({values.difference:+.4f}){_mark(item, name)}"


def _mark(item: Evaluation, name: str) -> str:
    """Return an escaped asterisk if the difference is significant."""
    p_value = item.measures[name].p_value
    return "\\*" if p_value is not None and p_value < SIGNIFICANT else ""


def _interval(item: Evaluation, name: str) -> str:
    ci95 = item.measures[name].ci95
    return f"{ci95[0]:+.4f} to {ci95[1]:+.4f}" if ci95 else "-"


def _ranking(usage: Usage) -> list[tuple[int, float]]:
    """Return the example as `rank` gives it: (index, score), best first by the logits, ties in document order."""
    order = sorted(range(len(usage.logits)), key=lambda index: -usage.logits[index])
    return [(index, usage.scores[index]) for index in order]


def _measured_names(training: Training) -> list[str]:
    """Return the measures of the development collections: `eval_COLLECTION_MEASURE` in the log, without its speed."""
    speed = {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}
    names = dict.fromkeys(key for entry in training.log for key in entry if key.startswith("eval_"))
    return [name for name in names if name not in speed]


def _log_rows(training: Training) -> Iterator[list[str]]:
    """Return epoch, step, loss, learning rate and measures, one row per step, with the chosen weights in bold."""
    steps: dict[int, dict[str, float]] = {}
    for entry in training.log:
        steps.setdefault(int(entry["step"]), {}).update(entry)
    formats = {"epoch": ".4f", "step": ".0f", "loss": ".4f", "learning_rate": ".2e"}
    for step, entry in sorted(steps.items()):
        keys = [*formats, *_measured_names(training)]
        cells = [format(entry[key], formats.get(key, ".4f")) if key in entry else "-" for key in keys]
        yield [f"**{text}**" for text in cells] if step == training.best_step else cells


def _spread(data: Lists, what: str, unit: str) -> str:
    values = getattr(data, what)
    plain = (f"{number:.2f}".rstrip("0").rstrip(".") for number in (values.minimum, values.mean, values.maximum))
    items = (f"{label}: {number} {unit}".strip() for label, number in zip(("min", "mean", "max"), plain, strict=True))
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _papers(facts: Facts) -> list[str]:
    training = facts.training
    names = [facts.model.base, *(part.name for part in training.data if part.source)] if training else []
    return papers(training.loss if training else "", [*names, *(item.collection for item in facts.evaluations)])


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=list)


def _line(value: Mapping[str, Any]) -> str:
    """Return JSON in one line, safe within backticks."""
    return json.dumps(value, ensure_ascii=False, default=list).replace("`", "'")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
