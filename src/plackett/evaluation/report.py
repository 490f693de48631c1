"""Comparisons -> a table for a terminal, figures for JSON, lines of CSV. Pure functions."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from plackett.evaluation.comparison import Comparison

CSV_COLUMNS = (
    "collection", "system", "depth", "queries", "measure", "first_stage", "reranked", "difference", "ci95_low",
    "ci95_high", "p_value", "p_holm", "effect_size", "helped", "hurt", "unchanged", "perfect_order", "recall_ceiling",
)  # fmt: skip


def table(*comparisons: Comparison) -> str:
    """A plain-text table for each collection, a line for each measure (and system, and depth, if there are several)."""
    blocks = [_block(list(of_one)) for _, of_one in groupby(comparisons, key=lambda item: item.collection)]
    return "\n\n".join(blocks)


def figures(comparisons: Sequence[Comparison], *, per_query: bool = False) -> dict[str, Any]:
    """What `--json` writes; docs/evaluate.md describes it. Of several systems, `collections` has the first."""
    systems = {item.system: [one for one in comparisons if one.system == item.system] for item in comparisons}
    by_system = {name: _collections(of_system, per_query) for name, of_system in systems.items()}
    first, *others = by_system
    result: dict[str, Any] = {"system": first, "collections": by_system[first]}
    if others:
        result["systems"] = {name: {"collections": collections} for name, collections in by_system.items()}
    return result


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """One line for each collection, system, depth and measure, under CSV_COLUMNS."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in comparisons:
        of_run = {"collection": item.collection, "system": item.system, "depth": item.depth, "queries": item.queries}
        for measure in item.reranked:
            row = {**of_run, "measure": measure, **_measure_figures(item, measure), "recall_ceiling": item.recall}
            row["ci95_low"], row["ci95_high"] = row.pop("ci95")
            writer.writerow(row)
    return stream.getvalue()


def _block(comparisons: Sequence[Comparison]) -> str:
    one = comparisons[0]
    depths = sorted({item.depth for item in comparisons})
    systems = list(dict.fromkeys(item.system for item in comparisons))
    lines = [
        f"{one.collection}: {one.queries} queries, first {', '.join(map(str, depths))} candidates reranked",
        *_aligned(_rows(comparisons, several_systems=len(systems) > 1, several_depths=len(depths) > 1)),
    ]
    recall = "; ".join(f"{item.recall:.4f} at {item.depth}" for item in _by_depth(comparisons))
    lines.append(f"recall of the first stage: {recall}. No order of its candidates is better than the best order.")
    if one.without_candidates:
        lines.append(f"{one.without_candidates} judged queries have no candidates: they count as zero.")
    if one.unjudged:
        lines.append(f"{one.unjudged} queries of the run are not judged: they do not count.")
    return "\n".join(lines)


def _by_depth(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return list({item.depth: item for item in comparisons}.values())


def _rows(comparisons: Sequence[Comparison], *, several_systems: bool, several_depths: bool) -> Iterator[list[str]]:
    names = ["", *(["system"] if several_systems else []), *(["depth"] if several_depths else [])]
    figures = [
        "first stage",
        "reranked",
        "difference",
        "95 % interval",
        "p",
        *(["p (Holm)"] if several_systems else []),
    ]
    yield [*names, *figures, "effect", "helped", "hurt", "same", "best order"]
    for measure in comparisons[0].reranked:
        for item in comparisons:
            found = item.significance[measure]
            low, high = found.ci95
            yield [
                measure,
                *([item.system] if several_systems else []),
                *([str(item.depth)] if several_depths else []),
                f"{item.first_stage[measure]:.4f}",
                f"{item.reranked[measure]:.4f}",
                f"{item.difference(measure):+.4f}",
                f"{low:+.4f}…{high:+.4f}",
                f"{found.p_value:.4f}",
                *([f"{found.p_holm:.4f}"] if several_systems else []),
                f"{found.effect_size:+.2f}",
                *(str(count) for count in (found.helped, found.hurt, found.unchanged)),
                f"{item.perfect[measure]:.4f}",
            ]


def _aligned(rows: Iterator[list[str]]) -> list[str]:
    """Measures and systems to the left, numbers to the right."""
    cells = list(rows)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    left = {0, 1} if cells[0][1] == "system" else {0}
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _collections(comparisons: Sequence[Comparison], per_query: bool) -> dict[str, Any]:
    """Each collection at its greatest depth, the other depths beside it."""
    result: dict[str, Any] = {}
    for name in dict.fromkeys(item.collection for item in comparisons):
        deepest, *others = sorted(
            (item for item in comparisons if item.collection == name), key=lambda item: item.depth, reverse=True
        )
        result[name] = _figures(deepest, per_query)
        if others:
            result[name]["depths"] = {str(item.depth): _figures(item, False) for item in reversed([deepest, *others])}
    return result


def _figures(item: Comparison, per_query: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "queries": item.queries,
        "depth": item.depth,
        "recall_ceiling": item.recall,
        "queries_without_candidates": item.without_candidates,
        "unjudged_queries": item.unjudged,
        "measures": {measure: _measure_figures(item, measure) for measure in item.reranked},
    }
    if per_query and item.per_query:
        result["per_query"] = {
            measure: {
                query_id: {"first_stage": before, "reranked": after} for query_id, (before, after) in values.items()
            }
            for measure, values in item.per_query.items()
        }
    return result


def _measure_figures(item: Comparison, measure: str) -> dict[str, Any]:
    found = item.significance[measure]
    return {
        "first_stage": item.first_stage[measure],
        "reranked": item.reranked[measure],
        "difference": item.difference(measure),
        "ci95": list(found.ci95),
        "p_value": found.p_value,
        "p_holm": found.p_holm,
        "effect_size": found.effect_size if math.isfinite(found.effect_size) else None,
        "helped": found.helped,
        "hurt": found.hurt,
        "unchanged": found.unchanged,
        "perfect_order": item.perfect[measure],
    }
