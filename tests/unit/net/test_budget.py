"""One namespace's pods, mute or greedy, and what they cost the others: nothing."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from builders import pod
from everywhere import Everywhere
from modelward.facts import PodFacts
from modelward.kube.cache import Cache, Key
from modelward.kube.poller import Poller
from modelward.kube.queue import WorkQueue
from modelward.monitoring.client import Answer, Monitors
from modelward.net import budget as module
from modelward.net.body import open_session
from modelward.net.budget import CONNECTIONS, Budget, LeftOutError
from modelward.net.pods import BadAnswerError, NoAnswerError, Pods
from modelward.net.purse import BYTES, SECONDS, SECONDS_EACH, SOON, WAIT
from modelward.reconcilers.loop import WORKERS, WORKERS_EACH, Controller
from modelward.reconcilers.modeldeployment.reconcile import Outcome
from modelward.rollouts.evidence.scrape import Scraper
from modelward.routing.envoy.probe import RouterProbe
from polled import told
from simulated import simulate

LOOK_EVERY = 10.0
HEALTHY = 0.02
"""Seconds that a pod takes which is well."""


class Network:
    """In the place of an aiohttp session, since here time is virtual. `silent`: seconds that pods of a namespace take;
    more than WAIT: they do not answer."""

    def __init__(self, silent: dict[str, float]) -> None:
        self.silent = silent
        self.content = self

    @asynccontextmanager
    async def request(self, _method: str, url: Any, **_: Any) -> AsyncIterator[Any]:
        takes = self.silent[url.host]
        await asyncio.sleep(min(takes, WAIT))
        if takes > WAIT:
            raise TimeoutError
        yield self

    status, headers = 200, dict[str, str]()

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield b"{}"


class Looks:
    """In the place of a reconciler: looks at its pod, then again in ten seconds."""

    def __init__(self, pods: Pods, clock: Any) -> None:
        self._pods, self._clock = pods, clock
        self.at: dict[Key, list[float]] = defaultdict(list)

    async def reconcile(self, key: Key) -> Outcome:
        self.at[key].append(round(self._clock(), 3))
        facts = PodFacts(key.name, f"{key.namespace}/{key.name}", key.namespace, namespace=key.namespace)
        with suppress(NoAnswerError):
            await self._pods.ask(facts, 80, "/", lambda _, raw: raw)
        return Outcome(again_in=LOOK_EVERY)


def looks(silent: dict[str, float], seconds: float = 600.0) -> dict[str, list[float]]:
    """When each model of the namespace `good` was looked at, of sixty in every namespace; real workers, queue, budget
    and client."""

    async def run() -> dict[str, list[float]]:
        clock = asyncio.get_running_loop().time
        queue = WorkQueue(clock, WORKERS_EACH)
        pods = Pods(Network(silent), clock, budget=Budget(clock))  # type: ignore[arg-type]
        made = Looks(pods, clock)
        unused: Any = None
        controller = Controller(unused, Cache(), queue, unused, Everywhere(), {"ModelDeployment": made}, clock)
        for number in range(60):
            for namespace in silent:
                queue.add(Key(namespace, f"m{number}"))
        workers = [asyncio.create_task(controller._work_for_ever()) for _ in range(WORKERS)]
        await asyncio.sleep(seconds)
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return {key.name: at for key, at in made.at.items() if key.namespace == "good"}

    return simulate(run(), turn=1e-11)


@pytest.mark.parametrize("takes", [60.0, WAIT - 0.01, SOON, SOON - 0.01])
def test_sixty_mute_or_slow_pods_of_a_namespace_change_no_other_ones_schedule(takes: float) -> None:
    alone = looks({"good": HEALTHY})
    assert len(alone) == 60
    assert all(len(at) >= 59 for at in alone.values())
    assert looks({"bad": takes, "good": HEALTHY}) == alone


def test_many_namespaces_of_mute_pods_soon_cost_the_others_nothing() -> None:
    bad = {f"bad{number}": 60.0 for number in range(6)}
    for at in looks({**bad, "good": HEALTHY}, 900.0).values():
        late = [moment for moment in at if moment > 300]
        assert len(late) > 50
        assert {round(after - before, 1) for before, after in pairwise(late)} == {LOOK_EVERY}


@contextmanager
def limits(monkeypatch: pytest.MonkeyPatch, **values: int) -> Iterator[None]:
    with monkeypatch.context() as changed:
        for name, value in values.items():
            changed.setattr(module, name, value)
        yield


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def mute(budget: Budget, clock: Clock, facts: PodFacts, seconds: float = WAIT) -> bool:
    """Ask a pod in vain. Whether it was asked."""
    try:
        async with budget.asking(facts):
            clock.now += seconds
            raise TimeoutError
    except LeftOutError:
        return False
    except TimeoutError:
        return True


async def test_a_mute_pod_is_asked_as_often_as_its_namespace_has_time_left(clock: Clock) -> None:
    budget, one = Budget(clock), pod("one", namespace="a")
    asked = [await mute(budget, clock, one) for _ in range(50)]
    enough = asked.count(True)
    assert asked == [True] * enough + [False] * (50 - enough)
    assert SECONDS / WAIT <= enough <= SECONDS / WAIT + SECONDS_EACH * WAIT * enough / WAIT
    well, other = pod("well", namespace="a"), pod("one-too", namespace="b")
    for facts in (well, other):
        async with budget.asking(facts) as question:
            question.in_vain = False
    assert not await mute(budget, clock, one)
    clock.now += WAIT / SECONDS_EACH
    assert await mute(budget, clock, one)


async def test_a_suspect_that_answers_again_is_none(clock: Clock) -> None:
    budget, one = Budget(clock), pod("one", namespace="a")
    assert await mute(budget, clock, one)
    assert "uid-one" in budget._suspects
    async with budget.asking(one) as question:
        question.in_vain = False
    assert "uid-one" not in budget._suspects


async def test_a_namespace_has_so_many_bytes_whether_answers_are_whole_or_not(clock: Clock) -> None:
    budget, greedy = Budget(clock), pod("greedy", namespace="a")
    for _ in range(BYTES // (2 << 20)):
        with suppress(ValueError):
            async with budget.asking(greedy) as question:
                question.in_vain = False
                question.heard(2 << 20)
                raise ValueError("too much")
    with pytest.raises(LeftOutError, match="more bytes than the operator has for them") as told:
        async with budget.asking(pod("another", namespace="a")):
            pass
    assert not told.value.suspect
    async with budget.asking(pod("greedy", namespace="b")):
        pass
    clock.now += 1.0
    async with budget.asking(greedy):
        pass


async def test_connections_of_a_namespace_are_its_own() -> None:
    budget, opened = Budget(), asyncio.Event()

    async def hold(number: int) -> None:
        async with budget.asking(pod(f"p{number}", namespace="a")) as question:
            question.in_vain = False
            await opened.wait()

    held = [asyncio.create_task(hold(number)) for number in range(CONNECTIONS)]
    await asyncio.sleep(0)
    async with budget.asking(pod("another", namespace="b")):
        pass
    waits = asyncio.create_task(hold(CONNECTIONS))
    await asyncio.sleep(0)
    assert budget._namespaces["a"].connections.locked()
    budget._suspects["uid-p-suspect"] = None
    with pytest.raises(LeftOutError, match="more time"):
        async with budget.asking(pod("p-suspect", namespace="a")):
            pass
    opened.set()
    await asyncio.gather(*held, waits)


def test_whoever_waits_for_a_connection_does_not_for_ever() -> None:
    async def run() -> float:
        budget = Budget(asyncio.get_running_loop().time)
        async with budget.asking(pod("one", namespace="a")):
            for _ in range(CONNECTIONS - 1):
                await budget._namespaces["a"].connections.acquire()
            with pytest.raises(LeftOutError):
                async with budget.asking(pod("two", namespace="a")):
                    pass
            return asyncio.get_running_loop().time()

    assert simulate(run(), turn=1e-11) == pytest.approx(WAIT)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    with limits(monkeypatch, SUSPECTS=5, NAMESPACES=5):
        budget = Budget(clock)
        async with budget.asking(pod("held", namespace="first")):
            for number in range(20):
                await mute(budget, clock, pod(f"p{number}", namespace=f"n{number}"), 0.1)
            assert "first" in budget._namespaces, "who is being asked is not forgotten"
        assert len(budget._suspects) <= 5
        assert len(budget._namespaces) <= 5


class MutePods:
    """Take connections, and say nothing."""

    def __init__(self) -> None:
        self.connections = 0

    async def __aenter__(self) -> int:
        async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            await reader.read()
            writer.close()

        self._server = await asyncio.start_server(heard, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


async def test_all_who_ask_pods_keep_to_it(clock: Clock) -> None:
    """With a budget that has nothing left, no client of the operator's sends anything."""
    budget = Budget(clock)
    one = pod("one", ip="127.0.0.1", namespace="a")
    while await mute(budget, clock, one):
        pass
    silent = MutePods()
    async with silent as port, open_session() as session:
        scraper = Scraper(session, port, port, budget=budget)
        assert await Monitors(session, port, budget=budget).counts(one) == Answer()
        assert await scraper.samples(one, 0) is None
        assert await scraper.servers({"a": [one]}, None) == {}
        assert await scraper.routers([one], "a", "b", None) == {}
        poller = Poller(lambda _: None, clock)
        probe = RouterProbe(session, poller, port, budget=budget)
        (router,) = await told(poller, lambda: probe.look(Key("a", "m"), [one], "v", {"r": "w"}))
        assert router.config_version is None
        assert silent.connections == 0


async def test_a_namespace_without_bytes_left_is_told_so(clock: Clock) -> None:
    budget, one = Budget(clock), pod("one", namespace="a")
    async with budget.asking(one) as question:
        question.in_vain = False
        question.heard(2 * BYTES)
    async with open_session() as session:
        with pytest.raises(BadAnswerError, match="more bytes than the operator has for them"):
            await Pods(session, clock, budget=budget).ask(one, 1, "/", lambda _, raw: raw)


@pytest.mark.parametrize("whole", [True, False])
async def test_greedy_pods_use_up_the_bytes_of_their_own_namespace(clock: Clock, whole: bool) -> None:
    """Also with answers that never come to an end."""
    size = 1 << 20

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(size if whole else 2 * size)})
        await answer.prepare(request)
        await answer.write(b" " * size)
        if not whole and request.transport is not None:
            request.transport.close()
        return answer

    application = web.Application()
    application.router.add_get("/", handler)
    async with TestServer(application, host="127.0.0.1") as server, open_session() as session:
        pods = Pods(session, clock, budget=Budget(clock))

        async def ask(namespace: str) -> int:
            asked = pod("one", uid=f"one-{namespace}", ip="127.0.0.1", namespace=namespace)
            return await pods.ask(asked, server.port or 0, "/", lambda _, raw: len(raw))

        for _ in range(BYTES // size):
            with suppress(NoAnswerError):
                assert await ask("greedy") == size
        with pytest.raises((BadAnswerError, NoAnswerError)) as told:
            await ask("greedy")
        assert isinstance(told.value.__cause__, LeftOutError)
        with suppress(NoAnswerError):
            assert await ask("other") == size
