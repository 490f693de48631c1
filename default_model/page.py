"""The page and the plot of the embedded model, from what evaluate.py measured of it and of others.

    python -m default_model.page

Writes README.md and quality.png beside the results, and the tables of README.md and docs/. The plot has TREC DL 2019
against the time that 100 documents take with each size of encoder in our int8 (speed.py). The figures of published
rerankers come from their cards, which rerank other candidates than BM25's hundred; one of them is measured here too.
Once layers.py has measured the embedded model with fewer layers, the page ends with a table and a plot of them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from default_model.development import MEASURES, gain
from default_model.development import table as development_table
from default_model.evaluate import BI_ENCODER, COLLECTIONS, RESULT
from default_model.speed import RESULT as SPEED
from default_model.speed import size_name
from documentation import figures

DEVELOPMENT, LAYERS = (RESULT.with_name(f"{name}.json") for name in ("development", "layers"))
SHOWN, MEASURE = "TREC DL 2019", "nDCG@10"
HIDDEN = 384
PUBLISHED_HERE = "published.json"
BEFORE = "the six layers that shipped before"  # a row of DEVELOPMENT
# Results of evaluate.py -> (layers, where the name stands): the embedded model first.
MEASURED = {RESULT.name: (12, "left"), PUBLISHED_HERE: (12, "over left"), "previous.json": (6, "right")}
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

Figures = Mapping[str, Any]  # of a collection, as evaluate.py writes them


class System(NamedTuple):
    """A reranker and its results."""

    name: str
    layers: int
    place: str
    megabytes: float
    collections: Mapping[str, Figures]
    per_query: Mapping[str, Mapping[str, float]]


def systems() -> tuple[Mapping[str, Figures], list[System]]:
    """The collections of the bi-encoder, and the rerankers, the embedded model first."""
    documents = {file: json.loads((RESULT.parent / file).read_text()) for file in MEASURED}
    rerankers = []
    for file, (layers, place) in MEASURED.items():
        document = documents[file]
        name, of_model = list(document["systems"].items())[-1]
        found = (document["megabytes"], of_model["collections"], document.get("per_query", {}))
        rerankers.append(System(name, layers, place, *found))
    return documents[RESULT.name]["systems"][BI_ENCODER]["collections"], rerankers


def models_table(bi_encoder: Mapping[str, Figures], rerankers: Sequence[System]) -> str:
    """One row per model, one column per collection."""
    milliseconds = json.loads(SPEED.read_text())["milliseconds"]
    shown = [name for name in COLLECTIONS if name in rerankers[0].collections]
    heading = "".join(f" {name} {COLLECTIONS[name][1]} |" for name in shown)
    lines = [f"| model | layers | MB | ms |{heading}", "|:---|---:|---:|---:|" + "---:|" * len(shown)]

    first_stage = [_found(bi_encoder[name], name)["first_stage"] for name in shown]
    by_cosine = [_found(bi_encoder[name], name)["reranked"] for name in shown]
    lines += [f"| {name} | | | |{_cells(values)}" for name, values in (("BM25", first_stage), (BI_ENCODER, by_cosine))]
    for system in rerankers:
        measured = system.collections
        values = [_found(measured[name], name)["reranked"] if name in measured else None for name in shown]
        time = milliseconds[size_name(system.layers, HIDDEN)]
        lines.append(f"| {system.name} | {system.layers} | {system.megabytes} | {time:.0f} |{_cells(values)}")
    return "\n".join(lines)


def _found(of_collection: Figures, name: str) -> Figures:
    figures: Figures = of_collection["measures"][COLLECTIONS[name][1]]
    return figures


def _cells(values: Sequence[float | None]) -> str:
    return "".join(" |" if value is None else f" {value:.4f} |" for value in values)


def intervals_table(ours: System, published: System) -> str:
    """One row per collection: the gains of the embedded model over BM25 and over the published model."""
    lines = ["| collection | queries | measure | gain over BM25 (95%) | gain over the published model (95%) | p |"]
    lines.append("|---|---|---|---|---|---|")
    for name, of_model in ours.collections.items():
        found = _found(of_model, name)
        cells = [name, of_model["queries"], COLLECTIONS[name][1], _difference(found), "not measured", ""]
        if name in published.per_query:
            beside = gain(ours.per_query[name], published.per_query[name])
            cells[-2:] = [_difference(beside), f"{beside['p']:.4f}"]
        lines.append("".join(f"| {cell} " for cell in cells) + "|")
    return "\n".join(lines)


def gains_table(gains: Mapping[str, Any]) -> str:
    """One row per model, one column per development set: the gain over another model, and its p-value."""
    lines = ["| |" + "".join(f" {name} |" for name in MEASURES), "|---|" + "---|" * len(MEASURES)]
    for name, found in gains["of"].items():
        cells = (f" {_difference(of_set)}, p {of_set['p']:.4f} |" for of_set in found.values())
        lines.append(f"| {name} |" + "".join(cells))
    return "\n".join(lines)


def _difference(found: Figures) -> str:
    low, high = found["ci95"]
    return f"{found['difference']:+.4f} ({low:+.4f} to {high:+.4f})"


class Size(NamedTuple):
    """The embedded model with fewer layers: its time for 100 documents and its figures on the development sets."""

    name: str
    milliseconds: float
    figures: Mapping[str, float]


def sizes(rows: Mapping[str, Mapping[str, float]]) -> list[Size]:
    """Fewest layers first."""
    milliseconds = json.loads(SPEED.read_text())["milliseconds"]
    return [
        Size(f"{layers} layers", milliseconds[size_name(int(layers), HIDDEN)], rows[layers])
        for layers in sorted(rows, key=int)
    ]


def layers_section(found: Sequence[Size], measured: Mapping[str, Any]) -> str:
    """Return what the page says about fewer layers."""
    rows = {f"{size.name}, {size.milliseconds:.0f} ms": size.figures for size in found}
    return (
        "The embedded model with fewer layers: evenly spaced layers are kept, then trained for "
        f"{measured['steps']} steps of {measured['pairs of a step']} pairs to reproduce the hidden states, the logits "
        "and the order of all twelve. `make default-layers` repeats it. The same development sets, in int8:\n\n"
        f"{development_table(rows)}\n\n![The mean of the development sets against the time](layers.png)\n"
    )


def layers_plot(found: Sequence[Size], path: Path) -> None:
    """The mean of the development sets against the time, with a level for the six layers that shipped before."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    points = [(size.milliseconds, fmean(size.figures.values())) for size in found]
    axis.plot(*zip(*points, strict=True), "s-", color="#c44")
    for size, point in zip(found, points, strict=True):
        axis.annotate(size.name, point, xytext=(7, -11), textcoords="offset points", fontsize=8)
    before = fmean(json.loads(DEVELOPMENT.read_text())["rows"][BEFORE].values())
    axis.axhline(before, color="#446", linestyle=":")
    axis.annotate(BEFORE, (0, before), xytext=(5, 3), textcoords="offset points", fontsize=8)
    axis.set(xlabel="ms for 100 documents in int8, 2 cores", ylabel="mean of the development sets", xlim=(0, None))
    figure.savefig(path, dpi=100)


def plot(bi_encoder: Mapping[str, Figures], rerankers: Sequence[System], path: Path) -> None:
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
    for number, system in enumerate(rerankers):
        found = _found(system.collections[SHOWN], SHOWN)
        low, high = (found["first_stage"] + bound for bound in found["ci95"])
        x = milliseconds[size_name(system.layers, HIDDEN)] * (1 if number == 0 else 0.96)  # beside another of its size
        errors = [[found["reranked"] - low], [high - found["reranked"]]]
        axis.errorbar(x, found["reranked"], errors, fmt="s", color="#c44" if number == 0 else "#c93", capsize=4)
        offset, side = PLACES[system.place]
        axis.annotate(
            system.name, (x, found["reranked"]), xytext=offset, ha=side, textcoords="offset points", fontsize=8
        )
    levels = _found(bi_encoder[SHOWN], SHOWN)
    for name, level in (("BM25", levels["first_stage"]), ("bi-encoder", levels["reranked"])):
        axis.axhline(level, color="#446", linestyle=":")
        axis.annotate(name, (min(milliseconds.values()), level), xytext=(0, 3), textcoords="offset points", fontsize=8)
    axis.set(
        xscale="log",
        xlabel="ms for 100 documents, an encoder of this size in int8, 2 cores",
        ylabel=f"{MEASURE}, {SHOWN}",
    )
    axis.set_xticks(TICKS, map(str, TICKS), minor=False)
    axis.minorticks_off()
    axis.set_title(
        "squares: measured here, 95% interval; grey: from the models' cards, with other candidates", fontsize=9
    )
    figure.savefig(path, dpi=100)


def page(bi_encoder: Mapping[str, Figures], rerankers: Sequence[System]) -> str:
    """Return the text of the page."""
    ours, published, *_ = rerankers
    measured = json.loads(DEVELOPMENT.read_text())
    development, gains = development_table(measured["rows"]), measured["gains"]
    cards = "\n".join(f"| {name} | {layers} | {value:.4f} |" for name, (layers, _, value, _) in PUBLISHED.items())
    speed = json.loads(SPEED.read_text())["provenance"]
    return (
        "# The embedded model\n\nEvery model reranks the same candidates: the first 100 of BM25, or all documents of a "
        "question in WikiQA and MEDIQA. The rerankers run in int8. MB is the size of the graph; ms is the time for one "
        f"query with 100 passages on {speed['threads']} threads ({speed['processor']}).\n\n"
        f"{models_table(bi_encoder, rerankers)}\n\n"
        f"![{MEASURE} on {SHOWN} against the time for 100 documents]({RESULT.with_suffix('.png').name})\n\n"
        f"Differences between {ours.name} and two baselines, with paired bootstrap intervals over the queries. The "
        f"p-value comes from a paired randomisation test against {published.name}:\n\n"
        f"{intervals_table(ours, published)}\n\n"
        "To reproduce this page, run `make default-model`, which trains, measures and writes it. "
        f"`make default-published` measures {published.name}.\n\n"
        f"Published rerankers on {SHOWN}, as listed on [one of their cards]({SOURCE}). They were trained on all of "
        "MS MARCO (500,000 queries). The card does not state the candidates:\n\n"
        f"| model | layers | {MEASURE} |\n|---|---|---|\n{cards}\n\n"
        "The defaults of FlashRank and fastembed are not included, because no installable package contains their "
        "weights.\n\n"
        "On the development sets, which decide which model ships (if a question has its own candidates, the first "
        f"stage is their order in the file):\n\n{development}\n\n"
        f"`make default-seeds` repeats it. The gains over {gains['over']}, with paired bootstrap intervals and the "
        f"p-values of paired randomisation tests:\n\n{gains_table(gains)}\n"
    )


def main() -> None:
    bi_encoder, rerankers = systems()
    text = page(bi_encoder, rerankers)
    if LAYERS.is_file():  # from `make default-layers`
        measured = json.loads(LAYERS.read_text())
        found = sizes(measured["rows"])
        text += "\n" + layers_section(found, measured)
        layers_plot(found, RESULT.with_name("layers.png"))
    RESULT.with_name("README.md").write_text(text)
    plot(bi_encoder, rerankers, RESULT.with_suffix(".png"))
    figures.main()


if __name__ == "__main__":
    main()
