"""CrossEncoder, the class that users import: a checkpoint with its tokenizer and an engine."""

import hashlib
import os
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, NotRequired, TypedDict, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from plackett._arguments import checked
from plackett._cancelling import check_cancelled, in_thread
from plackett._display import Ranking
from plackett._inputs import (
    Place,
    Refusals,
    check_top_k,
    checked_lists,
    checked_pairs,
    id_in,
    name_of,
    threshold,
)
from plackett._progress import progress_bar
from plackett.checkpoints.activations import CALIBRATED
from plackett.checkpoints.folder import Checkpoint, read_checkpoint, write_metadata
from plackett.checkpoints.heads import as_they_are
from plackett.checkpoints.hub import commit_of
from plackett.checkpoints.output import checkpoint_folder, copy_checkpoint
from plackett.engines.base import Engine, Parts, lanes_of, one_lane
from plackett.engines.loading import Options, open_model
from plackett.errors import CheckpointError, InputError, PlackettError, ScoreError, SettingError
from plackett.explanations import Contribution, Reading, explain_readings
from plackett.ranking import stable_order
from plackett.tokenization.batches import WindowedPairs, places, token_batches
from plackett.tokenization.windows import LongDocuments, refuse_pair

if TYPE_CHECKING:
    from plackett.engines.caching import ScoreCache

EXPLAINED = 5
"""Documents that `rank` explains by default."""

K = TypeVar("K", bound=Hashable)
Opened = tuple[str | os.PathLike[str] | None, Options]

Document = str | Mapping[str, Any]
"""A text, or a mapping with text in one or more fields and any further data."""


class Window(TypedDict):
    """Part of a document, `[start, end)` in characters."""

    start: int
    end: int


class RankedDocument(TypedDict):
    """One item of `rank`: the document's index in the input, its score and, on request, its text.

    For a mapping, `document` is the mapping itself and `id` its `id`, `_id` or `docid`. `window` is the part of the
    document that was read, or the best of its windows. `explanation` lists what each sentence of that part adds to the
    raw logit.
    """

    corpus_id: int
    score: float
    id: NotRequired[Any]
    document: NotRequired[Mapping[str, Any]]
    text: NotRequired[str]
    window: NotRequired[Window]
    explanation: NotRequired[list[Contribution]]


@dataclass(frozen=True)
class ScoredPairs:
    """The result of `predict(..., errors="return")`.

    scores: as `predict` returns them, NaN for a pair in `errors`.
    errors: index of a pair that could not be scored -> the reason.
    """

    scores: NDArray[np.float32]
    errors: Mapping[int, PlackettError]


@dataclass(frozen=True)
class RankedLists:
    """The result of `rank_many(..., errors="return")`.

    lists: one for each query; a document in `errors` is left out, and a query in `errors` has an empty list.
    errors: (query, document), or (query, None) for the query itself -> the reason.
    """

    lists: list[list[RankedDocument]]
    errors: Mapping[Place, PlackettError]


@dataclass(frozen=True)
class Share:
    """The share of the work that process `index` of `processes` does; `total` sums an array over all processes."""

    index: int
    processes: int
    total: Callable[[NDArray[np.float32]], NDArray[np.float32]]


ALONE = Share(0, 1, lambda array: array)


class CrossEncoder:
    """Score and rank documents for a query with a cross-encoder.

    ```python
    model = CrossEncoder()
    model.rank("how to sort a list", ["dict.get returns a value", "list.sort sorts in place"])
    ```

    Several threads may share one object.

    Args:
        model: A folder or Hub id of a sequence classifier, saved by Plackett, sentence-transformers or transformers, or
            the address of a rerank server (`http://...`). None loads the embedded model.
        engine: `torch`, `onnx`, `openvino` or `auto`, the best exact engine that is installed.
        device: Device of the torch engine. Default: CUDA or MPS if available, else the CPU.
        precision: `fp32`, `bf16` or `int8`; not every engine supports all three.
        threads: Processor threads. Default: all that this process may use.
        max_length: Token limit of a pair. Overrides the checkpoint's setting.
        long_documents: How to handle pairs longer than `max_length`. `longest_first` cuts the longer text, as
            sentence-transformers does. `truncate` cuts only the document. `error` refuses the pair. `windows` reads the
            whole document in parts. A `LongDocuments` sets more options.
        revision: Branch, tag or commit of a Hub repository.
        local_files_only: Read only the Hub's cache, without a network.
        activation: `identity`, `sigmoid`, `softmax`, `tanh`, or `calibrated` after `plackett calibrate`. Overrides the
            checkpoint's setting.
        instruction: What to look for, in words. Replaces the instruction of a model with a chat template.
        positive_label: Name or number of the label to rank by, for a model with several labels. Its score is its share
            of the softmax.
        allow_pickle: Also load weights that are a pickle, which can run code. Safetensors need no permission.
        trust_remote_code: Run Python code in the model's folder (`auto_map`) if the model needs it. The folder must be
            on this machine; a log message lists the files with their hashes.
        cache: `memory`, or an SQLite file, that keeps scores for repeated pairs. Default: none.

    Raises:
        CheckpointError: The folder is missing or incomplete, or is not a sequence classifier.
        HubError: The checkpoint cannot be downloaded from the Hub.
        RemoteError: The server cannot be reached or returns an error.
        SettingError: An engine, device, precision or activation is unknown or does not fit.
    """

    @checked()
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
        instruction: str | None = None,
        positive_label: str | None = None,
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        cache: str | os.PathLike[str] | None = None,
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
            instruction=instruction,
            positive_label=positive_label,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
            cache=cache,
        )
        self._assemble(open_model(model, options), (model, options))

    @classmethod
    def from_options(cls, model: str | os.PathLike[str] | None, options: Options) -> "CrossEncoder":
        """Open a model with options given as one record."""
        return cls(model, **{option.name: getattr(options, option.name) for option in fields(options)})

    @classmethod
    @checked()
    def from_parts(cls, parts: Parts) -> "CrossEncoder":
        """Wrap an existing engine, such as a model in training: `from_parts(Parts.of(checkpoint, engine))`."""
        return cls._sibling(parts)

    def __repr__(self) -> str:
        return f"CrossEncoder({self.model.name!r}, engine={type(self._engine).__name__})"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle how the model was opened, not its weights: the other process opens it again."""
        if self._opened is None:
            raise SettingError(
                f"{self!r} wraps an engine of this process and cannot be pickled; pickle the name of its folder instead"
            )
        model, options = self._opened
        if self._checkpoint is not None and model is not None:
            commit = commit_of(self._checkpoint.folder)
            is_folder = bool(self._folder) and not commit
            model = self._folder if is_folder else str(model)
            options = replace(options, revision=options.revision if is_folder else commit or options.revision)
        return _reopened, (model, options)

    def _assemble(self, parts: Parts, opened: Opened | None = None) -> None:
        self._opened = opened
        named = opened[0] if opened and parts.checkpoint else None
        self._folder = os.path.abspath(named) if named and os.path.isdir(named) else ""  # for unpickling elsewhere
        self.model = parts.model
        self._checkpoint = parts.checkpoint
        self._tokenizer = parts.tokenizer
        self._engine = parts.engine
        self._long_documents = parts.long_documents

    def _parts(self) -> Parts:
        return Parts(self.model, self._tokenizer, self._engine, self._checkpoint, self._long_documents)

    @classmethod
    def _sibling(cls, parts: Parts, opened: Opened | None = None) -> "CrossEncoder":
        found = cls.__new__(cls)
        found._assemble(parts, opened)
        return found

    def instructed(self, instruction: str) -> "CrossEncoder":
        """Return this model with another instruction, such as "Find the paragraph that answers the question".

        Both share one engine. Raises SettingError for a model without a chat template, which takes no instruction.
        """
        opened = self._opened and (self._opened[0], replace(self._opened[1], instruction=instruction))
        return self._sibling(self._parts().instructed(instruction), opened)

    @property
    def cache(self) -> "ScoreCache | None":
        """Score cache with its `hits` and `misses` counts, or None."""
        return getattr(self._engine, "cache", None)

    @property
    def lanes(self) -> int:
        """Number of batches that the engine scores at once. More threads that call `score` wait for each other."""
        return lanes_of(self._engine)

    def one_lane(self) -> "CrossEncoder":
        """Return this model for a caller that has a thread for each lane: a call does not use the others' cores.

        Both share one engine.
        """
        return self._sibling(replace(self._parts(), engine=one_lane(self._engine)), self._opened)

    @property
    def checkpoint(self) -> Checkpoint:
        """Checkpoint of the model. Raises CheckpointError for a server, which has no local folder."""
        if self._checkpoint is None:
            raise CheckpointError(f"{self.model.name} is a server, so it has no checkpoint folder on this machine")
        return self._checkpoint

    @overload
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        min_score: float | None = None,
        show_progress: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> NDArray[np.float32]: ...

    @overload
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        min_score: float | None = None,
        show_progress: bool = False,
        errors: Literal["return"],
    ) -> ScoredPairs: ...

    @checked(but=("pairs", "min_score", "errors"))
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        min_score: float | None = None,
        show_progress: bool = False,
        errors: Literal["raise", "return"] = "raise",
    ) -> NDArray[np.float32] | ScoredPairs:
        """Score (query, document) pairs, in input order: float32 (pairs,), or (pairs, labels) for several labels.

        Scores below `min_score` become -inf: the pair keeps its position in the array, sorts last, and passes no other
        threshold. A blank document is scored as empty text, with a warning.

        Raises InputError for an item that is not a pair of texts or has an empty query, and ScoreError if the model
        returns NaN. With `errors="return"`, one bad pair does not fail the others: the result contains the scores and
        the errors.
        """
        reaches = threshold(min_score)
        if min_score is not None:
            self._check_ranks("min_score")
        refusals: Refusals[int] = Refusals(errors)
        scored = self._scored(checked_pairs(pairs, refusals), "pair {}".format, refusals, show_progress)
        found = self.model.activate(scored.logits)
        found = np.where(reaches(found), found, np.float32(-np.inf))
        if errors == "return":
            scores = np.full((len(pairs), self.model.labels), np.nan, np.float32)
            scores[scored.keys] = found
            scores[list(refusals.errors)] = np.nan
            return ScoredPairs(self._flat(scores), refusals.errors)
        return self._flat(found)

    @checked(but=("pairs",))
    def score(self, pairs: Sequence[tuple[str, str]], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Return the raw logits of pairs, float32 (pairs, labels): `predict` without the activation."""
        refusals: Refusals[int] = Refusals()
        return self._scored(checked_pairs(pairs, refusals), "pair {}".format, refusals, show_progress).logits

    @checked(but=("query", "documents", "top_k", "min_score"))
    def rank(  # noqa: PLR0913 - what people type by name
        self,
        query: str,
        documents: Sequence[Document],
        *,
        text: str | Sequence[str] | None = None,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
        instruction: str | None = None,
    ) -> list[RankedDocument]:
        """Return the best documents first, by raw logit; ties keep the input's order.

        Return at most `top_k` documents, and only those scoring at least `min_score` (possibly none). A blank document
        is scored as empty text, with a warning. `return_documents` adds the texts. `return_windows` adds the range of
        characters that was read, or that of the best of several windows. `explain` adds the contribution of each
        sentence there, for the first `top_k` documents (default: five). `instruction` replaces that of a model with a
        chat template.

        Documents are texts or mappings. `text` names the fields of a mapping to read ("title, body" or a list). The
        default is an optional `title` and one of `text`, `document` or `contents`. Fields are joined by spaces, and
        None is skipped. The result returns a mapping as `document`, and its id as `id`.

        Raises InputError for an empty query, a document that is not text or lacks a field, a negative `top_k`, a
        `min_score` that is not a number, a checkpoint with several labels, and a pair that `long_documents` refuses.
        """
        model = self if instruction is None else self.instructed(instruction)
        return model.rank_many(
            [query],
            [documents],
            text=text,
            top_k=top_k,
            min_score=min_score,
            return_documents=return_documents,
            return_windows=return_windows,
            explain=explain,
        )[0]

    @overload
    def rank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[Document]],
        *,
        text: str | Sequence[str] | None = None,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
        show_progress: bool = False,
        errors: Literal["raise"] = "raise",
    ) -> list[list[RankedDocument]]: ...

    @overload
    def rank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[Document]],
        *,
        text: str | Sequence[str] | None = None,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
        show_progress: bool = False,
        errors: Literal["return"],
    ) -> RankedLists: ...

    @checked(but=("queries", "documents", "top_k", "min_score", "errors"))
    def rank_many(  # noqa: PLR0913 - those of `rank`, by name
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[Document]],
        *,
        text: str | Sequence[str] | None = None,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
        show_progress: bool = False,
        errors: Literal["raise", "return"] = "raise",
    ) -> list[list[RankedDocument]] | RankedLists:
        """Rank the documents of many queries, all scored in one pass.

        With `errors="return"`, a bad document is left out of its list, a bad query has an empty list, and the result
        contains the lists and the errors.
        """
        self._check_ranks("rank")
        check_top_k(top_k)
        if explain:
            self._check_explains()
        refusals: Refusals[Place] = Refusals(errors)
        checked = checked_lists(queries, documents, refusals, text)
        name = partial(name_of, several=len(queries) > 1)
        scored = self._scored(checked.pairs, name, refusals, show_progress, [query for query, _ in checked.pairs])
        scores = self.model.activate(scored.logits)[:, 0]
        best = _best_first(scored, len(queries), threshold(min_score)(scores), top_k, refusals.errors)
        ranked: list[list[RankedDocument]] = [
            Ranking(_item(scored, number, scores, return_documents, checked.sources) for number in numbers)
            for numbers in best
        ]
        if return_windows:
            self._add_windows(scored, best, ranked)
        if explain:
            self._add_explanations(scored, best, ranked, EXPLAINED if top_k is None else top_k)
        return RankedLists(ranked, refusals.errors) if errors == "return" else ranked

    async def apredict(
        self, pairs: Sequence[tuple[str, str]], *, min_score: float | None = None
    ) -> NDArray[np.float32]:
        """Score pairs in a thread of the event loop's pool, as `predict` does.

        A cancelled task, for example after a time-out, ends at once. Its thread ends after the current batch.
        """
        return await in_thread(partial(self.predict, pairs, min_score=min_score))

    async def arank(  # noqa: PLR0913 - those of `rank`
        self,
        query: str,
        documents: Sequence[Document],
        *,
        text: str | Sequence[str] | None = None,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
        instruction: str | None = None,
    ) -> list[RankedDocument]:
        """Rank the documents of a query as `rank` does, in a thread; cancellation works as in `apredict`."""
        model = self if instruction is None else self.instructed(instruction)
        [ranked] = await model.arank_many(
            [query],
            [documents],
            text=text,
            top_k=top_k,
            min_score=min_score,
            return_documents=return_documents,
            return_windows=return_windows,
            explain=explain,
        )
        return ranked

    async def arank_many(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[Document]],
        *,
        text: str | Sequence[str] | None = None,
        top_k: int | None = None,
        min_score: float | None = None,
        return_documents: bool = False,
        return_windows: bool = False,
        explain: bool = False,
    ) -> list[list[RankedDocument]]:
        """Rank the documents of many queries as `rank_many` does, in a thread; cancellation works as in `apredict`."""
        work = partial(
            self.rank_many,
            queries,
            documents,
            text=text,
            top_k=top_k,
            min_score=min_score,
            return_documents=return_documents,
            return_windows=return_windows,
            explain=explain,
        )
        return await in_thread(work)

    @checked()
    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the checkpoint atomically, with this object's activation and token limit.

        A calibration is copied too, for use with `activation="calibrated"`. The activation in the configuration does
        not change, because other libraries do not support calibrations.
        """
        source = self.checkpoint.folder.resolve()
        inputs = [] if os.path.realpath(folder) == str(source) else [source]
        with checkpoint_folder(folder, inputs=inputs).work() as beside:
            copy_checkpoint(source, beside)
            activation = self.checkpoint.activation
            if activation == CALIBRATED:
                activation = read_checkpoint(beside, allow_pickle=True).activation
            template = self.checkpoint.template
            write_metadata(beside, activation=activation, inputs=self.checkpoint.inputs, template=template)

    def encode(self, pairs: Sequence[tuple[str, str]], *, lists: Sequence[Hashable] | None = None) -> WindowedPairs:
        """Tokenise pairs for `score_encoded`. Raises InputError as `predict` does.

        A listwise model reads adjacent pairs with equal values in `lists`, such as query ids, together. By default, it
        reads each pair alone.
        """
        checked = checked_pairs(pairs, Refusals())
        return self._tokenizer.encode(list(map(self._prompted, checked.values())), refuse_pair, lists)

    def score_encoded(
        self, encoded: WindowedPairs, *, share: Share = ALONE, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Return raw logits of tokenised pairs, float32 (pairs, labels).

        With several processes, each scores its share of the batches, and all return all logits. The batches are the
        same as with one process.
        """
        rows = self._row_logits(encoded, share=share, show_progress=show_progress)
        self._check_finite(encoded, rows)
        return encoded.aggregate(rows, self._long_documents.aggregate)

    def fingerprint(self) -> str:
        """Return the model's name and a digest that changes with its scores."""
        settings = f"{self._long_documents}{self.model.instruction}{self._label()}"
        digest = hashlib.sha256(f"{self.model.digest()}{settings}".encode())
        return f"{self.model.name} {digest.hexdigest()[:12]}"

    def _label(self) -> str:
        """Return the label that ranks, if the user chose one."""
        chosen = None if self._opened is None else self._opened[1].positive_label
        return "" if chosen is None else f"label {chosen}"

    def _scored(
        self,
        pairs: dict[K, tuple[str, str]],
        name: Callable[[K], str],
        refusals: Refusals[K],
        show_progress: bool,
        lists: Sequence[Hashable] | None = None,
    ) -> "_Scored[K]":
        """Score pairs, refusing those that are too long or whose logits are not finite."""
        keys, texts = list(pairs), list(pairs.values())

        def refuse(number: int, reason: str) -> None:
            refusals.refuse(keys[number], InputError(f"{name(keys[number])}: {reason}"))

        encoded = self._tokenizer.encode(list(map(self._prompted, texts)), refuse, lists)
        rows = self._row_logits(encoded, show_progress=show_progress)
        if refusals.are_kept:
            for number in _broken(encoded, rows):
                refusals.refuse(keys[number], ScoreError(f"{name(keys[number])}: {self.model.name} returned NaN"))
        else:
            self._check_finite(encoded, rows)
        return _Scored(keys, texts, encoded, rows, encoded.aggregate(rows, self._long_documents.aggregate))

    def _flat(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        return scores[:, 0] if self.model.ranks else scores

    def _add_windows(self, scored: "_Scored[Place]", best: list[list[int]], ranked: list[list[RankedDocument]]) -> None:
        for numbers, items in zip(best, ranked, strict=True):
            for number, item in zip(numbers, items, strict=True):
                reading = self._reading(scored, number)
                item["window"] = {"start": reading.start, "end": reading.end}

    def _add_explanations(
        self, scored: "_Scored[Place]", best: list[list[int]], ranked: list[list[RankedDocument]], first: int
    ) -> None:
        readings = [self._reading(scored, number) for numbers in best for number in numbers[:first]]
        explained = [item for items in ranked for item in items[:first]]
        explanations = explain_readings(readings, self._occluded)
        for item, explanation in zip(explained, explanations, strict=True):
            item["explanation"] = explanation

    def _reading(self, scored: "_Scored[Place]", number: int) -> Reading:
        """Return the part of a document that its score comes from."""
        windows = self._tokenizer.spans(self._prompted(scored.pairs[number]))
        return Reading(*scored.pairs[number], *windows[scored.encoded.best(scored.rows[:, 0], number)])

    def _prompted(self, pair: tuple[str, str]) -> tuple[str, str]:
        return self.model.prompt + pair[0], pair[1]

    def _row_logits(
        self, encoded: WindowedPairs, *, share: Share = ALONE, show_progress: bool = False
    ) -> NDArray[np.float32]:
        """Return the raw logits of the windows, (rows, labels)."""
        to_logit = self.model.to_logit or as_they_are
        counts = encoded.rows.counts
        logits = np.zeros((int(counts.sum()), self.model.labels), np.float32)
        batches = token_batches(encoded.rows.lengths, self._engine.token_budget)[share.index :: share.processes]
        total = sum(int(counts[batch].sum()) for batch in batches)
        with progress_bar(total=total, unit="pair", delay=2, show=show_progress) as progress:
            for batch in batches:
                check_cancelled()
                logits[places(counts, batch)] = to_logit(self._engine.score(encoded.rows.select(batch)))
                progress.update(int(counts[batch].sum()))
        return share.total(logits)

    def _check_finite(self, encoded: WindowedPairs, rows: NDArray[np.float32]) -> None:
        broken = _broken(encoded, rows)
        if broken:
            raise ScoreError(
                f"{self.model.name} returned NaN or infinity for {len(broken)} of {len(encoded)} pairs, "
                f"first pair {broken[0]}; its checkpoint is damaged, or its training diverged"
            )

    def _occluded(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        return self.score_encoded(self._tokenizer.encode(list(map(self._prompted, pairs)), refuse_pair))[:, 0]

    def _check_explains(self) -> None:
        """Raise SettingError for a listwise model, where leaving out a sentence changes all scores of a list."""
        if self._checkpoint is not None and self._checkpoint.lists is not None:
            raise SettingError(
                f"{self.model.name} reads lists of documents, and only models of pairs can be explained; leave "
                "explain out"
            )

    def _check_ranks(self, what: str) -> None:
        if not self.model.ranks:
            raise InputError(
                f"{what} needs a model with one label, and {self.model.name} has {self.model.labels} "
                f"({', '.join(self.model.names)}): choose the one that means relevant with positive_label "
                "(--positive-label in the shell), or use predict"
            )


@dataclass(frozen=True)
class _Scored(Generic[K]):
    """Pairs with their keys, and the results computed for them.

    rows: raw logits of the windows, (rows, labels); logits: of the pairs, (pairs, labels).
    """

    keys: list[K]
    pairs: list[tuple[str, str]]
    encoded: WindowedPairs
    rows: NDArray[np.float32]
    logits: NDArray[np.float32]


def _reopened(model: str | None, options: Options) -> CrossEncoder:
    return CrossEncoder.from_options(model, options)


def _broken(encoded: WindowedPairs, rows: NDArray[np.float32]) -> list[int]:
    """Return the pairs that have a row that is not finite, in order."""
    return sorted({encoded.pair_of(int(row)) for row in np.flatnonzero(~np.isfinite(rows).all(axis=1))})


def _best_first(
    scored: _Scored[Place],
    queries: int,
    enough: NDArray[np.bool_],
    top_k: int | None,
    refused: Container[Place],
) -> list[list[int]]:
    """Return the indices of each query's `top_k` best pairs, best first by raw logit, without those below `enough`."""
    numbers: list[list[int]] = [[] for _ in range(queries)]
    for number, place in enumerate(scored.keys):
        if place not in refused:
            numbers[place[0]].append(number)
    best = []
    for own in numbers:
        found = np.array(own, np.int64)
        found = found[stable_order(scored.logits[found, 0])]
        best.append(found[enough[found]][:top_k].tolist())
    return best


def give_back(document: Mapping[str, Any], item: RankedDocument) -> None:
    """Add the ranked mapping to an item, and the mapping's id if it has one."""
    item["document"] = document
    if (own_id := id_in(document)) is not None:
        item["id"] = own_id


def _item(
    scored: _Scored[Place],
    number: int,
    scores: NDArray[np.float32],
    with_text: bool,
    sources: Mapping[Place, Mapping[str, Any]],
) -> RankedDocument:
    place = scored.keys[number]
    item: RankedDocument = {"corpus_id": place[1] or 0, "score": float(scores[number])}
    if place in sources:
        give_back(sources[place], item)
    if with_text:
        item["text"] = scored.pairs[number][1]
    return item
