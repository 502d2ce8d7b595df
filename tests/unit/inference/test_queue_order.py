"""Who is computed before whom: what is cheap passes what needs a thread, short passes long, and nobody starves."""

import asyncio
import itertools
import math

import numpy as np
import pytest

from modelward_inference.engine import batching
from modelward_inference.engine.jobs import Job

from .queueing import Clock, Queue, turns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)
    return clock


async def test_a_cheap_request_waits_for_no_dear_one_that_is_only_queued() -> None:
    queue = Queue(cheap_size=2)
    dear = [await queue.ask(1, 2, 3, key=number) for number in range(4)]
    await turns()  # the first has the worker
    assert await asyncio.gather(await queue.ask(4), await queue.ask(5, 6)) == [[8], [10, 12]]
    assert queue.model.asked == [[4], [5, 6]]
    assert not any(task.done() for task in dear)
    await queue.executor.finish_all()
    assert [await task for task in dear] == [[2, 4, 6]] * 4


async def test_a_cheap_request_does_not_join_a_dear_one() -> None:
    queue = Queue(cheap_size=2)
    dear = await queue.ask(1, 2, 3)
    cheap = await queue.ask(4)
    await turns()
    assert cheap.done()
    await queue.executor.finish_all()
    assert await dear == [2, 4, 6]
    assert queue.model.asked == [[4], [1, 2, 3]]


async def test_a_free_worker_is_given_the_dear_one_before_the_loop_goes_on(clock: Clock) -> None:
    """However many cheap ones there are: each costs the loop its turn here."""
    queue = Queue(cheap_size=1, rows=1, waiting=50)
    model = queue.model

    def slow(inputs: object, outputs: object) -> object:
        clock.now += 2 * batching.LOOP_SLICE
        return model(inputs, outputs)

    queue.batcher._computer._predict = slow  # type: ignore[assignment]
    cheap = await asyncio.gather(*(queue.ask(number) for number in range(20)))
    dear = await queue.ask(50, 51)
    await turns(3)
    assert await queue.executor.finish()
    assert await dear == [100, 102]
    assert not all(task.done() for task in cheap)
    await asyncio.gather(*cheap)


async def test_a_short_request_goes_ahead_of_a_long_one_that_only_waits(clock: Clock) -> None:
    queue = Queue(seconds=1.0)
    await queue.occupy()
    await queue.ask(1, 2, 3, 4, 5, key="long")
    clock.now += 3.9
    await queue.ask(6, key="short")
    await queue.executor.finish_all()
    assert queue.model.asked == [[0], [6], [1, 2, 3, 4, 5]]


async def test_a_long_request_is_passed_for_no_longer_than_it_takes(clock: Clock) -> None:
    queue = Queue(seconds=1.0, waiting=50)
    await queue.occupy()
    await queue.ask(1, 2, 3, 4, 5, key="long")
    for number in range(10):
        await queue.ask(10 + number, key=number)
        clock.now += 1.0
    await queue.executor.finish_all()
    assert queue.model.asked.index([1, 2, 3, 4, 5]) == 5  # behind the first and those of four seconds
    assert queue.model.asked[6:] == [[float(number)] for number in range(14, 20)]


async def test_what_takes_equally_long_keeps_its_order(clock: Clock) -> None:
    queue = Queue(seconds=1.0)
    await queue.occupy()
    for number in (1, 2, 3):
        await queue.ask(number, key=number)
    await queue.executor.finish_all()
    assert queue.model.asked == [[0], [1], [2], [3]]


async def test_what_turns_out_cheap_while_it_waits_is_computed_at_once() -> None:
    queue = Queue()
    first, waiting = await queue.occupy(), await queue.ask(1)
    queue.batcher._costs.cheap_size = 1
    assert await asyncio.gather(waiting, await queue.ask(2)) == [[2], [4]]
    assert not first.done()
    await queue.executor.finish_all()


async def test_what_turns_out_dear_while_it_waits_gets_a_thread() -> None:
    queue = Queue(cheap_size=1)
    model = queue.model

    def learned(inputs: object, outputs: object) -> object:
        queue.batcher._costs.cheap_size = -1
        return model(inputs, outputs)

    queue.batcher._computer._predict = learned  # type: ignore[assignment]
    tasks = await asyncio.gather(*(queue.ask(number) for number in (1, 2, 3)))
    await turns()
    assert model.asked == [[1]]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[2], [4], [6]]
    assert model.asked == [[1], [2, 3]]


@pytest.mark.parametrize("cheap_size", [-1, 64])
@pytest.mark.parametrize("requests", [2, 3, 8, 13, 64])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
async def test_one_refused_request_costs_the_others_a_logarithm(cheap_size: int, requests: int, place: str) -> None:
    queue = Queue(rows=64, waiting=64, cheap_size=cheap_size)
    rows = [float(number + 1) for number in range(requests)]
    bad = {"first": 0, "middle": requests // 2, "last": requests - 1}[place]
    rows[bad] = -rows[bad]
    tasks = await asyncio.gather(*(queue.ask(row) for row in rows))
    await queue.executor.finish_all()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes.pop(bad), ValueError)
    good = [row for row in rows if row > 0]
    assert outcomes == [[2 * row] for row in good]
    halvings = math.ceil(math.log2(requests))
    assert len(queue.model.asked) <= 2 * halvings + 1
    for row in good:
        assert sum(row in asked for asked in queue.model.asked) <= 1 + halvings
        assert queue.model.answered.count(row) == 1


@pytest.mark.parametrize("cheap_size", [-1, 64])
@pytest.mark.parametrize("requests", [2, 7, 64])
async def test_where_all_are_refused_the_calls_are_bounded_too(cheap_size: int, requests: int) -> None:
    queue = Queue(rows=64, waiting=64, cheap_size=cheap_size)
    tasks = await asyncio.gather(*(queue.ask(-number - 1.0) for number in range(requests)))
    await queue.executor.finish_all()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)
    assert len(queue.model.asked) == 2 * requests - 1
    assert (queue.batcher.pending, queue.batcher.busy) == (0, False)


async def test_a_refused_cheap_batch_leaves_the_loop_its_turns(clock: Clock) -> None:
    queue = Queue(rows=64, waiting=64, cheap_size=64)
    model = queue.model

    def slow(inputs: object, outputs: object) -> object:
        clock.now += 2 * batching.LOOP_SLICE
        return model(inputs, outputs)

    queue.batcher._computer._predict = slow  # type: ignore[assignment]
    tasks = await asyncio.gather(*(queue.ask(-number - 1.0) for number in range(8)))
    calls = []
    while not all(task.done() for task in tasks):
        calls.append(len(model.asked))
        await asyncio.sleep(0)
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(calls))
    assert queue.batcher.pending == 0
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_leaves_or_is_late_while_a_refused_batch_is_halved_is_not_asked_again(clock: Clock) -> None:
    queue = Queue(rows=64, waiting=64, cheap_size=64)
    model = queue.model
    batches: list[list[Job]] = []
    together = queue.batcher._computer.together

    def seen(batch: list[Job]) -> object:
        batches.append(batch)
        return together(batch)

    def first(inputs: object, outputs: object) -> object:
        queue.batcher._computer._predict = model
        next(job for job in batches[0] if job.inputs["x"][0, 0] == 3).future.cancel()
        clock.now += 10.0
        return model(inputs, outputs)

    queue.batcher._computer._predict = first  # type: ignore[assignment]
    queue.batcher._computer.together = seen  # type: ignore[method-assign, assignment]
    late = clock.now + 5.0
    tasks = await asyncio.gather(queue.ask(-1), queue.ask(2), queue.ask(3), queue.ask(4, deadline=late))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in outcomes] == [
        ValueError, list, asyncio.CancelledError, batching.DeadlineExceededError,
    ]  # fmt: skip
    assert model.asked == [[-1, 2, 3, 4], [-1, 2], [-1], [2]]


async def lonely(**options: int) -> Queue:
    """A queue that has seen one request after the other, each alone, until it expects no other."""
    queue = Queue(cheap_size=8, **options)
    for number in range(batching.LONELY):
        assert await (await queue.ask(number)) == [2 * number]
    queue.model.asked.clear()
    return queue


async def test_who_is_always_alone_is_computed_at_once() -> None:
    queue = await lonely()
    task = asyncio.ensure_future(queue._answer(job_of(1)))
    await asyncio.sleep(0)  # its own turn, and none of the queue's
    assert queue.model.asked == [[1]]
    assert await task == [2]
    assert queue.batch == 1


async def test_company_ends_that_and_is_computed_together() -> None:
    queue = await lonely()
    for _ in range(2):
        assert await asyncio.gather(*(queue._answer(job_of(number)) for number in (1, 2, 3))) == [[2], [4], [6]]
    assert queue.model.asked == [[1], [2, 3], [1, 2, 3]]


async def test_each_in_a_turn_of_its_own_stays_alone() -> None:
    queue = await lonely()
    for number in range(5):
        assert await queue._answer(job_of(number)) == [2 * number]
        await asyncio.sleep(0)
    assert queue.model.asked == [[0], [1], [2], [3], [4]]
    assert queue.batcher._lonely == batching.LONELY


async def test_who_is_alone_and_refused_is_told_so() -> None:
    queue = await lonely()
    with pytest.raises(ValueError, match="negative"):
        await queue._answer(job_of(-1))
    assert queue.model.asked == [[-1]]


async def test_who_is_alone_and_dear_gets_a_thread() -> None:
    queue = await lonely()
    task = await queue.ask(*range(9))
    await turns()
    assert queue.model.asked == []
    await queue.executor.finish_all()
    assert await task == [2 * number for number in range(9)]


def job_of(number: float) -> Job:
    return Job({"x": np.array([[float(number)]])}, ("y",), "key", 1, 1, batching.time.monotonic(), math.inf)
