"""The page and the plot of the embedded model, from what evaluate.py measured of it and of others.

    python -m default_model.page

Writes default_model/results/README.md and quality.png, and the tables of README.md and docs/. The plot
has TREC DL 2019 against the time that 100 documents take with each size of encoder in our int8 (speed.py). The figures
of published rerankers come from their cards, which rerank other candidates than BM25's hundred; one of them is measured
here as well.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from default_model.development import table as development_table
from default_model.evaluate import BI_ENCODER, COLLECTIONS, RESULT
from default_model.speed import RESULT as SPEED
from default_model.speed import size_name
from documentation import figures

DEVELOPMENT = RESULT.with_name("development.json")  # of make default-seeds
SHOWN, MEASURE = "TREC DL 2019", "nDCG@10"
HIDDEN = 384
# Results of evaluate.py -> (layers, where the name stands): the embedded model first, then one of the published
# ones, and runs of curve.py.
MEASURED = {
    RESULT.name: (6, "right"),
    "published.json": (12, "left"),
    "layers_4.json": (4, "over left"),
    "layers_3.json": (3, "left"),
    "reference_recipe.json": (6, "left"),
}
# Name -> (layers, hidden size, nDCG@10 on TREC DL 2019, where its name stands), as their cards have it.
SOURCE = "https://huggingface.co/cross-encoder/ms-marco-MiniLM-L6-v2"
PUBLISHED = {
    "ms-marco-TinyBERT-L2-v2": (2, 128, 0.6984, "right"),
    "ms-marco-MiniLM-L2-v2": (2, 384, 0.7101, "right"),
    "ms-marco-MiniLM-L4-v2": (4, 384, 0.7304, "left"),
    "ms-marco-MiniLM-L6-v2": (6, 384, 0.7430, "left"),
    "ms-marco-MiniLM-L12-v2": (12, 384, 0.7431, "above"),
}
TICKS = (50, 100, 200, 500, 1000)
PLACES = {
    "right": ((7, -3), "left"),
    "left": ((-7, -3), "right"),
    "above": ((8, 7), "right"),
    "over left": ((-7, 4), "right"),
}


class Point(NamedTuple):
    """What was measured of one model on SHOWN, with its interval."""

    name: str
    layers: int
    value: float
    low: float
    high: float
    place: str


def points() -> Iterator[Point]:
    """The embedded model first."""
    for name, (layers, place) in MEASURED.items():
        system, collections = list(json.loads((RESULT.parent / name).read_text())["systems"].items())[-1]
        found = collections["collections"][SHOWN]["measures"][MEASURE]
        low, high = (found["first_stage"] + bound for bound in found["ci95"])
        yield Point(system, layers, found["reranked"], low, high, place)


def table(document: dict[str, Any]) -> str:
    """A row a collection: BM25, the bi-encoder, the model with its interval against BM25."""
    lines = ["| collection | queries | measure | BM25 | bi-encoder | this model | more than BM25 (95 %) | perfect |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    theirs, ours = (system["collections"] for system in document["systems"].values())
    for name, of_model in ours.items():
        measure = COLLECTIONS[name][1]
        found, bi_encoder = of_model["measures"][measure], theirs[name]["measures"][measure]["reranked"]
        low, high = found["ci95"]
        lines.append(
            f"| {name} | {of_model['queries']} | {measure} | {found['first_stage']:.4f} | {bi_encoder:.4f} | "
            f"**{found['reranked']:.4f}** | {found['difference']:+.4f} ({low:+.4f} to {high:+.4f}) | "
            f"{found['perfect_order']:.4f} |"
        )
    return "\n".join(lines)


def plot(document: dict[str, Any], path: Path) -> None:
    """Quality against speed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    milliseconds = json.loads(SPEED.read_text())["milliseconds"]
    figure, axis = plt.subplots(figsize=(8, 5.5), layout="constrained")
    for name, (layers, hidden, value, place) in PUBLISHED.items():
        offset, side = PLACES[place]
        at = (milliseconds[size_name(layers, hidden)], value)
        axis.plot(*at, "o", color="#999")
        axis.annotate(name, at, xytext=offset, ha=side, textcoords="offset points", fontsize=8)
    for number, point in enumerate(points()):
        x = milliseconds[size_name(point.layers, HIDDEN)] * (
            1 if number == 0 else 0.96
        )  # beside another of as many layers
        color = "#c44" if number == 0 else "#c93"
        axis.errorbar(
            x, point.value, [[point.value - point.low], [point.high - point.value]], fmt="s", color=color, capsize=4
        )
        offset, side = PLACES[point.place]
        axis.annotate(point.name, (x, point.value), xytext=offset, ha=side, textcoords="offset points", fontsize=8)
    levels = document["systems"][BI_ENCODER]["collections"][SHOWN]["measures"][MEASURE]
    for name, level in (("BM25", levels["first_stage"]), ("bi-encoder it starts from", levels["reranked"])):
        axis.axhline(level, color="#446", linestyle=":")
        axis.annotate(name, (min(milliseconds.values()), level), xytext=(0, 3), textcoords="offset points", fontsize=8)
    axis.set(
        xscale="log",
        xlabel="ms for 100 documents, an encoder of this size in int8, 2 cores",
        ylabel=f"{MEASURE}, {SHOWN}",
    )
    axis.set_xticks(TICKS, map(str, TICKS), minor=False)
    axis.minorticks_off()
    axis.set_title("squares: measured here, 95 % interval; grey: the models' own cards, other candidates", fontsize=9)
    figure.savefig(path, dpi=100)


def page(document: dict[str, Any]) -> str:
    beside = "\n".join(
        f"| {point.name} | {point.layers} | {point.value:.4f} | {point.low:.4f} to {point.high:.4f} |"
        for point in points()
    )
    development = development_table(json.loads(DEVELOPMENT.read_text())["rows"])
    published = "\n".join(f"| {name} | {layers} | {value:.4f} |" for name, (layers, _, value, _) in PUBLISHED.items())
    return (
        f"# The embedded model\n\nMeasured by `default_model/evaluate.py`.\n\n{table(document)}\n\n"
        f"![{MEASURE} on {SHOWN} against the time for 100 documents]({RESULT.with_suffix('.png').name})\n\n"
        f"Beside it on {SHOWN}, measured in the same way, a published reranker (published_reranker.py, in int8), and "
        "models that `default_model/curve.py` trains on the same data (the interval is that of the "
        "difference to BM25, around its level):\n\n"
        f"| model | layers | {MEASURE} | 95 % |\n|---|---|---|---|\n{beside}\n\n"
        f"Published rerankers on {SHOWN}, from {SOURCE}; trained on all of MS MARCO (500,000 queries), their "
        f"candidates are not stated:\n\n| model | layers | {MEASURE} |\n|---|---|---|\n{published}\n\n"
        "On the development sets, BM25 (of a question's own candidates their order in the file), the bi-encoder, and "
        f"what the command makes with each seed (`make default-seeds`):\n\n{development}\n"
    )


def main() -> None:
    document = json.loads(RESULT.read_text())
    RESULT.with_name("README.md").write_text(page(document))
    plot(document, RESULT.with_suffix(".png"))
    figures.main()


if __name__ == "__main__":
    main()
