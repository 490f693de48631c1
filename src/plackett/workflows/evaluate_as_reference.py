"""Measure a checkpoint as the evaluators of sentence-transformers do."""

from collections.abc import Sequence
from pathlib import Path

from plackett.cross_encoder import CrossEncoder
from plackett.errors import SettingError
from plackett.evaluation.sentence_transformers import (
    evaluate_reference,
    reference_table,
    with_names,
    write_reference_csv,
)
from plackett.publishing.card import write_card
from plackett.publishing.collect import reference_facts
from plackett.publishing.storage import add_evaluations, read_facts
from plackett.retrieval.sources import Sources
from plackett.workflows.evaluate import Outputs, write_json


def evaluate_as_reference(
    systems: Sequence[str], sources: Sources, depths: Sequence[int], always_rerank_positives: bool, outputs: Outputs
) -> str:
    """Measure one checkpoint as sentence-transformers' evaluators do: a table, and files and card where asked for."""
    if len(systems) > 1 or len(depths) > 1 or Path(systems[0]).is_file() or outputs.per_query or outputs.html:
        raise SettingError(
            "the reference's semantics measure one checkpoint at one depth: a table, --json, --csv and --card"
        )
    known = read_facts(Path(systems[0])) if outputs.card else None
    collections, [depth] = sources.read(depths[0]), depths
    encoder = CrossEncoder(systems[0])
    metrics = {
        item.name: evaluate_reference(
            encoder, item, depth=depth, always_rerank_positives=always_rerank_positives, show_progress=True
        )
        for item in collections
    }
    named = with_names(metrics, depth)
    if outputs.json is not None:
        write_json(outputs.json, named)
    if outputs.csv is not None:
        write_reference_csv(outputs.csv, metrics, depth=depth)
    if known is not None:
        found = reference_facts(collections, metrics, depth, always_rerank_positives)
        write_card(Path(systems[0]), add_evaluations(known, found))
    return reference_table(named)
