"""The lease's promises: one writer at a time, and a fence that closes before anybody else may begin."""

from typing import Any

import pytest

from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.lease import Lease, LeaseSettings

SETTINGS = LeaseSettings(namespace="ml", duration=20.0, renew_every=3.0, margin=8.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """The API server's part: one Lease with optimistic locking. `fails`: raised instead of the next answers."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.fails: Exception | None = None
        self._version = 0

    async def get(self, _resource: Any, _namespace: str, _name: str) -> dict[str, Any] | None:
        if self.fails:
            raise self.fails
        return None if self.stored is None else {**self.stored, "spec": dict(self.stored["spec"])}

    async def request(self, method: str, _resource: Any, _path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        if self.fails:
            raise self.fails
        known = None if self.stored is None else self.stored["metadata"]["resourceVersion"]
        if (method == "POST" and known) or (method == "PUT" and body["metadata"]["resourceVersion"] != known):
            raise ApiError(409, "Conflict", "somebody was faster")
        self._version += 1
        self.stored = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        return self.stored

    @property
    def holder(self) -> str:
        assert self.stored is not None
        return str(self.stored["spec"]["holderIdentity"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases() -> Leases:
    return Leases()


def candidate(leases: Leases, clock: Clock, identity: str) -> Lease:
    return Lease(leases, SETTINGS, identity, clock)  # type: ignore[arg-type]


async def test_who_comes_first_holds_it_and_the_other_does_not(leases: Leases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first._try()
    assert not await second._try()
    assert (first.is_held(), second.is_held(), leases.holder) == (True, False, "a")


async def test_the_fence_closes_before_another_may_take_over(leases: Leases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first._try()
    assert not await second._try()
    clock.now += SETTINGS.duration - SETTINGS.margin
    assert not first.is_held()
    assert not await second._try(), "nobody may begin while a write of the old leader can still be on its way"
    clock.now += SETTINGS.margin
    assert await second._try()
    assert leases.holder == "b"


async def test_a_renewal_counts_from_before_it_was_asked_for(leases: Leases, clock: Clock) -> None:
    lease = candidate(leases, clock, "a")
    slow = leases.get

    async def get(*arguments: Any) -> dict[str, Any] | None:
        clock.now += 5
        return await slow(*arguments)

    leases.get = get  # type: ignore[method-assign]
    began = clock.now
    assert await lease._try()
    clock.now = began + SETTINGS.duration - SETTINGS.margin
    assert not lease.is_held()


async def test_a_lease_that_is_renewed_is_never_taken_away(leases: Leases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    for _ in range(30):
        assert await first._try()
        assert not await second._try()
        clock.now += SETTINGS.renew_every
    assert first.is_held()


async def test_only_one_wins_a_race_for_a_free_lease(leases: Leases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first._try()
    await first.release()
    seen = await leases.get(None, "", "")
    assert await first._try()
    stale = leases.get

    async def get(*_: Any) -> dict[str, Any] | None:
        return seen

    leases.get = get  # type: ignore[method-assign]
    assert not await second._try(), "its view is older than the other's success"
    leases.get = stale  # type: ignore[method-assign]
    assert leases.holder == "a"


async def test_released_it_is_free_at_once(leases: Leases, clock: Clock) -> None:
    first, second = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    assert await first._try()
    await first.release()
    assert not first.is_held()
    assert await second._try()


async def test_a_restarted_container_of_the_same_pod_takes_its_own_lease_again(leases: Leases, clock: Clock) -> None:
    """Sooner than another may, but not before the last write of the one that was killed is over."""
    assert await candidate(leases, clock, "a")._try()
    again = candidate(leases, clock, "a")
    assert not await again._try()
    clock.now += SETTINGS.margin
    assert await again._try()
    assert leases.stored is not None
    assert leases.stored["spec"]["leaseTransitions"] == 0


@pytest.mark.parametrize("failure", [ApiUnreachableError("no answer"), ApiError(403, "Forbidden", "no right")])
async def test_a_failed_renewal_does_not_move_the_fence(leases: Leases, clock: Clock, failure: Exception) -> None:
    lease = candidate(leases, clock, "a")
    assert await lease._try()
    leases.fails = failure
    clock.now += SETTINGS.renew_every
    assert not await lease._try()
    assert lease.is_held()
    clock.now += SETTINGS.duration - SETTINGS.margin - SETTINGS.renew_every
    assert not lease.is_held()


async def test_keep_returns_when_the_fence_has_closed(leases: Leases, clock: Clock) -> None:
    lease = Lease(leases, LeaseSettings("ml", renew_every=0.0), "a", clock)  # type: ignore[arg-type]
    assert await lease._try()
    fails = leases.get

    async def get(*arguments: Any) -> dict[str, Any] | None:
        clock.now += 4
        leases.fails = ApiUnreachableError("no answer")
        return await fails(*arguments)

    leases.get = get  # type: ignore[method-assign]
    await lease.keep()
    assert not lease.is_held()
