"""The queue before the model: who is computed together, who not at all, and that everyone gets their own answer."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import pytest

from modelward_inference.engine import batching
from modelward_inference.engine.batching import Batcher, Limits
from modelward_inference.engine.costs import Costs, Sample
from modelward_inference.protocol.messages import DeadlineExceededError, OverloadedError

from .queueing import DEADLINE, Clock, Doubling, Queue, count, turns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(batching, "time", clock)
    return clock


async def test_what_waits_while_the_model_is_busy_is_computed_together() -> None:
    queue = Queue()
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(2, 3), await queue.ask(4)]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [4, 6], [8]]
    assert queue.model.asked == [[0], [1, 2, 3, 4]]
    assert queue.batch == 3


async def test_what_comes_in_the_same_turn_is_computed_together() -> None:
    queue = Queue()
    tasks = await asyncio.gather(queue.ask(1), queue.ask(2), queue.ask(3))
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[2], [4], [6]]
    assert queue.model.asked == [[1, 2, 3]]


async def test_a_batch_has_no_more_rows_than_it_may() -> None:
    queue = Queue(rows=4)
    tasks = [await queue.occupy(), await queue.ask(1, 2, 3), await queue.ask(4), await queue.ask(5), await queue.ask(6)]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2, 4, 6], [8], [10], [12]]
    assert queue.model.asked == [[0], [1, 2, 3, 4], [5, 6]]


async def test_a_request_of_more_rows_is_computed_alone() -> None:
    queue = Queue(rows=2)
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(2, 3, 4), await queue.ask(5)]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [4, 6, 8], [10]]
    assert queue.model.asked == [[0], [1], [2, 3, 4], [5]]


async def test_only_equal_keys_are_joined_and_the_order_is_kept() -> None:
    queue = Queue()
    keys = ["a", "a", "b", "a", None, None]
    tasks = [await queue.occupy(), *[await queue.ask(number, key=key) for number, key in enumerate(keys, 1)]]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [4], [6], [8], [10], [12]]
    assert queue.model.asked == [[0], [1, 2], [3], [4], [5], [6]]


async def test_one_row_at_a_time_is_never_joined() -> None:
    queue = Queue(rows=1)
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(2)]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [4]]
    assert queue.model.asked == [[0], [1], [2]]


async def test_as_many_are_computed_at_a_time_as_there_are_workers() -> None:
    queue = Queue(workers=2)
    tasks = [await queue.occupy(), await queue.occupy(), await queue.ask(1)]
    await turns()
    assert (queue.batcher.busy, queue.batcher.pending) == (True, 3)
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [0], [2]]
    assert (queue.batcher.busy, queue.batcher.pending) == (False, 0)


async def test_a_request_that_the_model_refuses_does_not_touch_its_neighbours() -> None:
    queue = Queue()
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(-1), await queue.ask(2)]
    await queue.executor.finish_all()
    first, good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, good, other) == ([0], [2], [4])
    assert isinstance(bad, ValueError)
    assert sorted(queue.model.answered) == [0, 1, 2]


class Total(Doubling):
    """Answers with one row, whatever it is given."""

    def __call__(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        return {name: array.sum(axis=0, keepdims=True) for name, array in super().__call__(inputs, outputs).items()}


async def test_a_model_that_does_not_answer_row_by_row_is_no_longer_given_batches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Queue(Total())
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(2, 3)]
    await queue.executor.finish_all()
    tasks += [await queue.occupy(), await queue.ask(4), await queue.ask(5)]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [10], [0], [8], [10]]
    assert queue.model.asked == [[0], [1, 2, 3], [1], [2, 3], [0], [4], [5]]
    assert caplog.text.count("does not answer row by row") == 1


class Lists(Doubling):
    """Answers with what is no array."""

    def __call__(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        return {name: Rows(array.tolist()) for name, array in super().__call__(inputs, outputs).items()}


class Rows(list[list[float]]):
    """Can be sliced as the tests slice arrays, and no more."""

    def __getitem__(self, where: Any) -> Any:
        return [row[0] for row in self]


async def test_answers_that_are_no_arrays_still_come_back_to_those_who_asked() -> None:
    queue = Queue(Lists())
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(2)]
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [4]]


async def test_an_idle_server_computes_at_once(clock: Clock) -> None:
    queue = Queue()
    task = await queue.ask(1)
    await turns()
    assert await queue.executor.finish()
    assert await task == [2]


async def test_a_delay_waits_for_others_and_no_longer(clock: Clock) -> None:
    queue = Queue(delay=10.0)
    first = await queue.ask(1)
    clock.now += 9.9
    second = await queue.ask(2)
    await turns()
    assert not await queue.executor.finish()
    assert queue.batcher.busy  # so that a client that leaves is noticed
    clock.now += 0.2
    queue.batcher._sweep()  # what the loop's timer does
    await queue.executor.finish_all()
    assert [await first, await second] == [[2], [4]]
    assert queue.model.asked == [[1, 2]]


async def test_the_timer_ends_the_delay() -> None:
    queue = Queue(delay=0.001, cheap_size=8)  # cheap: the loop itself computes it
    task = await queue.ask(1)
    assert await asyncio.wait_for(task, DEADLINE) == [2]


@pytest.mark.parametrize(("rows", "waiting", "asked"), [(3, 8, [[1, 2, 3]]), (8, 2, [[1, 2, 3], [4]])])
async def test_nobody_waits_for_others_where_there_is_no_room_for_them(
    clock: Clock, rows: int, waiting: int, asked: list[list[float]]
) -> None:
    queue = Queue(delay=10.0, rows=rows, waiting=waiting)
    for number in range(1, sum(map(len, asked)) + 1):
        await queue.ask(number)
    await turns()
    assert await queue.executor.finish()
    assert queue.model.asked == asked[:1]
    clock.now += 10.0
    queue.batcher._sweep()
    await queue.executor.finish_all()
    assert queue.model.asked == asked


async def test_who_is_alone_in_any_case_does_not_wait(clock: Clock) -> None:
    queue = Queue(delay=10.0)
    task = await queue.ask(1, key=None)
    await turns()
    assert await queue.executor.finish()
    assert await task == [2]


@pytest.mark.parametrize("late", [False, True])
async def test_a_request_whose_client_is_gone_is_not_computed(late: bool) -> None:
    abandoned = count("abandoned_total")
    queue = Queue()
    first, gone, last = await queue.occupy(), await queue.ask(1), await queue.ask(2)
    gone.cancel()
    if late:  # the queue moves before the task has heard of it
        queue.batcher._busy = 0
        queue.batcher._dispatch()
    await queue.executor.finish_all()
    assert [await first, await last] == [[0], [4]]
    assert gone.cancelled()
    assert queue.model.asked == [[0], [2]]
    assert count("abandoned_total") == abandoned + 1


async def test_a_client_that_leaves_during_the_computation_disturbs_nobody() -> None:
    queue = Queue()
    await queue.occupy()
    gone, other = await queue.ask(1), await queue.ask(2)
    await queue.executor.finish()  # both are in the model now
    gone.cancel()
    await queue.executor.finish_all()
    assert await other == [4]
    assert gone.cancelled()


async def test_a_request_whose_time_is_over_is_told_so_though_the_queue_does_not_move() -> None:
    expired = count("expired_total")
    queue = Queue()
    first, late = await queue.occupy(), await queue.ask(1, deadline=time.monotonic() + 0.02)
    with pytest.raises(DeadlineExceededError, match="time was over"):
        await asyncio.wait_for(late, DEADLINE)
    assert queue.batcher.pending == 1  # the first, which is still in the model
    await queue.executor.finish_all()
    assert await first == [0]
    assert queue.model.asked == [[0]]
    assert count("expired_total") == expired + 1


async def test_a_request_whose_time_is_over_when_its_turn_comes_is_not_computed(clock: Clock) -> None:
    queue = Queue()
    tasks = [await queue.occupy(), await queue.ask(1, deadline=clock.now + 1), await queue.ask(2)]
    clock.now += 1
    await queue.executor.finish_all()
    first, late, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, last) == ([0], [4])
    assert isinstance(late, DeadlineExceededError)
    assert queue.model.asked == [[0], [2]]


async def test_the_queue_is_bounded() -> None:
    rejected = count("rejected_total")
    queue = Queue(waiting=2)
    tasks = [await queue.occupy(), await queue.ask(1), await queue.ask(2), await queue.ask(3)]
    with pytest.raises(OverloadedError, match="3 requests wait already; try again"):
        await tasks.pop()
    await queue.executor.finish_all()
    assert [await task for task in tasks] == [[0], [2], [4]]
    assert count("rejected_total") == rejected + 1


async def test_what_is_cheap_waits_for_no_worker_and_is_never_too_much() -> None:
    queue = Queue(waiting=1, cheap_size=2)
    long = await queue.ask(1, 2, 3)
    await turns()
    assert queue.batcher.busy
    tasks = await asyncio.gather(*(queue.ask(number) for number in range(5)))
    await turns()
    assert [task.result() for task in tasks] == [[0], [2], [4], [6], [8]]
    assert not long.done()
    await queue.executor.finish_all()
    assert await long == [2, 4, 6]


async def test_a_batch_of_cheap_ones_stays_cheap() -> None:
    queue = Queue(cheap_size=2)
    await asyncio.gather(*await asyncio.gather(*(queue.ask(number) for number in range(5))))
    assert queue.model.asked == [[0, 1], [2, 3], [4]]


async def test_many_cheap_ones_leave_the_loop_its_turns(clock: Clock) -> None:
    happened: list[str] = []

    class Slow(Doubling):
        def __call__(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
            clock.now += 2 * batching.LOOP_SLICE
            happened.append("computed")
            return super().__call__(inputs, outputs)

    def turn() -> None:
        happened.append("turn")
        if happened.count("computed") < 3:
            asyncio.get_running_loop().call_soon(turn)

    queue = Queue(Slow(), cheap_size=1)
    turn()
    await asyncio.gather(*await asyncio.gather(*(queue.ask(number) for number in range(3))))
    first, second, third = [index for index, what in enumerate(happened) if what == "computed"]
    assert second - first > 1
    assert third - second > 1


async def test_whoever_follows_a_long_one_may_have_to_wait() -> None:
    queue = Queue(cheap_size=1)
    assert not queue.batcher.busy
    await queue.ask(1, 2)
    assert queue.batcher.busy  # though no worker has it yet
    await queue.executor.finish_all()
    assert not queue.batcher.busy


def test_the_way_to_a_thread_and_back_is_measured() -> None:
    costs = Costs()
    Batcher(Doubling(), Limits(1, 8), ("queue", "1"), costs).measure_hop()
    assert len(costs._hops) == batching.HOPS
    assert all(0 < seconds < DEADLINE for seconds in costs._hops)


async def test_the_way_to_a_thread_and_back_is_learned_from_each() -> None:
    queue = Queue()
    await queue.ask(1)
    await queue.executor.finish_all()
    assert len(queue.batcher._costs._hops) == 1


def test_only_a_long_prediction_in_the_loop_is_asked_whether_it_was_interrupted() -> None:
    """A pause since the last long one counts, the loop's own waits before do not."""
    samples: list[Sample] = []

    class Noting(Costs):
        def inline(self, _size: int, sample: Sample) -> None:
            samples.append(sample)

    batcher = Batcher(Doubling(), Limits(1, 8), ("queue", "1"), Noting())
    pauses = [mock.Mock(ru_nivcsw=number) for number in (3, 3, 4)]
    with mock.patch.object(batching, "getrusage", side_effect=pauses):
        for seconds in (0.0, 0.001, 0.001, 0.0, 0.001):
            took = batching._Computed([{}], 0.0, Sample(seconds, seconds), seconds)
            with mock.patch.object(batcher, "_compute", return_value=took), mock.patch.object(batcher, "_finish"):
                batcher._compute_here([mock.Mock(size=1)])
    assert [each.interrupted for each in samples] == [False, True, False, False, True]
