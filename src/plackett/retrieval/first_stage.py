"""First stages, which rank a corpus before the reranker. To add one, list a class with `run` in FIRST_STAGES."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from plackett._arguments import check_fields
from plackett._extras import extra
from plackett.errors import SettingError
from plackett.records import Collection, ScoredDoc
from plackett.retrieval.bm25 import BM25, Splitting


class FirstStage(Protocol):
    """A ranking function over one corpus."""

    @property
    def description(self) -> str:
        """The ranking function in words, for cards and reports; different rankings have different descriptions."""
        ...

    def run(self, queries: Mapping[str, str], *, depth: int) -> list[ScoredDoc]:
        """Return at most the `depth` best documents per query, best first."""
        ...


@dataclass(frozen=True, kw_only=True)
class FirstStageSettings:
    """The choice of a first stage. Raises SettingError for an unknown name or settings that do not fit it.

    name: an entry of FIRST_STAGES, followed by a colon and its argument if it takes one: `bm25`,
    `bi_encoder:CHECKPOINT`. splitting: how BM25 splits text.
    """

    name: str = "bm25"
    splitting: Splitting = field(default_factory=Splitting)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.entry not in FIRST_STAGES:
            raise SettingError.unknown("first stage", self.entry, FIRST_STAGES)

    @classmethod
    def of(
        cls,
        *,
        name: str | None = None,
        language: str | None = None,
        stemmer: str | None = None,
        ngrams: int | None = None,
    ) -> "FirstStageSettings":
        """Build the settings from an option or a recipe; None means the default."""
        splitting = Splitting(language=language or "english", stemmer=stemmer, ngrams=ngrams)
        return cls(name=name or "bm25", splitting=splitting)

    @property
    def entry(self) -> str:
        """The key in FIRST_STAGES."""
        return self.name.partition(":")[0]

    @property
    def argument(self) -> str:
        """Text after the colon."""
        return self.name.partition(":")[2]

    def build(self, corpus: Mapping[str, str], *, show_progress: bool = False) -> FirstStage:
        """Build the first stage for a corpus."""
        return FIRST_STAGES[self.entry](corpus, self, show_progress)


def with_first_stage(
    collection: Collection, settings: FirstStageSettings, *, depth: int, show_progress: bool = False
) -> Collection:
    """Return the collection with the run of a first stage, replacing any other."""
    stage = settings.build(collection.corpus, show_progress=show_progress)
    origin = replace(collection.origin, first_stage=stage.description)
    return replace(collection, run=stage.run(collection.queries, depth=depth), origin=origin)


def _bm25(corpus: Mapping[str, str], settings: FirstStageSettings, show_progress: bool) -> FirstStage:
    if settings.argument:
        raise SettingError(f"{settings.name}: bm25 takes no argument; use bm25 alone")
    return BM25(corpus, settings.splitting)


def _bi_encoder(corpus: Mapping[str, str], settings: FirstStageSettings, show_progress: bool) -> FirstStage:
    if not settings.argument:
        raise SettingError("bi_encoder needs a checkpoint: use bi_encoder:FOLDER or bi_encoder:HUB_ID")
    if settings.splitting != Splitting():
        raise SettingError(f"language, stemmer and ngrams are settings of bm25, not of {settings.name}")
    with extra("train"):  # torch, which BM25 does not need
        from plackett.bi_encoder import BiEncoder
        from plackett.retrieval.dense import Dense

    return Dense(BiEncoder(settings.argument), corpus, show_progress=show_progress)


Build = Callable[[Mapping[str, str], FirstStageSettings, bool], FirstStage]  # corpus, settings, show_progress

FIRST_STAGES: dict[str, Build] = {"bm25": _bm25, "bi_encoder": _bi_encoder}
BY_BM25 = FirstStageSettings()  # the default
