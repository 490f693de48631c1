"""Measure checkpoints and runs on collections, and write reports and cards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from plackett._arguments import COUNT, checked
from plackett.cross_encoder import CrossEncoder
from plackett.data import read_run
from plackett.engines.loading import NO_OPTIONS, Options
from plackett.errors import SettingError
from plackett.evaluation.comparison import Comparison, Results, compare_run, mean_of, with_holm
from plackett.evaluation.measures import MEASURES, check_measures
from plackett.evaluation.report import REPORTS
from plackett.facts import Evaluation
from plackett.publishing.storage import read_facts
from plackett.ranking import judged_only
from plackett.records import Collection, ScoredDoc
from plackett.retrieval.reranking import rerank
from plackett.retrieval.sources import Sources
from plackett.workflows.outputs import NO_OUTPUTS, Outputs, add_to_card, text_writer

Runs = Mapping[tuple[str, str], Sequence[ScoredDoc]]  # by collection and system


@dataclass(frozen=True)
class Evaluated:
    """The results of an evaluation, and one line for each output that could not be written."""

    results: Results
    problems: tuple[str, ...] = ()

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """A comparison for each collection, depth and system, then the means over several collections."""
        return self.results.comparisons


@checked()
def evaluate(
    systems: Sequence[str],
    sources: Sources,
    *,
    depths: Sequence[Annotated[int, COUNT]],
    measures: Sequence[str] = MEASURES,
    options: Options = NO_OPTIONS,
    outputs: Outputs = NO_OUTPUTS,
) -> Evaluated:
    """Measure checkpoints and runs (systems that are files) on collections, scoring once for all depths.

    `options` apply to all checkpoints.

    Outputs are checked before anything is scored. If writing one fails afterwards, no error is raised, because that
    would lose the results: the return value names it.
    """
    check_measures(measures)
    _check_given(systems, depths)
    outputs.check(REPORTS, inputs=[*systems, *sources.names()])
    if outputs.card:
        _check_defaults(options)

    names, depths = _short_names(systems), sorted(set(depths))
    collections = sources.read(max(depths), show_progress=True)
    checkpoints = [system for system in systems if not Path(system).is_file()]
    raw = replace(options, activation="identity")
    encoders = {name: CrossEncoder.from_options(name, raw) for name in checkpoints}
    cards = {system: read_facts(Path(system)) for system in encoders} if outputs.card else {}

    runs = _runs(names, encoders, collections, max(depths))
    comparisons = _comparisons(collections, runs, depths, measures)
    results = Results(comparisons, collections, runs, per_query=outputs.per_query)

    problems = outputs.write({kind: text_writer(partial(text, results)) for kind, text in REPORTS.items()})
    for system, facts in cards.items():
        problems += add_to_card(Path(system), facts, _shown(comparisons, names[system], max(depths)))
    return Evaluated(results, tuple(problems))


def _check_given(systems: Sequence[str], depths: Sequence[int]) -> None:
    if not systems or not depths:
        raise SettingError("there is nothing to measure: name a checkpoint or a run, and a depth")


def _check_defaults(options: Options) -> None:
    """Raise SettingError for options that change scores, because a card shows a checkpoint's default behaviour."""
    if options.given:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in options.given)
        raise SettingError(f"a card shows its checkpoint's default behaviour; leave out {given} or --card")


def _shown(comparisons: Iterable[Comparison], system: str, depth: int) -> list[Evaluation]:
    """Return the facts of one system at the depth that its card shows."""
    return [item.facts() for item in comparisons if (item.system, item.depth) == (system, depth)]


def _runs(
    names: Mapping[str, str], encoders: Mapping[str, CrossEncoder], collections: Iterable[Collection], depth: int
) -> Runs:
    return {
        (collection.name, name): _run(system, encoders, collection, depth)
        for collection in collections
        for system, name in names.items()
    }


def _run(system: str, encoders: Mapping[str, CrossEncoder], collection: Collection, depth: int) -> Sequence[ScoredDoc]:
    if system not in encoders:
        return read_run(Path(system))
    judged, _ = judged_only(collection)
    return rerank(encoders[system], judged, depth=depth, show_progress=True)


def _comparisons(
    collections: Sequence[Collection], runs: Runs, depths: Iterable[int], measures: Sequence[str]
) -> list[Comparison]:
    """Compare by collection, depth and system; the means of several collections come last."""
    systems = dict.fromkeys(system for _, system in runs)
    found, means = list[Comparison](), list[Comparison]()
    for depth in depths:
        by_system = {
            system: [
                compare_run(collection, runs[collection.name, system], depth=depth, measures=measures, system=system)
                for collection in collections
            ]
            for system in systems
        }
        for of_collection in zip(*by_system.values(), strict=True):
            found += with_holm(of_collection)
        if len(collections) > 1:
            means += with_holm([mean_of(items) for items in by_system.values()])

    places = {collection.name: place for place, collection in enumerate(collections)}
    return [*sorted(found, key=lambda item: places[item.collection]), *means]


def _short_names(systems: Sequence[str]) -> dict[str, str]:
    """Return the last parts of paths if they are distinct, otherwise the paths as given."""
    if len(set(systems)) < len(systems):
        raise SettingError("a system is named twice")
    short = {name: Path(name).name or name for name in systems}
    return short if len(set(short.values())) == len(short) else {name: name for name in systems}
