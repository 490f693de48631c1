"""Facts in, README.md out: a pure function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import yaml


@dataclass(frozen=True)
class Result:
    """One collection measured: its name, queries, depth, and (first stage, reranked) for each measure."""

    collection: str
    queries: int
    depth: int
    measures: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Usage:
    """A query, some documents and the scores that the model really gave them."""

    query: str
    documents: Sequence[str]
    scores: Sequence[float]


@dataclass(frozen=True)
class CardFacts:
    """Everything a card says."""

    name: str
    base: str
    data: str
    lists: int
    loss: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    log: Sequence[Mapping[str, float]]
    max_length: int
    versions: Mapping[str, str]
    results: Sequence[Result] = ()
    usage: Usage | None = None


def render(facts: CardFacts) -> str:
    """The model card of these facts."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    environment.filters["cell"] = _cell
    environment.filters["python"] = repr
    template = environment.from_string(files("plackett").joinpath("card.md.jinja").read_text(encoding="utf-8"))
    return template.render(facts=facts, front_matter=_front_matter(facts))


def _front_matter(facts: CardFacts) -> str:
    values = {
        "language": ["en"],
        "library_name": "sentence-transformers",
        "pipeline_tag": "text-ranking",
        "tags": ["plackett", "cross-encoder", "reranker", f"dataset_size:{facts.lists}", f"loss:{facts.loss['name']}"],
        "metrics": sorted({measure for result in facts.results for measure in result.measures}),
        "model-index": [{"name": facts.name, "results": [_index_entry(result) for result in facts.results]}],
    }
    return yaml.safe_dump({key: value for key, value in values.items() if value}, sort_keys=False, allow_unicode=True)


def _index_entry(result: Result) -> dict[str, Any]:
    return {
        "task": {"type": "text-ranking", "name": "Reranking"},
        "dataset": {"name": result.collection, "type": result.collection},
        "metrics": [
            {"type": name, "value": round(after, 6), "name": name} for name, (_, after) in result.measures.items()
        ],
    }


def _cell(value: object) -> str:
    """Text that cannot break out of a table cell."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
