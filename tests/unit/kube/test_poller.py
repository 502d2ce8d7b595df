"""One look at a time, a few of one namespace, and nobody waits for a look that is not theirs."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from modelward.kube.cache import Key
from modelward.kube.client import NotLeaderError
from modelward.kube.poller import AT_ONCE, AWAITED, FAILED_MAX, LONGEST, REMEMBERED, REST, Poller, Question
from simulated import simulate

KEY = Key("ml", "fraud")
ONE = Question("evidence", KEY)


def of(number: int, namespace: str = "ml", kind: str = "evidence") -> Question:
    return Question(kind, Key(namespace, f"m{number}"))


class World:
    def __init__(self) -> None:
        self.due: list[Key] = []
        self.looks: list[float] = []
        self.poller = Poller(self.due.append, self.clock)

    def clock(self) -> float:
        return asyncio.get_running_loop().time()

    def taking(self, seconds: float) -> Callable[[], Awaitable[None]]:
        async def look() -> None:
            self.looks.append(self.clock())
            await asyncio.sleep(seconds)

        return look


def simulated(test: Callable[[World], Any]) -> Callable[[], None]:
    """Not with functools.wraps: pytest would take the argument for a fixture."""

    def run() -> None:
        async def within() -> None:
            world = World()
            await test(world)
            await world.poller.close()

        simulate(within())

    run.__doc__ = test.__doc__
    return run


@simulated
async def test_the_key_becomes_due_when_there_is_an_answer(world: World) -> None:
    assert world.poller.ask(ONE, world.taking(0.5), every=2.0) is None
    assert world.poller.ask(ONE, world.taking(0.5), every=2.0) is None, "one look at a time"
    assert (world.due, world.poller.is_pending(ONE)) == ([], True)
    await world.poller.idle()
    assert (world.due, world.poller.is_pending(ONE)) == ([KEY], False)
    assert world.looks == [0.0]


@simulated
async def test_a_look_comes_again_after_its_time_counted_from_its_begin(world: World) -> None:
    world.poller.ask(ONE, world.taking(0.1), every=2.0)
    await world.poller.idle()
    assert world.poller.ask(ONE, world.taking(0.1), every=2.0) == pytest.approx(1.9)
    await asyncio.sleep(1.9)
    assert world.poller.ask(ONE, world.taking(0.1), every=2.0) is None
    await world.poller.idle()
    assert world.looks == [0.0, 2.0]


@simulated
async def test_who_is_slow_is_asked_less_often(world: World) -> None:
    world.poller.ask(ONE, world.taking(2.0), every=2.0)
    await world.poller.idle()
    assert world.poller.ask(ONE, world.taking(0.0), every=2.0) == pytest.approx((REST - 1) * 2.0)


@simulated
async def test_another_question_is_asked_at_once_and_stops_the_former(world: World) -> None:
    world.poller.ask(ONE, world.taking(10.0), every=2.0, about="a")
    await asyncio.sleep(1.0)
    assert world.poller.ask(ONE, world.taking(0.5), every=2.0, about="b") is None
    await world.poller.idle()
    assert (world.clock(), world.due) == (1.5, [KEY])


@simulated
async def test_a_first_answer_is_not_waited_for_for_ever_however_the_question_changes(world: World) -> None:
    for about in range(int(AWAITED) + 2):
        world.poller.ask(ONE, world.taking(10.0), every=2.0, about=about)
        assert world.poller.is_pending(ONE) == (world.clock() < AWAITED)
        await asyncio.sleep(1.0)


@simulated
async def test_a_namespace_has_so_many_at_once_and_no_more(world: World) -> None:
    for number in range(AT_ONCE + 8):
        world.poller.ask(of(number), world.taking(2.0), every=10.0)
    await asyncio.sleep(1.0)
    assert len(world.looks) == AT_ONCE
    world.poller.ask(of(0, "another"), world.taking(0.0), every=10.0)
    world.poller.ask(of(0, kind="monitors"), world.taking(0.0), every=10.0)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    assert world.looks[AT_ONCE:] == [1.0, 1.0], "of another namespace, and of another kind"
    await world.poller.idle()
    assert world.clock() == 4.0


class BugError(Exception):
    pass


@pytest.mark.parametrize("error", [BugError("a bug"), NotLeaderError("no lease"), TimeoutError()])
def test_a_look_that_fails_stops_nothing(error: Exception) -> None:
    async def main() -> None:
        world = World()

        async def fails() -> None:
            raise error

        world.poller.ask(ONE, fails, every=2.0)
        await world.poller.idle()
        assert world.due == [KEY]
        assert world.poller.is_pending(ONE), "it brought no answer"
        await asyncio.sleep(2.0)
        assert world.poller.ask(ONE, world.taking(0.0), every=2.0) is None
        await world.poller.idle()
        assert not world.poller.is_pending(ONE)

    simulate(main())


@simulated
async def test_what_fails_is_asked_less_and_less_often_until_it_goes_well(world: World) -> None:
    times: list[float] = []

    async def fails() -> None:
        times.append(world.clock())
        if len(times) < 12:
            raise BugError

    for _ in range(400):
        world.poller.ask(ONE, fails, every=0.5)
        await asyncio.sleep(1.0)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert max(pauses) == FAILED_MAX
    assert pauses[-1] == 1.0


@simulated
async def test_what_nobody_asks_any_more_is_not_remembered_for_ever(world: World) -> None:
    for number in range(100):
        world.poller.ask(of(number), world.taking(0.1), every=1.0)
    await asyncio.sleep(REMEMBERED + 1.0)
    world.poller.ask(ONE, world.taking(0.1), every=1.0)
    assert list(world.poller._asked) == [ONE]


@simulated
async def test_a_look_that_never_ends_is_ended(world: World) -> None:
    world.poller.ask(ONE, world.taking(1e9), every=2.0)
    await world.poller.idle()
    assert (world.clock(), world.due) == (LONGEST, [KEY])


@simulated
async def test_what_is_forgotten_is_stopped_and_makes_nothing_due(world: World) -> None:
    parts = [Question("comparison", KEY, name) for name in "ab"]
    for question in (ONE, *parts, of(1)):
        world.poller.ask(question, world.taking(1.0), every=2.0)
    world.poller.forget(KEY)
    await asyncio.sleep(5.0)
    assert world.due == [of(1).key]
    world.poller.ask(ONE, world.taking(1.0), every=2.0)
    world.poller.drop(ONE)
    await asyncio.sleep(5.0)
    assert world.due == [of(1).key]


@simulated
async def test_who_leads_no_more_asks_nobody(world: World) -> None:
    leads = True
    poller = Poller(world.due.append, world.clock, at_once=1, may_ask=lambda: leads)
    poller.ask(of(0), world.taking(2.0), every=10.0)
    poller.ask(of(1), world.taking(2.0), every=10.0)
    await asyncio.sleep(1.0)
    leads = False
    await poller.idle()
    assert world.looks == [0.0], "not even the one that waited for its turn"
    assert world.due == [of(0).key]


@simulated
async def test_at_the_end_nothing_is_left(world: World) -> None:
    for number in range(AT_ONCE + 8):
        world.poller.ask(of(number), world.taking(2.0), every=10.0)
    await asyncio.sleep(0.5)
    await world.poller.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert world.due == []
