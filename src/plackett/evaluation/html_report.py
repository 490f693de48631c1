"""Comparisons -> one HTML page that needs no other file and no network: tables, bars, curves, queries to look at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

import jinja2

from plackett.evaluation.comparison import Comparison
from plackett.ranking import best_first, by_query
from plackett.records import Collection, ScoredDoc

SHOWN_QUERIES = 10
SHOWN_DOCUMENTS = 5
SHOWN_CHARACTERS = 300
WIDTH, HEIGHT = 720.0, 200.0  # of a picture, in its own units


@dataclass(frozen=True)
class Bar:
    """One query's difference in a picture of WIDTH by HEIGHT."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str


@dataclass(frozen=True)
class Curve:
    """A line over depths: points in a picture of WIDTH by HEIGHT, with the value at each."""

    name: str
    kind: str
    points: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class Document:
    """A place in a ranking: the grade is None where nobody judged."""

    doc_id: str
    grade: int | None
    text: str
    moved: str


@dataclass(frozen=True)
class Query:
    """A query with its first documents, before and after."""

    query_id: str
    text: str
    before_value: float
    after_value: float
    before: Sequence[Document]
    after: Sequence[Document]


@dataclass(frozen=True)
class System:
    """What one system did to the queries of a collection, by the first measure."""

    name: str
    bars: Sequence[Bar]
    helped: Sequence[Query]
    hurt: Sequence[Query]


@dataclass(frozen=True)
class Section:
    """One collection: its figures at all depths, the curve over these, and its systems."""

    comparisons: Sequence[Comparison]
    curves: Sequence[Curve]
    depths: Sequence[tuple[float, int]]
    systems: Sequence[System]


def page(
    comparisons: Sequence[Comparison],
    collections: Sequence[Collection],
    runs: Mapping[tuple[str, str], Sequence[ScoredDoc]],
) -> str:
    """The page. `runs` has each system's run by collection and system; the mean over collections has none."""
    by_name = {collection.name: collection for collection in collections}
    sections = []
    for name, group in groupby(comparisons, key=lambda item: item.collection):
        of_one = list(group)
        greatest = max(item.depth for item in of_one)
        deepest = [item for item in of_one if item.depth == greatest and item.per_query]
        curves, depths = _curves(of_one)
        systems = [_system(item, by_name[name], runs[name, item.system]) for item in deepest]
        sections.append(Section(of_one, curves, depths, systems))
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=True)
    template = environment.from_string(
        files("plackett.evaluation").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    measure = next(iter(comparisons[0].reranked))
    return template.render(sections=sections, measure=measure, width=WIDTH, height=HEIGHT)


def _system(comparison: Comparison, collection: Collection, run: Sequence[ScoredDoc]) -> System:
    values = next(iter(comparison.per_query.values()))
    changed = {key: after - before for key, (before, after) in values.items()}
    ordered = sorted(changed, key=lambda key: -changed[key])
    before, after = (by_query(scored) for scored in (collection.run, run))
    grades: dict[str, dict[str, int]] = {}
    for qrel in collection.qrels:
        grades.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance

    def query(query_id: str) -> Query:
        lists = [best_first(found.get(query_id, [])) for found in (before, after)]
        ranks = [{scored.doc_id: rank for rank, scored in enumerate(found, start=1)} for found in lists]
        shown = [
            [
                _document(scored.doc_id, rank, other, grades.get(query_id, {}), collection)
                for rank, scored in enumerate(found[:SHOWN_DOCUMENTS], start=1)
            ]
            for found, other in zip(lists, (None, ranks[0]), strict=True)
        ]
        return Query(query_id, collection.queries.get(query_id, query_id), *values[query_id], *shown)

    helped = [query(key) for key in ordered[:SHOWN_QUERIES] if changed[key] > 0]
    hurt = [query(key) for key in reversed(ordered[-SHOWN_QUERIES:]) if changed[key] < 0]
    return System(comparison.system, _bars(ordered, values, collection), helped, hurt)


def _document(
    doc_id: str, rank: int, ranks_before: Mapping[str, int] | None, grades: Mapping[str, int], collection: Collection
) -> Document:
    moved = ""
    if ranks_before is not None:
        before = ranks_before.get(doc_id)
        moved = "new" if before is None else "" if before == rank else f"from {before}"
    text = " ".join(collection.corpus.get(doc_id, "").split())
    short = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
    return Document(doc_id, grades.get(doc_id), short, moved)


def _bars(ordered: Sequence[str], values: Mapping[str, tuple[float, float]], collection: Collection) -> Sequence[Bar]:
    """One a query, the most helped first; the middle of the picture is no change."""
    largest = max((abs(after - before) for before, after in values.values()), default=0.0) or 1.0
    step = WIDTH / len(ordered)
    bars = []
    for place, query_id in enumerate(ordered):
        before, after = values[query_id]
        height = (after - before) / largest * HEIGHT / 2
        kind = "helped" if height > 0 else "hurt" if height < 0 else "same"
        text = collection.queries.get(query_id, query_id)
        bars.append(
            Bar(
                x=round(place * step, 2),
                y=round(HEIGHT / 2 - max(height, 0), 2),
                width=round(step * 0.85, 2),
                height=round(max(abs(height), 0.75), 2),
                kind=kind,
                label=f"{text}: {before:.4f} to {after:.4f}, {after - before:+.4f}",
            )
        )
    return bars


def _curves(comparisons: Sequence[Comparison]) -> tuple[Sequence[Curve], Sequence[tuple[float, int]]]:
    """The first measure over depths, on a logarithmic axis; nothing for one depth."""
    depths = sorted({item.depth for item in comparisons})
    if len(depths) < 2:
        return (), ()
    measure = next(iter(comparisons[0].reranked))
    one = [item for item in comparisons if item.system == comparisons[0].system]
    lines = [("best order", "bound", [item.perfect[measure] for item in one])]
    lines.append(("first stage", "first", [item.first_stage[measure] for item in one]))
    for number, name in enumerate(dict.fromkeys(item.system for item in comparisons)):
        values = [item.reranked[measure] for item in comparisons if item.system == name]
        lines.append((name, f"system{number % 4}", values))
    top = max(value for *_, of_line in lines for value in of_line) or 1.0
    low, high = math.log(depths[0]), math.log(depths[-1])
    places = [round(20 + (math.log(depth) - low) / (high - low) * (WIDTH - 60), 1) for depth in depths]
    curves = [
        Curve(
            name,
            kind,
            [
                (x, round(HEIGHT - 10 - value / top * (HEIGHT - 30), 1), f"{name}, {depth} candidates: {value:.4f}")
                for x, depth, value in zip(places, depths, of_line, strict=True)
            ],
        )
        for name, kind, of_line in lines
    ]
    return curves, list(zip(places, depths, strict=True))
