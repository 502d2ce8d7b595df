"""The work queue's promises, on a clock that the tests set."""

import asyncio

import pytest

from modelward.kube.cache import Key
from modelward.kube.queue import BACKOFF_MAX, WorkQueue

A, B = Key("ml", "a"), Key("ml", "b")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def due(queue: WorkQueue) -> Key | None:
    """The next key, or None where nothing is due."""
    try:
        return await asyncio.wait_for(queue.get(), 0.01)
    except TimeoutError:
        return None


async def test_a_key_is_due_once_however_often_it_was_added(clock: Clock) -> None:
    queue = WorkQueue(clock)
    for _ in range(3):
        queue.add(A)
    queue.add(B)
    assert [await due(queue), await due(queue), await due(queue)] == [A, B, None]


async def test_a_key_is_never_worked_on_twice_at_a_time(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.add(A)
    assert await due(queue) == A
    queue.add(A)
    assert await due(queue) is None
    queue.done(A)
    assert await due(queue) == A


async def test_a_delay_is_kept(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.add(A, delay=10)
    assert await due(queue) is None
    clock.now += 10
    assert await due(queue) == A


async def test_the_earlier_of_two_due_times_counts(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.add(A, delay=5)
    queue.add(A, delay=50)
    clock.now += 5
    assert await due(queue) == A
    queue.done(A)
    clock.now += 50
    assert await due(queue) is None
    queue.add(A, delay=50)
    queue.add(A)
    assert await due(queue) == A


async def test_a_delay_asked_for_while_working_counts_from_then(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.add(A)
    assert await due(queue) == A
    queue.add(A, delay=10)
    clock.now += 4
    queue.done(A)
    assert await due(queue) is None
    clock.now += 6
    assert await due(queue) == A


async def test_failures_wait_longer_and_longer_and_success_forgets_them(clock: Clock) -> None:
    queue = WorkQueue(clock)
    delays = [queue.retry(A) for _ in range(20)]
    assert delays[0] <= 0.2
    assert 0.8 * BACKOFF_MAX <= delays[-1] <= BACKOFF_MAX
    queue.forget(A)
    assert queue.retry(A) <= 0.2


async def test_waiting_ends_when_a_key_is_added() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A, delay=0.01)
    assert await asyncio.wait_for(waiting, 5) == A


@pytest.mark.parametrize("steps", range(6))
async def test_a_worker_is_cancelled_even_while_it_is_being_woken(clock: Clock, steps: int) -> None:
    """wait_for of Python 3.11 swallowed the cancellation, and the operator never ended."""
    queue = WorkQueue(clock)
    queue.add(B, delay=50)

    async def work_for_ever() -> None:
        while True:
            queue.done(await queue.get())

    worker = asyncio.create_task(work_for_ever())
    await asyncio.sleep(0)
    queue.add(A)
    for _ in range(steps):
        await asyncio.sleep(0)
    worker.cancel()
    ended, _ = await asyncio.wait([worker], timeout=2)
    assert ended == {worker}
    assert worker.cancelled()


async def test_a_namespace_has_so_many_workers_and_the_others_go_on(clock: Clock) -> None:
    queue = WorkQueue(clock, each=2)
    busy, free = [Key("busy", f"m{number}") for number in range(4)], Key("free", "m")
    for key in (*busy, free):
        queue.add(key)
    assert [await due(queue) for _ in range(4)] == [busy[0], busy[1], free, None]
    queue.add(busy[2])
    queue.add(busy[2], delay=5)
    queue.done(busy[1])
    assert [await due(queue), await due(queue)] == [busy[2], None]
    queue.add(busy[0])
    queue.done(busy[0])
    assert [await due(queue), await due(queue)] == [busy[3], None], "first come, first served"
    queue.done(busy[2])
    queue.done(busy[3])
    assert [await due(queue), await due(queue)] == [busy[0], None]
    queue.done(busy[0])
    queue.done(free)
    clock.now += 10
    assert await due(queue) is None, "what was due already is not due again"
    assert (queue._waiting, dict(queue._busy), queue._promised) == ({}, {}, set())


async def test_a_place_that_is_passed_on_is_not_taken_by_who_comes_later(clock: Clock) -> None:
    queue = WorkQueue(clock, each=1)
    first, second, third = (Key("a", name) for name in ("first", "second", "third"))
    queue.add(first)
    queue.add(second)
    assert [await due(queue), await due(queue)] == [first, None]
    queue.done(first)
    queue.add(third)
    queue.add(first)
    for expected in (second, third, first):
        assert [await due(queue), await due(queue)] == [expected, None]
        queue.done(expected)


async def test_a_worker_that_waits_hears_of_a_place_that_is_free(clock: Clock) -> None:
    queue = WorkQueue(clock, each=1)
    queue.add(A)
    queue.add(B)
    assert await due(queue) == A
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done(A)
    assert await asyncio.wait_for(waiting, 5) == B
