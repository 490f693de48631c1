"""Measure a checkpoint like sentence-transformers' evaluators."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from plackett._arguments import COUNT, checked
from plackett.cross_encoder import CrossEncoder
from plackett.engines.loading import NO_OPTIONS, Options
from plackett.errors import SettingError
from plackett.evaluation.report import dump_json
from plackett.evaluation.sentence_transformers import (
    ReferenceComparison,
    evaluate_reference,
    reference_figures,
    with_reference_mean,
    write_reference_csv,
)
from plackett.publishing.storage import read_facts
from plackett.retrieval.sources import Sources
from plackett.workflows.outputs import NO_OUTPUTS, Outputs, Writer, add_to_card, text_writer

JSON, CSV_FOLDER = ".json", ""  # kinds of output: a file, and a folder without a suffix


@dataclass(frozen=True)
class EvaluatedAsReference:
    """The comparisons, then their mean, and one line for each output that could not be written."""

    comparisons: tuple[ReferenceComparison, ...]
    problems: tuple[str, ...] = ()


@checked()
def evaluate_as_reference(
    system: str,
    sources: Sources,
    *,
    depth: Annotated[int, COUNT],
    always_rerank_positives: bool = True,
    options: Options = NO_OPTIONS,
    outputs: Outputs = NO_OUTPUTS,
) -> EvaluatedAsReference:
    """Measure one checkpoint at one depth; outputs are handled as in `workflows.evaluate`."""
    if Path(system).is_file():
        raise SettingError(f"{system} is a run; --semantics reference measures one checkpoint")
    if outputs.per_query:
        raise SettingError("--semantics reference has no figures per query; leave out --per-query")
    outputs.check([JSON, CSV_FOLDER], inputs=[system, *sources.names()])

    facts = read_facts(Path(system)) if outputs.card else None
    collections = sources.read(depth, show_progress=True)
    encoder = CrossEncoder.from_options(system, options)
    found = with_reference_mean(
        [
            evaluate_reference(
                encoder, item, depth=depth, always_rerank_positives=always_rerank_positives, show_progress=True
            )
            for item in collections
        ]
    )

    writers: dict[str, Writer] = {
        JSON: text_writer(lambda: dump_json(reference_figures(found))),
        CSV_FOLDER: partial(write_reference_csv, comparisons=found),
    }
    problems = outputs.write(writers)
    if facts:
        problems += add_to_card(Path(system), facts, [item.facts() for item in found])
    return EvaluatedAsReference(tuple(found), tuple(problems))
