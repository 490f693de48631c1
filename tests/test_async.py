"""The same results without blocking the event loop, and work that stops when its task is cancelled."""

import asyncio
import threading

import numpy as np
import pytest

from plackett import CrossEncoder, InputError
from plackett.checkpoints.folder import read_checkpoint
from plackett.engines.base import FakeEngine, Parts
from tiny import DOCUMENTS, PAIRS, QUERY


@pytest.fixture(scope="module")
def model(bert):
    return CrossEncoder(bert)


def test_the_results_are_those_of_the_other_methods(model):
    document = {"a": "some words"}

    async def main():
        return await asyncio.gather(
            model.apredict(PAIRS, min_score=0.5),
            model.arank(QUERY, DOCUMENTS, top_k=3, return_documents=True),
            model.arank_many([QUERY] * 2, [DOCUMENTS, [document]], text="a"),
        )

    scores, ranked, lists = asyncio.run(main())
    np.testing.assert_array_equal(scores, model.predict(PAIRS, min_score=0.5))
    assert ranked == model.rank(QUERY, DOCUMENTS, top_k=3, return_documents=True)
    assert lists == model.rank_many([QUERY] * 2, [DOCUMENTS, [document]], text="a")


def test_errors_come_through(model):
    with pytest.raises(InputError):
        asyncio.run(model.arank(QUERY, [3]))


class Waiting(FakeEngine):
    """Scores one pair per batch; in its first batch it waits until the test lets it go on."""

    token_budget = 1

    def __init__(self):
        super().__init__(lambda ids: float(len(ids)))
        self.begun, self.free = threading.Event(), threading.Event()
        self.batches = 0

    def score(self, batch):
        self.batches += 1
        self.begun.set()
        assert self.free.wait(60)
        return super().score(batch)


def test_a_cancelled_task_ends_at_once_and_its_work_after_the_batch(bert):
    engine = Waiting()
    model = CrossEncoder.from_parts(Parts.of(read_checkpoint(bert), engine))
    threads = threading.active_count()

    async def main():
        task = asyncio.create_task(model.arank(QUERY, DOCUMENTS))
        await asyncio.to_thread(engine.begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not engine.free.is_set()  # it did not wait for the batch
        engine.free.set()

    asyncio.run(main())  # joins the threads of the pool
    assert engine.batches == 1
    assert threading.active_count() == threads


def test_a_time_out_cancels(bert):
    engine = Waiting()
    model = CrossEncoder.from_parts(Parts.of(read_checkpoint(bert), engine))

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await model.apredict(PAIRS)
        engine.free.set()

    asyncio.run(main())
    assert engine.batches <= 1


def test_others_are_not_cancelled(bert, model):
    engine = Waiting()
    waiting = CrossEncoder.from_parts(Parts.of(read_checkpoint(bert), engine))

    async def main():
        task = asyncio.create_task(waiting.apredict(PAIRS))
        await asyncio.to_thread(engine.begun.wait, 60)
        task.cancel()
        engine.free.set()
        return await model.apredict(PAIRS)

    np.testing.assert_array_equal(asyncio.run(main()), model.predict(PAIRS))
