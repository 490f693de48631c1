"""What people name -> collections with a first stage: BEIR folders, files of lists, NanoBEIR, TREC files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from plackett.checkpoints.hub import commit_of, find_file
from plackett.data import read_collection, read_qrels, read_run, read_texts
from plackett.data.nanobeir import is_nanobeir, read_nanobeir
from plackett.errors import SettingError
from plackett.records import Collection
from plackett.retrieval.hard_negatives import with_bm25


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where collections come from: names for `read_named`, or TREC files; or one name and files in place of its parts.

    run: the first stage; qrels: judgements; queries and corpus: JSON lines, `.tsv` or Parquet, which only the texts of
    a checkpoint's pairs need.
    """

    data: Sequence[str] = ()
    split: str = "test"
    run: Path | None = None
    qrels: Path | None = None
    queries: Path | None = None
    corpus: Path | None = None

    def read(self, depth: int) -> list[Collection]:
        """The collections; where one has no first stage, BM25's first `depth`."""
        files = {"--run": self.run, "--qrels": self.qrels, "--queries": self.queries, "--corpus": self.corpus}
        given = [name for name, path in files.items() if path is not None]
        if not self.data:
            if self.run is None or self.qrels is None:
                raise SettingError("name a collection with --data, or a first stage with --run and qrels with --qrels")
            return [self._with_files(Collection(self.run.name, {}, {}, (), ()))]
        collections = [item for name in self.data for item in read_named(name, split=self.split)]
        if given and len(collections) > 1:
            raise SettingError(f"{', '.join(given)} can go with one collection, not with {len(collections)}")
        _check_names(collections)
        return [first_stage(self._with_files(item), depth) for item in collections]

    def _with_files(self, collection: Collection) -> Collection:
        files = {"qrels": self.qrels, "queries": self.queries, "corpus": self.corpus}
        names = {part: path.name for part, path in files.items() if path}
        origin = replace(collection.origin, files={**collection.origin.files, **names})
        return replace(
            collection,
            run=read_run(self.run) if self.run else collection.run,
            qrels=list(read_qrels(self.qrels)) if self.qrels else collection.qrels,
            queries=read_texts(self.queries) if self.queries else collection.queries,
            corpus=read_texts(self.corpus) if self.corpus else collection.corpus,
            origin=replace(origin, first_stage=self.run.name) if self.run else origin,
        )


def read_named(name: str, *, split: str = "test") -> list[Collection]:
    """`nanobeir`, `nanobeir:msmarco,nq`, a local copy of NanoBEIR, a BEIR folder, a file of lists, an `hf://` file."""
    head, _, names = name.partition(":")
    if head == "nanobeir":
        return read_nanobeir(names=[item for item in names.split(",") if item])
    path = find_file(name)
    if is_nanobeir(path):
        return read_nanobeir(path)
    collection = read_collection(path, split=split)
    if not name.startswith("hf://"):
        return [collection]
    return [replace(collection, origin=replace(collection.origin, source=name, revision=commit_of(path)))]


def read_one(name: str, depth: int, *, split: str = "test") -> Collection:
    """The one collection of this name, with a first stage; SettingError where the name stands for several."""
    [collection, *more] = Sources(data=[name], split=split).read(depth)
    if more:
        raise SettingError(f"{name} is {len(more) + 1} collections; name one, such as nanobeir:nq")
    return collection


def first_stage(collection: Collection, depth: int) -> Collection:
    """The collection with a run: its own, else BM25's."""
    return collection if collection.run else with_bm25(collection, depth=depth)


def _check_names(collections: Sequence[Collection]) -> None:
    names = [item.name for item in collections]
    if len(set(names)) < len(names):
        raise SettingError(f"two collections have one name ({', '.join(sorted(names))}); rename a file or a folder")
