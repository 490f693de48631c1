"""Reports on comparisons: the table of the terminal, and the files of `REPORTS`. Pure functions of the results."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from plackett._display import html_table
from plackett._wording import counted
from plackett.evaluation.comparison import Comparison, Measured, Results
from plackett.evaluation.html_report import page

CSV_COLUMNS = (
    "collection", "system", "depth", "queries", "measure", "first_stage", "reranked", "difference", "ci95_low",
    "ci95_high", "p_value", "p_holm", "effect_size", "helped", "hurt", "unchanged", "perfect_order", "recall_ceiling",
)  # fmt: skip

HOLM = "p (Holm)"  # a column for several systems only
CELLS: Mapping[str, Callable[[Measured], str]] = {
    "first stage": lambda item: f"{item.first_stage:.4f}",
    "reranked": lambda item: f"{item.reranked:.4f}",
    "difference": lambda item: f"{item.difference:+.4f}",
    "95% interval": lambda item: "{:+.4f}…{:+.4f}".format(*item.significance.ci95),
    "p": lambda item: f"{item.significance.p_value:.4f}",
    HOLM: lambda item: f"{item.significance.p_holm:.4f}",
    "effect": lambda item: f"{item.significance.effect_size:+.2f}",
    "helped": lambda item: str(item.significance.helped),
    "hurt": lambda item: str(item.significance.hurt),
    "same": lambda item: str(item.significance.unchanged),
    "best order": lambda item: f"{item.perfect_order:.4f}",
}


def table(*comparisons: Comparison) -> str:
    """Return a plain-text table for each collection, with a row for each measure, depth and system."""
    return "\n\n".join(_block(of_one) for of_one in _by_collection(comparisons))


def html(*comparisons: Comparison) -> str:
    """Return the same tables as HTML, as a notebook shows them."""
    blocks = []
    for of_one in _by_collection(comparisons):
        heading, *rows = _rows(of_one)
        title = escape(f"{of_one[0].collection}: {_candidates(of_one)}")
        notes = "".join(f"<p>{escape(note)}</p>" for note in _notes(of_one))
        blocks.append(f"<p><b>{title}</b></p>{html_table(heading, rows)}{notes}")
    return "".join(blocks)


def figures(comparisons: Sequence[Comparison], *, per_query: bool = False) -> dict[str, Any]:
    """Return the values of the JSON report, whose shape docs/evaluate.md describes."""
    systems = {item.system: [one for one in comparisons if one.system == item.system] for item in comparisons}
    by_system = {name: _collections(of_system, per_query) for name, of_system in systems.items()}

    first, *others = by_system
    result: dict[str, Any] = {"system": first, "collections": by_system[first]}
    if others:
        result["systems"] = {name: {"collections": collections} for name, collections in by_system.items()}
    return result


def json_text(results: Results) -> str:
    """Return the JSON report."""
    return dump_json(figures(results.comparisons, per_query=results.per_query))


def csv_text(results: Results) -> str:
    """Return one line for each collection, system, depth and measure, under CSV_COLUMNS."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in results.comparisons:
        of_run = {"collection": item.collection, "system": item.system, "depth": item.depth, "queries": item.queries}
        for name, measured in item.measures.items():
            row = {**of_run, "measure": name, **_measure_figures(measured), "recall_ceiling": item.recall}
            row["ci95_low"], row["ci95_high"] = row.pop("ci95")
            writer.writerow(row)
    return stream.getvalue()


def markdown(results: Results) -> str:
    """Return a heading, a table and notes for each collection, for a wiki or a pull request."""
    blocks = []
    for comparisons in _by_collection(results.comparisons):
        heading, *rows = _rows(comparisons)
        left = _left_columns(heading)
        rule = [":---" if column in left else "---:" for column in range(len(heading))]
        lines = ["| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in (heading, rule, *rows)]
        title, notes = _markdown_cell(comparisons[0].collection), "\n".join(_notes(comparisons))
        blocks.append("\n\n".join([f"## {title}", _candidates(comparisons) + ".", "\n".join(lines), notes]))
    return "\n\n".join(blocks) + "\n"


# To add a report, add its suffix and a function from the results to its text.
REPORTS: dict[str, Callable[[Results], str]] = {
    ".json": json_text,
    ".csv": csv_text,
    ".md": markdown,
    ".html": page,
}


def dump_json(values: Mapping[str, object]) -> str:
    """Return JSON as Plackett writes it to files."""
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _by_collection(comparisons: Iterable[Comparison]) -> list[list[Comparison]]:
    return [list(of_one) for _, of_one in groupby(comparisons, key=lambda item: item.collection)]


def _block(comparisons: Sequence[Comparison]) -> str:
    title = f"{comparisons[0].collection}: {_candidates(comparisons)}"
    return "\n".join([title, *_aligned(_rows(comparisons)), *_notes(comparisons)])


def _candidates(comparisons: Sequence[Comparison]) -> str:
    queries, depths = comparisons[0].queries, sorted({item.depth for item in comparisons})
    return f"{counted(queries, 'query')}, first {', '.join(map(str, depths))} candidates reranked"


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    by_depth = {item.depth: item for item in comparisons}
    recall = "; ".join(f"{item.recall:.4f} at {depth}" for depth, item in by_depth.items())
    return [
        f"Recall of the first stage: {recall}. No reranker exceeds the best order of its candidates.",
        *comparisons[0].notes(),
    ]


def _rows(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Return the cells of the heading, and of a row for each measure and comparison."""
    several_systems = len({item.system for item in comparisons}) > 1
    several_depths = len({item.depth for item in comparisons}) > 1
    cells = {name: cell for name, cell in CELLS.items() if name != HOLM or several_systems}

    def row(measure: str, system: str, depth: str, figures: Iterable[str]) -> list[str]:
        return [measure, *([system] if several_systems else []), *([depth] if several_depths else []), *figures]

    return [
        row("", "system", "depth", cells),
        *(
            row(name, item.system, str(item.depth), [cell(item.measures[name]) for cell in cells.values()])
            for name in comparisons[0].measures
            for item in comparisons
        ),
    ]


def _left_columns(heading: Sequence[str]) -> set[int]:
    """Return the columns of measures and systems, which are left-aligned, unlike numbers."""
    return {0, 1} if heading[1] == "system" else {0}


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = _left_columns(rows[0])
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _markdown_cell(text: str) -> str:
    """Escape the characters that would break a table or start markup."""
    return "".join(f"\\{character}" if character in "\\|`*_<[" else character for character in " ".join(text.split()))


def _collections(comparisons: Sequence[Comparison], per_query: bool) -> dict[str, Any]:
    """Return each collection at its greatest depth, with the other depths beside it."""
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
        "measures": {name: _measure_figures(measured) for name, measured in item.measures.items()},
    }
    if per_query and not item.mean_of:
        result["per_query"] = {
            name: {
                query_id: {"first_stage": before, "reranked": after}
                for query_id, (before, after) in measured.per_query.items()
            }
            for name, measured in item.measures.items()
        }
    return result


def _measure_figures(measured: Measured) -> dict[str, Any]:
    found = measured.significance
    return {
        "first_stage": measured.first_stage,
        "reranked": measured.reranked,
        "difference": measured.difference,
        "ci95": list(found.ci95),
        "p_value": found.p_value,
        "p_holm": found.p_holm,
        "effect_size": found.effect_size if math.isfinite(found.effect_size) else None,
        "helped": found.helped,
        "hurt": found.hurt,
        "unchanged": found.unchanged,
        "perfect_order": measured.perfect_order,
    }
