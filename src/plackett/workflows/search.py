"""Search the files of a folder: BM25 finds passages in an up-to-date index, and the reranker orders them."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from plackett._files import check_apart, whole_files
from plackett._wording import counted
from plackett.cross_encoder import CrossEncoder
from plackett.errors import DataError
from plackett.explanations import Contribution
from plackett.retrieval.bm25 import BM25, ENGLISH, SAVED, Splitting
from plackett.retrieval.passages import FileState, Passage, read_passages

INDEX = ".plackett-search"
"""Folder of the index, in the searched folder or beside the searched file."""

FILES = "files.json"  # written last: without it, the other files are ignored
IGNORE, EVERYTHING = ".gitignore", "*\n"
FORMAT = 1


@dataclass(frozen=True)
class Found:
    """A passage, its score, and its ranks (from 1) by BM25 alone and by the reranker."""

    passage: Passage
    score: float
    first_rank: int
    rank: int
    explanation: Sequence[Contribution] = ()


@dataclass(frozen=True)
class Index:
    """Numbered passages, and BM25 over them.

    read: number of new or changed files; left_out: files without text; is_kept: whether the index was written.
    """

    passages: Sequence[Passage]
    bm25: BM25
    read: int
    left_out: Sequence[str]
    is_kept: bool = True

    def search(
        self, query: str, encoder: CrossEncoder, *, depth: int, top_k: int | None = None, explain: bool = False
    ) -> list[Found]:
        """Return the `top_k` best of BM25's first `depth` passages, best first."""
        candidates = [int(item.doc_id) for item in self.bm25.run({"": query}, depth=depth)]
        texts = [self.passages[number].text for number in candidates]
        ranked = encoder.rank(query, texts, top_k=top_k, explain=explain)
        return [
            Found(
                self.passages[candidates[item["corpus_id"]]],
                item["score"],
                item["corpus_id"] + 1,
                rank,
                item.get("explanation", ()),
            )
            for rank, item in enumerate(ranked, start=1)
        ]


def open_index(source: Path, folder: Path | None = None, splitting: Splitting = ENGLISH) -> Index:
    """Update and read the index of a file or folder; unchanged files are not read again.

    `folder` holds the index, by default `.plackett-search` in the folder, or beside the file. If it cannot be written,
    the index is used once. Raises DataError for a source that is missing or has no text, and for an index folder that
    contains other files or would be searched itself.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist; name a folder or a file")
    folder = folder or _place_of(source)
    _check_place(folder, source)
    known = _known(folder, splitting)
    states, left_out = read_passages(source, known)
    passages = [passage for state in states.values() for passage in state.passages]
    if not passages:
        raise DataError(f"{source} contains no text to search{_skipped(left_out)}")
    digests = {name: state.digest for name, state in known.items()}
    read = sum(state.digest != digests.get(name) for name, state in states.items())
    if states == known:
        with suppress(Exception):  # an unreadable index is built again
            return Index(passages, BM25.load(folder), read, left_out)
    bm25 = BM25({str(number): passage.text for number, passage in enumerate(passages)}, splitting)
    return Index(passages, bm25, read, left_out, _keep(folder, states, bm25, splitting))


def _skipped(names: Sequence[str]) -> str:
    return f"; skipped {counted(len(names), 'file')}, such as {names[0]}" if names else ""


def _place_of(source: Path) -> Path:
    return source / INDEX if source.is_dir() else source.parent / INDEX / source.name


def _check_place(folder: Path, source: Path) -> None:
    """Raise DataError for a folder with files other than an index."""
    place, root = (Path(os.path.realpath(path)) for path in (folder, source))
    is_hidden = place != root and place.is_relative_to(root) and place.relative_to(root).parts[0].startswith(".")
    if not is_hidden:
        check_apart(place, [source], DataError)
    try:
        foreign = sorted(path.name for path in place.iterdir() if not _is_own(path)) if place.is_dir() else []
    except OSError as error:
        raise DataError(f"the index folder {folder} cannot be read: {error.strerror}") from error
    if foreign:
        raise DataError(
            f"{folder} contains files that are not part of an index, such as {foreign[0]}; name another folder with "
            "--index"
        )


def _is_own(path: Path) -> bool:
    """Whether an entry of the index folder was written by a search."""
    if path.is_dir():  # indexes of single files, and leftovers of a killed search
        return path.parent.name == INDEX or path.name.endswith(".plackett")
    if path.name == IGNORE:
        return path.read_text(encoding="utf-8", errors="replace") == EVERYTHING
    return path.name == FILES or any(fnmatch(path.name, pattern) for pattern in SAVED)


def _keep(folder: Path, states: Mapping[str, FileState], bm25: BM25, splitting: Splitting) -> bool:
    """Write the index atomically; return whether that succeeded."""
    content = {
        "format": FORMAT,
        "splitting": str(splitting),
        "files": {
            name: asdict(replace(state, passages=())) | {"passages": [[it.line, it.text] for it in state.passages]}
            for name, state in states.items()
        },
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_files(folder, last=FILES) as beside:
            (beside / IGNORE).write_text(EVERYTHING, encoding="utf-8")
            bm25.save(beside)
            (beside / FILES).write_text(json.dumps(content), encoding="utf-8")
    except (OSError, DataError):
        return False
    return True


def _known(folder: Path, splitting: Splitting) -> dict[str, FileState]:
    """Read the index; return nothing if there is none, or if another release or splitting wrote it."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads((folder / FILES).read_text(encoding="utf-8"))
        if (content["format"], content["splitting"]) == (FORMAT, str(splitting)):
            return {name: _state_of(name, item) for name, item in content["files"].items()}
    return {}


def _state_of(name: str, item: Mapping[str, object]) -> FileState:
    passages = item["passages"]
    if not isinstance(passages, list):
        raise TypeError
    return FileState(
        int(str(item["size"])),
        int(str(item["modified"])),
        str(item["digest"]),
        tuple(Passage(name, line, text) for line, text in passages),
    )


def rows(found: Iterable[Found]) -> Iterator[dict[str, object]]:
    """Return found passages as JSON objects."""
    for item in found:
        row: dict[str, object] = asdict(item.passage)
        row |= {"score": item.score, "rank": item.rank, "first_rank": item.first_rank}
        yield row | ({"explanation": list(item.explanation)} if item.explanation else {})
