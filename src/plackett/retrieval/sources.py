"""Collections by name, each with a first stage: BEIR folders, files of lists, NanoBEIR, TREC files."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from plackett._arguments import check_fields
from plackett.checkpoints.hub import commit_of, find_file
from plackett.data import Columns, check_matched, read_collection, read_qrels, read_run
from plackett.data.documents import read_corpus, read_queries
from plackett.data.nanobeir import is_nanobeir, read_nanobeir
from plackett.data.rows import NO_COLUMNS
from plackett.errors import DataError, SettingError
from plackett.records import Collection, Qrel
from plackett.retrieval.first_stage import BY_BM25, FirstStageSettings, with_first_stage


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Sources of collections: names for `read_named`, TREC files, or one name with files that override its parts.

    run: a first stage as a TREC run. qrels: judgements. queries, corpus: texts (JSON lines, `.tsv` or Parquet), needed
    only to score pairs. first_stage: ranks every corpus; None keeps a collection's own run, or ranks by BM25 if it has
    none. columns: the column names of all files of lists and texts.
    """

    data: Sequence[str] = ()
    split: str = "test"
    run: Path | None = None
    qrels: Path | None = None
    queries: Path | None = None
    corpus: Path | None = None
    first_stage: FirstStageSettings | None = None
    columns: Columns = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.run is not None and self.first_stage is not None:
            raise SettingError("--run is a first stage; leave out --first-stage and its options")

    def names(self) -> list[str | Path]:
        """Return the names and paths of all inputs."""
        return [*self.data, *(path for path in (self.run, self.qrels, self.queries, self.corpus) if path is not None)]

    def read(self, depth: int, *, show_progress: bool = False) -> list[Collection]:
        """Read the collections, each with `depth` candidates per query unless it comes with a run."""
        if not self.data:
            return [self._from_files(depth, show_progress)]

        collections = [item for name in self.data for item in read_named(name, split=self.split, columns=self.columns)]
        files = {"--run": self.run, "--qrels": self.qrels, "--queries": self.queries, "--corpus": self.corpus}
        given = [name for name, path in files.items() if path is not None]
        if given and len(collections) > 1:
            raise SettingError(
                f"{', '.join(given)} can override parts of a single collection, not of {len(collections)}"
            )
        _check_names(collections)
        return [self._ranked(item, depth, show_progress) for item in collections]

    def _from_files(self, depth: int, show_progress: bool) -> Collection:
        if self.qrels is not None and self.run is not None:
            return check_matched(self._with_files(Collection(self.run.name, {}, {}, (), ())))
        if self.qrels is not None and self.queries is not None and self.corpus is not None:
            return self._ranked(Collection(self.corpus.name, {}, {}, (), ()), depth, show_progress)
        raise SettingError(
            "name a collection with --data; or pass --qrels, with a first stage as --run or with --queries and --corpus"
        )

    def _ranked(self, collection: Collection, depth: int, show_progress: bool) -> Collection:
        return first_stage(self._with_files(collection), depth, self.first_stage, show_progress=show_progress)

    def _with_files(self, collection: Collection) -> Collection:
        files = {"qrels": self.qrels, "queries": self.queries, "corpus": self.corpus}
        names = {part: path.name for part, path in files.items() if path}
        origin = replace(collection.origin, files={**collection.origin.files, **names})
        return replace(
            collection,
            run=read_run(self.run) if self.run else collection.run,
            qrels=_judgements(self.qrels) if self.qrels else collection.qrels,
            queries=read_queries(self.queries, columns=self.columns) if self.queries else collection.queries,
            corpus=read_corpus(self.corpus, columns=self.columns) if self.corpus else collection.corpus,
            origin=replace(origin, first_stage=self.run.name) if self.run else origin,
        )


def _judgements(path: Path) -> list[Qrel]:
    qrels = list(read_qrels(path))
    if not qrels:
        raise DataError(f"{path} contains no judgements; a line is a query id, 0, a document id and a grade")
    return qrels


def read_named(name: str, *, split: str = "test", columns: Columns = NO_COLUMNS) -> list[Collection]:
    """Read `nanobeir`, `nanobeir:msmarco,nq` or a copy of NanoBEIR, a BEIR folder, or a file of lists (`hf://` too)."""
    head, _, names = name.partition(":")
    if head == "nanobeir":
        return read_nanobeir(names=[item for item in names.split(",") if item])
    path = find_file(name)
    if is_nanobeir(path):
        return read_nanobeir(path)
    collection = read_collection(path, split=split, columns=columns)
    if not name.startswith("hf://"):
        return [collection]
    return [replace(collection, origin=replace(collection.origin, source=name, revision=commit_of(path)))]


def read_one(
    name: str, depth: int, *, split: str = "test", columns: Columns = NO_COLUMNS, show_progress: bool = False
) -> Collection:
    """Read the only collection of this name, with a first stage. Raises SettingError if the name means several."""
    [collection, *more] = Sources(data=[name], split=split, columns=columns).read(depth, show_progress=show_progress)
    if more:
        raise SettingError(f"{name} is {len(more) + 1} collections; name one, such as nanobeir:nq")
    return collection


def first_stage(
    collection: Collection, depth: int, settings: FirstStageSettings | None = None, *, show_progress: bool = False
) -> Collection:
    """Return the collection with the run of a first stage; without settings, its own run or BM25's."""
    check_matched(collection)
    if settings is None and collection.run:
        return collection
    return with_first_stage(collection, settings or BY_BM25, depth=depth, show_progress=show_progress)


def _check_names(collections: Sequence[Collection]) -> None:
    names = [item.name for item in collections]
    if len(set(names)) < len(names):
        raise SettingError(
            f"two collections have the same name ({', '.join(sorted(names))}); rename a file or a folder"
        )
