"""CrossEncoder: a checkpoint, its tokenizer and an engine. What users import."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from plackett._inputs import check_top_k, checked_lists, checked_pairs, document_names, threshold
from plackett.checkpoints.activations import CALIBRATED
from plackett.checkpoints.folder import Checkpoint, read_checkpoint, write_metadata
from plackett.checkpoints.heads import as_they_are
from plackett.checkpoints.output import checkpoint_folder, copy_checkpoint
from plackett.engines.base import Engine, Parts
from plackett.engines.loading import Options, open_model
from plackett.errors import CheckpointError, InputError, ScoreError
from plackett.explanations import Contribution, Reading, explain_readings
from plackett.ranking import stable_order
from plackett.tokenization.batches import WindowedPairs, token_batches
from plackett.tokenization.windows import LongDocuments

EXPLAINED = 5  # documents that `rank` explains where `top_k` does not say how many


class Window(TypedDict):
    """A part of a document in characters: the first, and the one behind the last."""

    start: int
    end: int


class RankedDocument(TypedDict):
    """One item of `rank`: the document's index in the input and its score; where asked for, its text too.

    `window` is the part of the document that was read, or the best of its windows; `explanation` what each sentence of
    that part adds to its raw logit.
    """

    corpus_id: int
    score: float
    text: NotRequired[str]
    window: NotRequired[Window]
    explanation: NotRequired[list[Contribution]]


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
    or the address of a server that reranks (http://...). Without it, the one that comes with Plackett.
    `max_length` (tokens per pair) and `activation` (identity, sigmoid, softmax, tanh, or calibrated where `plackett
    calibrate` was run) take the place of what the checkpoint says. `precision` (fp32, bf16, int8) and `threads` (of the
    processor, by default all that the process may use) are the engine's. `long_documents` says what becomes of pairs
    that are longer than `max_length`: longest_first (sentence-transformers' way: the longer text is cut), truncate
    (only the document is), error, windows, or `LongDocuments` with more to set. Weights are safetensors, unless
    `allow_pickle` takes others too. Threads may share one CrossEncoder.

    Raises CheckpointError for a folder that is missing, half-written or no classifier, HubError where the hub did not
    deliver, RemoteError for a server that does not answer, and SettingError for an unknown engine, device, precision or
    activation.
    """

    def __init__(  # noqa: PLR0913 - what people type by name, and a record would only hide
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        engine: str | Engine = "auto",
        device: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        max_length: int | None = None,
        long_documents: str | LongDocuments = "longest_first",
        revision: str | None = None,
        local_files_only: bool = False,
        activation: str | None = None,
        allow_pickle: bool = False,
    ) -> None:
        options = Options(
            engine=engine,
            device=device,
            precision=precision,
            threads=threads,
            max_length=max_length,
            long_documents=LongDocuments.of(long_documents),
            revision=revision,
            local_files_only=local_files_only,
            activation=activation,
            allow_pickle=allow_pickle,
        )
        self._assemble(open_model(model, options))

    @classmethod
    def from_parts(cls, parts: Parts) -> "CrossEncoder":
        """Wrap an engine that runs already, such as a model in training: `from_parts(Parts.of(checkpoint, engine))`."""
        encoder = cls.__new__(cls)
        encoder._assemble(parts)
        return encoder

    def _assemble(self, parts: Parts) -> None:
        self.model = parts.model
        self._checkpoint = parts.checkpoint
        self._tokenizer = parts.tokenizer
        self._engine = parts.engine
        self._long_documents = parts.long_documents

    @property
    def checkpoint(self) -> Checkpoint:
        """The folder of the model. CheckpointError for a server, which has none here."""
        if self._checkpoint is None:
            raise CheckpointError(f"{self.model.name} is a server: it has no folder on this machine")
        return self._checkpoint

    def predict(
        self, pairs: Sequence[tuple[str, str]], *, min_score: float | None = None, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Scores of (query, document) pairs in input order: float32 (pairs,), or (pairs, labels) for several labels.

        With `min_score`, scores below it become -inf: every pair keeps its place in the array, and one that was refused
        comes last in any order and passes no other threshold. `np.isfinite(scores)` tells which are left. Raises
        InputError for anything that is not a pair of texts, and ScoreError where the model answers NaN.
        """
        enough = threshold(min_score)
        if min_score is not None:
            self._check_one_label("min_score")
        scores = self.model.activate(self.score(pairs, show_progress=show_progress))
        scores = scores[:, 0] if self.model.ranks else scores
        return np.where(enough(scores), scores, np.float32(-np.inf))

    def score(self, pairs: Sequence[tuple[str, str]], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Raw logits of the pairs in input order, float32 (pairs, labels): `predict` without the activation."""
        checked = checked_pairs(pairs)
        return self._logits(checked, show_progress=show_progress)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
    ) -> list[RankedDocument]:
        """The documents best first, by raw logit; ties keep the order of the input.

        `top_k` keeps the first so many, `min_score` those whose score is not below it, which may be none;
        `return_documents` adds each text. `return_windows` adds the characters of each that were read, or of its best
        window. `explain` adds what each sentence there contributed, to the first five or, if it is given, the first
        `top_k`. Raises InputError for an empty query, no documents, a document that is empty or no text, a negative
        `top_k`, a `min_score` that is no number, a checkpoint with several labels, and a pair that `long_documents`
        refuses.
        """
        return self.rank_many(
            [query],
            [documents],
            top_k=top_k,
            min_score=min_score,
            return_documents=return_documents,
            return_windows=return_windows,
            explain=explain,
        )[0]

    def rank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[str]],
        *,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
        show_progress: bool = False,
    ) -> list[list[RankedDocument]]:
        """`rank` for many queries, each with documents of its own, scored in one pass."""
        self._check_one_label("rank")
        check_top_k(top_k)
        enough = threshold(min_score)
        lists = checked_lists(queries, documents)
        pairs = [(query, document) for query, texts in lists for document in texts]
        encoded = self._encode(pairs, document_names(lists))
        rows = self._row_logits(encoded, show_progress=show_progress)
        logits = encoded.aggregate(rows, self._long_documents.aggregate)
        ranked: list[list[RankedDocument]] = []
        start = 0
        for _, texts in lists:
            own = logits[start : start + len(texts)]
            start += len(texts)
            scores = self.model.activate(own)[:, 0]
            order = stable_order(own[:, 0])
            order = order[enough(scores[order])][:top_k]
            ranked.append([_item(int(index), scores, texts, return_documents) for index in order])

        def read(pair: int) -> Reading:
            windows = self._tokenizer.spans(self._prompted(pairs[pair]))
            return Reading(*pairs[pair], *windows[encoded.best(rows[:, 0], pair)])

        if return_windows:
            for pair, item in _numbered(ranked, lists):
                reading = read(pair)
                item["window"] = {"start": reading.start, "end": reading.end}
        if explain:
            items = _numbered(ranked, lists, EXPLAINED if top_k is None else None)
            explanations = explain_readings([read(pair) for pair, _ in items], self._occluded)
            for (_, item), explanation in zip(items, explanations, strict=True):
                item["explanation"] = explanation
        return ranked

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the checkpoint, whole or not at all, with this object's activation and token limit.

        A calibration goes with it, to be asked for again with `activation="calibrated"`: as other libraries do not know
        it, the activation that stands in the configuration stays what it was.
        """
        source = self.checkpoint.folder.resolve()
        inputs = [] if os.path.realpath(folder) == str(source) else [source]
        with checkpoint_folder(folder, inputs=inputs).work() as beside:
            copy_checkpoint(source, beside)
            activation = self.checkpoint.activation
            if activation == CALIBRATED:
                activation = read_checkpoint(beside, allow_pickle=True).activation
            write_metadata(beside, activation=activation, max_length=self.checkpoint.max_length)

    def encode(self, pairs: Sequence[tuple[str, str]]) -> WindowedPairs:
        """The pairs tokenised, for `score_encoded`. Raises InputError as `predict` does."""
        checked = checked_pairs(pairs)
        return self._encode(checked)

    def score_encoded(
        self, encoded: WindowedPairs, *, share: Share = ALONE, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Raw logits of tokenised pairs, float32 (pairs, labels).

        Several processes with the same pairs each score their share of the batches, which are those of one process, and
        all of them return all logits.
        """
        rows = self._row_logits(encoded, share=share, show_progress=show_progress)
        return encoded.aggregate(rows, self._long_documents.aggregate)

    def fingerprint(self) -> str:
        """Return the model's name and a digest that changes with its scores."""
        digest = hashlib.sha256(f"{self.model.digest()}{self._long_documents}".encode())
        return f"{self.model.name} {digest.hexdigest()[:12]}"

    def _encode(self, pairs: list[tuple[str, str]], name: Callable[[int], str] = "pair {}".format) -> WindowedPairs:
        return self._tokenizer.encode([self._prompted(pair) for pair in pairs], name)

    def _prompted(self, pair: tuple[str, str]) -> tuple[str, str]:
        return self.model.prompt + pair[0], pair[1]

    def _row_logits(
        self, encoded: WindowedPairs, *, share: Share = ALONE, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Raw logits of the windows, (rows, labels)."""
        to_logit = self.model.to_logit or as_they_are
        logits = np.zeros((len(encoded.rows), self.model.labels), np.float32)
        batches = token_batches(encoded.rows.lengths, self._engine.token_budget)[share.index :: share.processes]
        total = sum(map(len, batches))
        with tqdm(total=total, unit="pair", delay=2, disable=not show_progress) as progress:
            for batch in batches:
                logits[batch] = to_logit(self._engine.score(encoded.rows.select(batch)))
                progress.update(len(batch))
        logits = share.total(logits)
        broken = {encoded.pair_of(int(row)) for row in np.flatnonzero(~np.isfinite(logits).all(axis=1))}
        if broken:
            raise ScoreError(
                f"{self.model.name} answered NaN or infinity for {len(broken)} of {len(encoded)} pairs, "
                f"first pair {min(broken)}; the checkpoint is damaged, or its training diverged"
            )
        return logits

    def _logits(self, pairs: list[tuple[str, str]], *, show_progress: bool) -> NDArray[np.float32]:
        return self.score_encoded(self._encode(pairs), show_progress=show_progress)

    def _occluded(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        return self._logits(pairs, show_progress=False)[:, 0]

    def _check_one_label(self, what: str) -> None:
        if not self.model.ranks:
            raise InputError(
                f"{what} needs one label, and {self.model.name} has {self.model.labels}; use predict instead"
            )


def _item(index: int, scores: NDArray[np.float32], texts: Sequence[str], with_text: bool) -> RankedDocument:
    item: RankedDocument = {"corpus_id": index, "score": float(scores[index])}
    return item | {"text": texts[index]} if with_text else item


def _numbered(
    ranked: list[list[RankedDocument]], lists: list[tuple[str, list[str]]], first: int | None = None
) -> list[tuple[int, RankedDocument]]:
    """The `first` items of each list, each with the index of its pair among those of all lists."""
    starts = accumulate((len(texts) for _, texts in lists), initial=0)
    numbered = zip(starts, ranked, strict=False)  # the last start is the end
    return [(start + item["corpus_id"], item) for start, items in numbered for item in items[:first]]
