"""The Lease is renewed whatever the operator's own loop does, and fences all writes once it is lost."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from everywhere import Everywhere
from modelward.kube.cache import Cache, Key
from modelward.kube.client import Api, ApiError, ApiUnreachableError, NotLeaderError
from modelward.kube.lease import Lease, LeaseSettings
from modelward.kube.lease_thread import LeaseThread
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import CONFIG_MAPS
from modelward.reconcilers.loop import Controller, LeaseLostError
from modelward.reconcilers.modeldeployment.reconcile import Outcome

KEY = Key("ml", "fraud")
SETTINGS = LeaseSettings(namespace="ml", duration=20.0, renew_every=0.001, margin=8.0)
"""The clock is the test's, but what sleeps between two renewals is real."""

PATIENCE = 30.0


class Leases:
    """The API server's part, asked from two threads. `fails`: raised instead of any answer; `renewed`: how often."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fails: BaseException | None = None
        self.renewed = 0
        self.threads: set[int] = set()
        self._stored: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def clock(self) -> float:
        return self.now

    async def get(self, _resource: Any, _namespace: str, _name: str) -> dict[str, Any] | None:
        self.threads.add(threading.get_ident())
        if self.fails:
            raise self.fails
        return None if self._stored is None else {**self._stored, "spec": dict(self._stored["spec"])}

    async def request(self, _method: str, _resource: Any, _path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        if self.fails:
            raise self.fails
        with self._lock:
            known = self._stored["metadata"]["resourceVersion"] if self._stored else None
            if body["metadata"].get("resourceVersion") != known:
                raise ApiError(409, "Conflict", "somebody was faster")
            self.renewed += 1
            self._stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.renewed)}}
        return self._stored

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Api]:
        yield self  # type: ignore[misc]

    def candidate(self, identity: str) -> LeaseThread:
        return LeaseThread(SETTINGS, identity, self.clock, self.connection)

    @property
    def holder(self) -> str:
        assert self._stored is not None
        return str(self._stored["spec"]["holderIdentity"])


def blocking_until(condition: Callable[[], bool]) -> None:
    """Without giving the event loop back, as a long computation does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class Blocks:
    """A reconcile that lets three durations of the lease pass without giving the event loop back."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self.ended = False

    async def reconcile(self, _key: Key) -> Outcome:
        for _ in range(30):
            self.leases.now += SETTINGS.duration / 10
            seen = self.leases.renewed
            # Two: the first may have begun before time went on.
            blocking_until(lambda seen=seen: self.leases.renewed >= seen + 2)  # type: ignore[misc]
        self.ended = True
        return Outcome()


def controller(leases: Leases, lease: LeaseThread, reconciler: Any) -> tuple[Controller, WorkQueue]:
    cache, queue = Cache(), WorkQueue(leases.clock)
    cache.watched = ()
    made = Controller(
        None, cache, queue, lease, Everywhere(), {KEY.kind: reconciler}, leases.clock,  # type: ignore[arg-type]
    )  # fmt: skip
    return made, queue


async def nothing_watched() -> tuple[()]:
    return ()


async def test_a_reconcile_that_is_longer_than_the_lease_does_not_lose_it() -> None:
    leases = Leases()
    lease, work = leases.candidate("a"), Blocks(leases)
    operator, queue = controller(leases, lease, work)
    queue.add(KEY)
    running = asyncio.create_task(operator.run(nothing_watched()))
    rival = Lease(leases, SETTINGS, "b", leases.clock)  # type: ignore[arg-type]
    await until(lambda: work.ended)
    assert lease.is_held()
    assert not await rival._try(), "nobody takes over from a leader that works"
    assert leases.holder == "a"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not lease.is_held()
    assert await rival._try(), "at a regular end the next need not wait"


async def test_the_lease_has_a_thread_of_its_own() -> None:
    leases = Leases()
    lease = leases.candidate("a")
    await lease.acquire()
    assert threading.get_ident() not in leases.threads
    await lease.release()


@pytest.mark.parametrize("failure", [ApiUnreachableError("no answer"), ApiError(403, "Forbidden", "no right")])
async def test_a_lost_lease_fences_every_write_and_ends_the_operator(failure: Exception) -> None:
    leases = Leases()
    lease = leases.candidate("a")
    operator, _ = controller(leases, lease, None)
    running = asyncio.create_task(operator.run(nothing_watched()))
    await until(lease.is_held)
    api = Api(None, may_write=lease.is_held)  # type: ignore[arg-type]
    leases.fails = failure
    leases.now += SETTINGS.duration - SETTINGS.margin
    manifest = {"metadata": {"namespace": "ml", "name": "fraud"}}
    for write in (
        lambda: api.apply(CONFIG_MAPS, manifest),
        lambda: api.merge(CONFIG_MAPS, "ml", "fraud", {}),
        lambda: api.create(CONFIG_MAPS, "ml", manifest),
        lambda: api.delete(CONFIG_MAPS, "ml", "fraud", "uid"),
    ):
        with pytest.raises(NotLeaderError):
            await write()  # type: ignore[no-untyped-call]
    with pytest.raises(BaseExceptionGroup) as ended:
        await running
    assert ended.group_contains(LeaseLostError)


class DiesError(BaseException):
    """Nothing catches it."""


@pytest.mark.parametrize("death", [DiesError(), KeyError("spec")])
async def test_a_thread_that_dies_ends_the_operator(death: BaseException) -> None:
    leases = Leases()
    lease = leases.candidate("a")
    operator, _ = controller(leases, lease, None)
    running = asyncio.create_task(operator.run(nothing_watched()))
    await until(lease.is_held)
    leases.fails = death
    with pytest.raises(BaseException) as ended:  # noqa: PT011  a group, or what it was
        await running
    assert isinstance(ended.value, type(death)) or ended.group_contains(type(death))


async def test_who_cannot_even_connect_says_why() -> None:
    @contextlib.asynccontextmanager
    async def connection() -> AsyncIterator[Api]:
        raise LookupError("neither a pod nor a kubeconfig")
        yield

    lease = LeaseThread(SETTINGS, "a", time.monotonic, connection)
    with pytest.raises(LookupError, match="kubeconfig"):
        await lease.acquire()
    assert not lease.is_held()


async def test_who_stands_by_ends_when_it_is_asked_to() -> None:
    leases = Leases()
    first, second = leases.candidate("a"), leases.candidate("b")
    await first.acquire()
    operator, _ = controller(leases, second, None)
    standing_by = asyncio.create_task(operator.run(nothing_watched()))
    await until(lambda: len(leases.threads) == 2)
    standing_by.cancel()
    with pytest.raises(asyncio.CancelledError):
        await standing_by
    assert [thread.name for thread in threading.enumerate()].count("lease") == 1, "only the first's thread goes on"
    assert (first.is_held(), second.is_held(), leases.holder) == (True, False, "a")
    await first.release()
