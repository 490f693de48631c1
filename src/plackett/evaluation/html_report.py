"""The HTML report: one self-contained page with tables, bars, curves and example queries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

import jinja2

from plackett.evaluation.comparison import Comparison, PairByQuery, Results
from plackett.ranking import best_first, by_query
from plackett.records import Collection, ScoredDoc

SHOWN_QUERIES = 10
SHOWN_DOCUMENTS = 5
SHOWN_CHARACTERS = 300
WIDTH, HEIGHT = 720.0, 200.0  # of a picture, in its own units
COLOURS = 4  # assigned to systems in turn


@dataclass(frozen=True)
class Bar:
    """The difference of one query, in a picture of WIDTH by HEIGHT."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str


@dataclass(frozen=True)
class Curve:
    """A line over depths: points in a picture of WIDTH by HEIGHT, each with its label."""

    name: str
    kind: str
    points: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class Document:
    """A document in a ranking; its grade is None without a judgement, `moved` names its former rank."""

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
    """The effect of one system on the queries of a collection, in the first measure."""

    name: str
    bars: Sequence[Bar]
    helped: Sequence[Query]
    hurt: Sequence[Query]


@dataclass(frozen=True)
class Section:
    """One collection: its figures at all depths, their curve, and its systems."""

    comparisons: Sequence[Comparison]
    curves: Sequence[Curve]
    depths: Sequence[tuple[float, int]]
    systems: Sequence[System]


@dataclass(frozen=True)
class Rankings:
    """The documents of each query before and after, with their grades by query and document."""

    collection: Collection
    grades: Mapping[str, Mapping[str, int]]
    before: Mapping[str, Sequence[ScoredDoc]]
    after: Mapping[str, Sequence[ScoredDoc]]

    @classmethod
    def of(cls, collection: Collection, run: Sequence[ScoredDoc]) -> "Rankings":
        """Compare the collection's first stage with a run."""
        grades: dict[str, dict[str, int]] = {}
        for qrel in collection.qrels:
            grades.setdefault(qrel.query_id, {})[qrel.doc_id] = qrel.relevance
        return cls(collection, grades, by_query(collection.run), by_query(run))

    def query(self, query_id: str, values: tuple[float, float]) -> Query:
        """Return a query's first documents; those after carry their former ranks."""
        before, after = (best_first(run.get(query_id, [])) for run in (self.before, self.after))
        former = {scored.doc_id: rank for rank, scored in enumerate(before, start=1)}
        documents_before = [self._document(scored, "") for scored in before[:SHOWN_DOCUMENTS]]
        documents_after = [
            self._document(scored, _moved(former.get(scored.doc_id), rank))
            for rank, scored in enumerate(after[:SHOWN_DOCUMENTS], start=1)
        ]
        return Query(query_id, self.text(query_id), *values, documents_before, documents_after)

    def text(self, query_id: str) -> str:
        """Return a query's text, or its id if the text is unknown."""
        return self.collection.queries.get(query_id, query_id)

    def _document(self, scored: ScoredDoc, moved: str) -> Document:
        text = " ".join(self.collection.corpus.get(scored.doc_id, "").split())
        short = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
        return Document(scored.doc_id, self.grades.get(scored.query_id, {}).get(scored.doc_id), short, moved)


def page(results: Results) -> str:
    """Render the page."""
    collections = {collection.name: collection for collection in results.collections}
    sections = [
        _section(list(group), collections.get(name), results.runs)
        for name, group in groupby(results.comparisons, key=lambda item: item.collection)
    ]

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=True)
    source = files("plackett.evaluation").joinpath("report.html.jinja").read_text(encoding="utf-8")
    measure = next(iter(results.comparisons[0].measures))
    return environment.from_string(source).render(sections=sections, measure=measure, width=WIDTH, height=HEIGHT)


def _section(
    comparisons: Sequence[Comparison],
    collection: Collection | None,
    runs: Mapping[tuple[str, str], Sequence[ScoredDoc]],
) -> Section:
    """Return a section; queries are shown at the greatest depth, and a mean over collections has none."""
    curves, depths = _curves(comparisons)
    greatest = max(item.depth for item in comparisons)
    systems = [
        _system(item, Rankings.of(collection, runs[item.collection, item.system]))
        for item in comparisons
        if collection is not None and item.depth == greatest
    ]
    return Section(comparisons, curves, depths, systems)


def _system(comparison: Comparison, rankings: Rankings) -> System:
    values = next(iter(comparison.measures.values())).per_query
    changed = {query_id: after - before for query_id, (before, after) in values.items()}
    ordered = sorted(changed, key=lambda query_id: -changed[query_id])

    helped = [query_id for query_id in ordered[:SHOWN_QUERIES] if changed[query_id] > 0]
    hurt = [query_id for query_id in reversed(ordered[-SHOWN_QUERIES:]) if changed[query_id] < 0]
    return System(
        comparison.system,
        _bars(ordered, values, rankings),
        [rankings.query(query_id, values[query_id]) for query_id in helped],
        [rankings.query(query_id, values[query_id]) for query_id in hurt],
    )


def _moved(before: int | None, rank: int) -> str:
    if before is None:
        return "new"
    return "" if before == rank else f"from {before}"


def _bars(ordered: Sequence[str], values: PairByQuery, rankings: Rankings) -> list[Bar]:
    """Draw one bar per query, most improved first; the middle of the picture means no change."""
    largest = max((abs(after - before) for before, after in values.values()), default=0.0) or 1.0
    step = WIDTH / len(ordered)
    return [
        _bar(place * step, step * 0.85, values[query_id], largest, rankings.text(query_id))
        for place, query_id in enumerate(ordered)
    ]


def _bar(x: float, width: float, values: tuple[float, float], largest: float, text: str) -> Bar:
    before, after = values
    height = (after - before) / largest * HEIGHT / 2
    return Bar(
        x=round(x, 2),
        y=round(HEIGHT / 2 - max(height, 0), 2),
        width=round(width, 2),
        height=round(max(abs(height), 0.75), 2),
        kind="helped" if height > 0 else "hurt" if height < 0 else "same",
        label=f"{text}: {before:.4f} to {after:.4f}, {after - before:+.4f}",
    )


def _curves(comparisons: Sequence[Comparison]) -> tuple[Sequence[Curve], Sequence[tuple[float, int]]]:
    """Draw the first measure over depths, on a logarithmic axis; nothing for a single depth."""
    depths = sorted({item.depth for item in comparisons})
    if len(depths) < 2:
        return (), ()

    lines = _lines(comparisons)
    top = max(value for *_, values in lines for value in values) or 1.0
    low, high = math.log(depths[0]), math.log(depths[-1])
    places = [(round(20 + (math.log(depth) - low) / (high - low) * (WIDTH - 60), 1), depth) for depth in depths]
    return [_curve(name, kind, values, places, top) for name, kind, values in lines], places


def _lines(comparisons: Sequence[Comparison]) -> list[tuple[str, str, list[float]]]:
    """Return name, kind and values by depth of each line: first the bounds, then the systems."""
    systems = dict.fromkeys(item.system for item in comparisons)
    measured = {
        system: [next(iter(item.measures.values())) for item in comparisons if item.system == system]
        for system in systems
    }
    one = measured[comparisons[0].system]
    return [
        ("best order", "bound", [item.perfect_order for item in one]),
        ("first stage", "first", [item.first_stage for item in one]),
        *(
            (system, f"system{number % COLOURS}", [item.reranked for item in measured[system]])
            for number, system in enumerate(systems)
        ),
    ]


def _curve(name: str, kind: str, values: Sequence[float], places: Sequence[tuple[float, int]], top: float) -> Curve:
    points = [
        (x, round(HEIGHT - 10 - value / top * (HEIGHT - 30), 1), f"{name}, {depth} candidates: {value:.4f}")
        for (x, depth), value in zip(places, values, strict=True)
    ]
    return Curve(name, kind, points)
