"""CrossEncoder: a checkpoint, its tokenizer and an engine. What users import."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from plackett.batching import Pairs, token_batches
from plackett.checkpoint import (
    Checkpoint,
    activation_function,
    find_folder,
    read_checkpoint,
    whole_folder,
    write_metadata,
)
from plackett.engines import Engine, EngineSettings, Parts, is_url, load_engine, open_remote
from plackett.errors import CheckpointError, InputError, ScoreError
from plackett.exports import EXPORTS
from plackett.lists import stable_order
from plackett.tokenization import PairTokenizer

T = TypeVar("T")

MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model"}


class RankedDocument(TypedDict):
    """One item of `rank`: the document's index in the input, its score, and its text where that was asked for."""

    corpus_id: int
    score: float
    text: NotRequired[str]


@dataclass(frozen=True)
class Share:
    """The part of the work that process `index` of `processes` does; `total` adds an array over all of them."""

    index: int
    processes: int
    total: Callable[[NDArray[np.float32]], NDArray[np.float32]]


ALONE = Share(0, 1, lambda array: array)


class CrossEncoder:
    """Reads a query and a document together and returns one score for the pair.

    `model` is a folder or a hub id of a sequence classifier, saved by Plackett, sentence-transformers or transformers;
    or the address of a server that reranks (http://...).
    `max_length` (tokens per pair) and `activation` (identity, sigmoid, softmax, tanh) take the place of what the
    checkpoint says. `precision` (fp32, bf16, int8) and `threads` (of the processor, by default all that the process may
    use) are the engine's. Weights are safetensors, unless `allow_pickle` takes others too. Threads may share one
    CrossEncoder.

    Raises CheckpointError for a folder that is missing, half-written or no classifier, HubError where the hub did not
    deliver, RemoteError for a server that does not answer, and SettingError for an unknown engine, device, precision or
    activation.
    """

    def __init__(  # noqa: PLR0913 - what people type by name, and a record would only hide
        self,
        model: str | os.PathLike[str],
        *,
        engine: str | Engine = "auto",
        device: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        max_length: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        activation: str | None = None,
        allow_pickle: bool = False,
    ) -> None:
        if is_url(model):
            own = {"engine": engine, "device": device, "precision": precision, "threads": threads}
            own |= {"max_length": max_length, "revision": revision, "allow_pickle": allow_pickle}
            own |= {"local_files_only": local_files_only}
            self._assemble(open_remote(str(model), activation=activation, settings=own))
            return
        folder = find_folder(model, revision=revision, local_files_only=local_files_only, allow_pickle=allow_pickle)
        checkpoint = read_checkpoint(folder, max_length=max_length, activation=activation, allow_pickle=allow_pickle)
        settings = EngineSettings(device, precision, threads)
        loaded = load_engine(engine, checkpoint, settings) if isinstance(engine, str) else engine
        self._assemble(Parts(checkpoint, PairTokenizer.from_checkpoint(checkpoint), loaded))

    @classmethod
    def from_parts(cls, checkpoint: Checkpoint, engine: Engine) -> "CrossEncoder":
        """An encoder over an engine that runs already: a model in training, say."""
        encoder = cls.__new__(cls)
        encoder._assemble(Parts(checkpoint, PairTokenizer.from_checkpoint(checkpoint), engine))
        return encoder

    def _assemble(self, parts: Parts) -> None:
        self.checkpoint = parts.checkpoint
        self._activation = activation_function(parts.checkpoint.activation)
        self._tokenizer = parts.tokenizer
        self._engine = parts.engine

    def predict(self, pairs: Sequence[tuple[str, str]], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Scores of (query, document) pairs in input order: float32 (pairs,), or (pairs, labels) for several labels.

        Raises InputError for anything that is not a pair of texts, and ScoreError where the model answers NaN.
        """
        scores = self._activation(self.score(pairs, show_progress=show_progress))
        return scores[:, 0] if self.checkpoint.labels == 1 else scores

    def score(self, pairs: Sequence[tuple[str, str]], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Raw logits of the pairs in input order, float32 (pairs, labels): `predict` without the activation."""
        checked = [_checked_pair(index, pair) for index, pair in enumerate(_checked_list(pairs, "pairs"))]
        return self._logits(checked, show_progress=show_progress)

    def rank(
        self, query: str, documents: Sequence[str], *, top_k: int | None = None, return_documents: bool = False
    ) -> list[RankedDocument]:
        """The documents best first, by raw logit; ties keep the order of the input.

        `top_k` keeps the first so many, `return_documents` adds each text. Raises InputError for an empty query, no
        documents, a document that is empty or no text, a negative `top_k` and a checkpoint with several labels.
        """
        return self.rank_many([query], [documents], top_k=top_k, return_documents=return_documents)[0]

    def rank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[str]],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
        show_progress: bool = False,
    ) -> list[list[RankedDocument]]:
        """`rank` for many queries, each with documents of its own, scored in one pass."""
        self._check_rank(top_k)
        lists = _checked_lists(queries, documents)
        pairs = [(query, document) for query, texts in lists for document in texts]
        logits = self._logits(pairs, show_progress=show_progress)
        ranked: list[list[RankedDocument]] = []
        start = 0
        for _, texts in lists:
            rows = logits[start : start + len(texts)]
            start += len(texts)
            scores = self._activation(rows)[:, 0]
            order = stable_order(rows[:, 0])[:top_k]
            ranked.append([_item(int(index), scores, texts, return_documents) for index in order])
        return ranked

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the checkpoint, whole or not at all, with this object's activation and token limit."""
        if not self.checkpoint.folder.is_dir():
            raise CheckpointError(f"{self.checkpoint.folder} is no folder on this machine: there is nothing to save")
        source, target = self.checkpoint.folder.resolve(), Path(folder).resolve()
        if source in target.parents or target in source.parents:
            raise CheckpointError(f"{folder} is inside of {source}, or around it; name a folder elsewhere")
        with whole_folder(target) as beside:
            shutil.copytree(source, beside, dirs_exist_ok=True, copy_function=shutil.copyfile)
            write_metadata(beside, activation=self.checkpoint.activation, max_length=self.checkpoint.max_length)

    def encode(self, pairs: Sequence[tuple[str, str]]) -> Pairs:
        """The pairs tokenised, for `score_encoded`. Raises InputError as `predict` does."""
        checked = [_checked_pair(index, pair) for index, pair in enumerate(_checked_list(pairs, "pairs"))]
        return self._encode(checked)

    def score_encoded(
        self, encoded: Pairs, *, share: Share = ALONE, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Raw logits of tokenised pairs, float32 (pairs, labels).

        Several processes with the same pairs each score their share of the batches, which are those of one process, and
        all of them return all logits.
        """
        logits = np.zeros((len(encoded), self.checkpoint.labels), np.float32)
        batches = token_batches(encoded.lengths, self._engine.token_budget)[share.index :: share.processes]
        total = sum(map(len, batches))
        with tqdm(total=total, unit="pair", delay=2, disable=not show_progress) as progress:
            for batch in batches:
                logits[batch] = self._engine.score(encoded.select(batch))
                progress.update(len(batch))
        logits = share.total(logits)
        broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(broken):
            raise ScoreError(
                f"{self.checkpoint.folder} answered NaN or infinity for {len(broken)} of {len(logits)} pairs, "
                f"first pair {broken[0]}; the checkpoint is damaged, or its training diverged"
            )
        return logits

    def fingerprint(self) -> str:
        """What tells this model from others: its folder's name, and a digest of its files and its token limit."""
        digest = hashlib.sha256(f"{self.checkpoint.max_length}{self.checkpoint.server}".encode())
        folder = self.checkpoint.folder
        own = [path for path in folder.glob("*") if path.suffix in MODEL_FILES]
        for path in sorted([*own, *(folder / name for names in EXPORTS.values() for name in names)]):
            if path.is_file():
                with path.open("rb") as stream:
                    digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
        return f"{self.checkpoint.folder.name} {digest.hexdigest()[:12]}"

    def _encode(self, pairs: list[tuple[str, str]]) -> Pairs:
        return self._tokenizer.encode([(self.checkpoint.prompt + query, document) for query, document in pairs])

    def _logits(self, pairs: list[tuple[str, str]], *, show_progress: bool) -> NDArray[np.float32]:
        return self.score_encoded(self._encode(pairs), show_progress=show_progress)

    def _check_rank(self, top_k: int | None) -> None:
        if self.checkpoint.labels != 1:
            raise InputError(
                f"rank needs one label, {self.checkpoint.folder} has {self.checkpoint.labels}; use predict"
            )
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 0):
            raise InputError(f"top_k={top_k!r} is not a number of documents; leave it out for all of them")


def _item(index: int, scores: NDArray[np.float32], texts: Sequence[str], with_text: bool) -> RankedDocument:
    item: RankedDocument = {"corpus_id": index, "score": float(scores[index])}
    return item | {"text": texts[index]} if with_text else item


def _checked_lists(queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[tuple[str, list[str]]]:
    queries, documents = _checked_list(queries, "queries"), _checked_list(documents, "the lists of documents")
    if len(queries) != len(documents):
        raise InputError(
            f"{len(queries)} queries but {len(documents)} lists of documents; give one list for each query"
        )
    lists = []
    for number, (query, texts) in enumerate(zip(queries, documents, strict=True)):
        of_list = f" of query {number}" if len(queries) > 1 else ""
        text = _checked_text(query, f"query {number}" if of_list else "the query")
        texts = _checked_list(texts, f"documents{of_list}")
        if not texts:
            raise InputError(f"there are no documents for the query {text[:60]!r}")
        lists.append((text, [_checked_text(item, f"document {index}{of_list}") for index, item in enumerate(texts)]))
    return lists


def _checked_pair(index: int, pair: Sequence[str]) -> tuple[str, str]:
    if not isinstance(pair, tuple | list | np.ndarray) or len(pair) != 2:
        found = f"{len(pair)} items" if isinstance(pair, tuple | list | np.ndarray) else type(pair).__name__
        raise InputError(f"pair {index} is {found}, not (query, document); give a list of such pairs")
    query, document = pair
    return _checked_text(query, f"the query of pair {index}"), _checked_text(document, f"the document of pair {index}")


def _checked_list(values: Sequence[T], what: str) -> list[T]:
    """A list of anything that has a length and an order: lists, tuples, arrays, columns of a table."""
    if isinstance(values, str | bytes | Mapping | Set) or not hasattr(values, "__len__"):
        raise InputError(f"{what} must be a list, not {type(values).__name__}")
    return list(values)


def _checked_text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"{what} is {type(text).__name__}, not text")
    if not text.strip():
        raise InputError(f"{what} is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} holds {text[error.start]!r} at character {error.start}, half of a character, which is no text; "
            "decode it again from its bytes, or replace it"
        ) from error
    return str(text)  # numpy's strings are a kind of their own
