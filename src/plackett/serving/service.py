"""Scoring of a request: admission, queue, deadlines, disconnected clients, and results in input order."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plackett._inputs import is_blank
from plackett.dialects import Answer, RerankRequest, SpanOptions
from plackett.dialects.responses import best_first
from plackett.errors import RequestError
from plackett.explanations import occluded
from plackett.serving.admission import Admission
from plackett.serving.aside import aside
from plackett.serving.batcher import Batcher, Observer
from plackett.serving.limits import Buffer
from plackett.serving.metrics import Metrics
from plackett.serving.models import Models, ServedModel
from plackett.serving.refusal import Refusal
from plackett.serving.scheduling import Job
from plackett.serving.settings import Settings
from plackett.serving.spans import relevant_spans

LOGGER = logging.getLogger("plackett.serving")
BLANK = -12.0
"""Upper bound for the logit of blank documents, which rank below all others of their request."""

WAIT_SHARE = 0.5
"""Share of a request's time that the queue may take; with a longer one, it would end in status 504."""

CLIENT_LEFT = 499
PREPARING = 50  # characters that take as long to read as a pair takes to prepare

# (headers, request, name of the model) -> a context around the scoring; it yields a function of the answer.
Trace = Callable[[Mapping[str, str], RerankRequest, str], AbstractContextManager[Callable[[Answer], None]]]


def untraced(
    _headers: Mapping[str, str], _request: RerankRequest, _model: str
) -> AbstractContextManager[Callable[[Answer], None]]:
    """Trace nothing."""
    return contextlib.nullcontext(lambda _answer: None)


class Service:
    """The state of a server: its models (once loaded), the queue, and the metrics."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.batcher = Batcher(settings.batch_tokens, Observer(self._tokenised, self._scored))
        self.admission = Admission(
            settings.queue_tokens, settings.low_priority_share, settings.request_timeout * WAIT_SHARE
        )
        self.buffer = Buffer(settings.max_buffered_bytes)
        self.loaded: Models | None = None
        self.started = int(time.time())
        self.draining = False
        self.trace: Trace = untraced
        self.metrics.gauge("te_queue_size", lambda: self.batcher.waiting)
        self.metrics.gauge("plackett_queue_tokens", lambda: self.batcher.queued)
        self.metrics.gauge("plackett_buffered_bytes", lambda: self.buffer.held)
        self.metrics.gauge("plackett_tokens_per_second", lambda: self.batcher.rate)

    @property
    def is_ready(self) -> bool:
        """Whether models are loaded and warm, regardless of load."""
        return self.loaded is not None and not self.draining

    @property
    def models(self) -> Models:
        """The models. Raises Refusal, status 503, until they are loaded."""
        if self.loaded is None:
            raise Refusal(503, "the model is being loaded", headers={"Retry-After": "1"})
        return self.loaded

    def use(self, models: Models) -> None:
        """Use these models from now on; requests in progress keep theirs."""
        self.batcher.widen(max(model.lanes for model in models.by_name.values()))
        self.loaded = models

    async def answer(
        self, request: RerankRequest, model: ServedModel, gone: Coroutine[Any, Any, None], seconds: float
    ) -> Answer:
        """Score a request within `seconds`; its work is dropped if `gone` returns before.

        Raises Refusal and RequestError.
        """
        caller = Caller(asyncio.ensure_future(gone), seconds, time.monotonic() + seconds)
        try:
            return await self._answer(request, model, caller)
        finally:
            caller.left.cancel()

    async def _answer(self, request: RerankRequest, model: ServedModel, caller: "Caller") -> Answer:
        activation = model.activation(request.activation)
        model.reader.check(request)
        if any(is_blank(query) for query in request.queries):
            raise RequestError("the query is empty", field="query")

        scored, pairs = await aside(PREPARING * len(request.documents), _without_blanks, request)
        job = await self._run(request, model, pairs, scored, caller)
        logits = _with_blanks(len(request.documents), scored, job.logits)

        answer = Answer(
            logits=logits,
            scores=logits if request.raw else activation(logits.astype(np.float64)),
            model=model.name,
            tokens=job.tokens,
            id=str(uuid.uuid4()),
            created=int(time.time()),
        )
        if request.relevant_spans is None:
            return answer
        return await self._with_spans(request, request.relevant_spans, model, answer, caller)

    async def _with_spans(
        self, request: RerankRequest, options: SpanOptions, model: ServedModel, answer: Answer, caller: "Caller"
    ) -> Answer:
        """Add the relevant spans of the first results, by scoring them without each of their sentences in turn."""
        pairs = request.pairs
        best = [index for index in best_first(request, answer) if not is_blank(pairs[index][1])]
        best = best[: self.settings.max_explained]
        readings = await asyncio.to_thread(model.reader.readings, request, [pairs[index] for index in best])
        variants = occluded(readings)
        job = await self._run(replace(request, truncate=True), model, variants, range(len(variants)), caller)
        probabilities = model.probabilities(answer.logits[best])
        spans = relevant_spans(readings, job.logits, list(probabilities), options)
        return replace(answer, tokens=answer.tokens + job.tokens, spans=dict(zip(best, spans, strict=True)))

    async def _run(
        self,
        request: RerankRequest,
        model: ServedModel,
        pairs: Sequence[tuple[str, str]],
        indices: Sequence[int],
        caller: "Caller",
    ) -> Job:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[None] = loop.create_future()

        def finished(error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so nothing waits
                loop.call_soon_threadsafe(_resolve, result, error)

        bounds = model.reader.bounds(request, len(pairs))

        def encode(start: int, stop: int) -> Any:
            part = slice(bounds[start], bounds[stop])
            return model.encode(request, pairs[part], indices[part])

        priority = max(0, request.priority or 0)
        job = Job(model, encode, model.reader.estimates(pairs), finished, priority, bounds, _characters(request, pairs))
        try:
            self._admit(job.left, priority)
            if pairs:
                began = time.perf_counter()
                self.batcher.add(job)
                await _first(result, caller)
                self.metrics.observe("te_request_queue_duration", max(0.0, job.begun - began))
                self.metrics.observe("te_request_input_length", job.tokens)
        finally:
            self.batcher.cancel(job)
        return job

    def _admit(self, tokens: int, priority: int) -> None:
        try:
            self.admission.check(tokens, self.batcher.queued, self.batcher.rate, priority)
        except Refusal:
            self.metrics.count("plackett_refused", "low" if priority else "normal")
            raise

    def _tokenised(self, seconds: float) -> None:
        self.metrics.observe("te_request_tokenization_duration", seconds)

    def _scored(self, tokens: int, pairs: int, seconds: float) -> None:
        self.metrics.observe("te_request_inference_duration", seconds)
        self.metrics.observe("te_batch_next_tokens", tokens)
        self.metrics.observe("te_batch_next_size", pairs)
        self.metrics.observe("plackett_batch_fill", tokens / self.batcher.batch_tokens)


@dataclass(frozen=True)
class Caller:
    """A client that waits for an answer: `left` is done when it disconnects; `deadline` is in monotonic seconds."""

    left: "asyncio.Future[None]"
    seconds: float
    deadline: float


async def _first(result: "asyncio.Future[None]", caller: Caller) -> None:
    """Wait for the result. Refusal if the client disconnects or the time is up first."""
    seconds = max(0.0, caller.deadline - time.monotonic())
    await asyncio.wait({result, caller.left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if result.done():
        error = result.exception()
        if error is None:
            return
        if isinstance(error, RequestError):
            raise error
        LOGGER.error("a request could not be scored", exc_info=error)
        raise Refusal(500, "the model could not score the request") from error
    if caller.left.done():
        raise Refusal(CLIENT_LEFT, "the client disconnected")
    raise Refusal(504, f"the request was not finished within {caller.seconds:g} s")


def _resolve(result: "asyncio.Future[None]", error: BaseException | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(None)
    else:
        result.set_exception(error)
        result.exception()  # retrieved here, because the client may have disconnected


def _without_blanks(request: RerankRequest) -> tuple[list[int], list[tuple[str, str]]]:
    """Return the indices of the pairs to score, and the pairs."""
    pairs = request.pairs
    scored = [index for index, (_, document) in enumerate(pairs) if not is_blank(document)]
    return scored, [pairs[index] for index in scored]


def _characters(request: RerankRequest, pairs: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
    """Return the characters to tokenise for each pair, (pairs,); a shared query is tokenised once."""
    is_shared = len(request.queries) == 1
    return np.array([len(document) + (0 if is_shared else len(query)) for query, document in pairs], np.int64)


def _with_blanks(count: int, scored: Sequence[int], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of all documents, (count,), with blank ones below the rest."""
    lowest = np.float32(min(BLANK, float(logits.min(initial=0)) - 1))
    found = np.full(count, lowest, np.float32)
    found[list(scored)] = logits
    return found
