"""The tables and the plot of the speed benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "ratio",
    "pairs/s",
    "p50 ms",
    "p95 ms",
    "peak MB",
    "cold start s",
    "max difference",
    "tau",
    "top 10",
    "share",
)


def table(result: dict[str, Any]) -> str:
    """Return a Markdown table, slowest first, with Plackett's rows in bold."""
    lines = [
        f"## {result['layers']} layers, {result['workload']} documents",
        "",
        f"{result['pairs']} pairs, {result['tokens']:,} tokens; the ceiling, GFLOP/s: "
        + ", ".join(f"{name} {rate:.0f}" for name, rate in result["ceiling"].items()),
        "",
        f"| library, engine, precision | {' | '.join(COLUMNS)} |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for row in sorted(result["ways"], key=lambda row: row["ratio"]):
        name = row["name"].replace("_", "-").replace(":", " ")
        name = f"**{name}**" if name.startswith("plackett") else name
        lines.append(
            f"| {name} | {' | '.join('' if row[column] is None else str(row[column]) for column in COLUMNS)} |"
        )
    lines += [f"\nLeft out: {name}: {note}" for name, note in result["notes"].items()]
    return "\n".join(lines) + "\n"


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot ratios to sentence-transformers' default, one panel for each checkpoint and workload."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(6 * len(results), 5), squeeze=False, layout="constrained")
    for axis, result in zip(axes[0], results, strict=True):
        rows = sorted(result["ways"], key=lambda row: row["ratio"])
        colours = ["#c44" if row["name"].startswith("plackett") else "#999" for row in rows]
        names = [row["name"].replace("_", "-").replace(":", " ") for row in rows]
        bars = axis.barh(names, [row["ratio"] for row in rows], color=colours)
        axis.bar_label(bars, [f"{row['ratio']:.2f}" for row in rows], padding=3)
        axis.set_title(f"{result['layers']} layers, {result['workload']} documents")
        axis.set_xlabel("pairs/s, ratio to sentence-transformers' default")
        axis.margins(x=0.15)
    figure.savefig(path, dpi=100)


def page(document: Mapping[str, Any]) -> str:
    """Return the tables of all checkpoints and workloads."""
    known = document["provenance"]
    title = "# Speed of reranking compared with other libraries\n"
    by = f"{known['processor']}, {known['threads']} threads; made by `make bench`."
    return "\n".join([title, f"{by}\n", *map(table, document["results"])])
