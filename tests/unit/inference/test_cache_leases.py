"""Pods that wait for the one that is at it, for as long as its lease lasts."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward_inference.fetch import cache
from modelward_inference.fetch.cache import LEASE, Cache

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _as_a_new_process() -> None:
    cache._troubles.clear()


@pytest.fixture
def shared(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", owner="me")


class Clock:
    """Time passes by sleeping alone. `then`: what happens at which second."""

    def __init__(self, **then: Callable[[], object]) -> None:
        self.now = 0.0
        self.then = {float(at.removeprefix("at_")): act for at, act in then.items()}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [each for each in self.then if each <= self.now]:
            self.then.pop(at)()


def test_a_pod_waits_for_the_one_that_is_at_it(shared: Cache) -> None:
    other = Cache(shared.root, owner="other")
    done: list[int] = []
    other.wait("x", lambda: bool(done))
    clock = Clock(at_20=lambda: done.append(1))
    shared.wait("x", lambda: bool(done), clock.sleep, clock)
    assert clock.now == 20
    assert (shared.root / "leases" / "x").read_text() == "other"


def test_who_has_just_made_a_lease_and_not_signed_it_yet_is_waited_for(shared: Cache) -> None:
    lease, done = shared.root / "leases" / "x", []
    lease.parent.mkdir(parents=True)
    lease.touch()
    clock = Clock(at_5=lambda: lease.write_text("other"), at_20=lambda: done.append(1))
    shared.wait("x", lambda: bool(done), clock.sleep, clock)
    assert clock.now == 20, "and not taken for another one, who has it by now"


def test_a_lease_that_is_given_back_is_the_next_one_s(shared: Cache) -> None:
    other = Cache(shared.root, owner="other")
    other.wait("x", lambda: False)
    clock = Clock(at_5=lambda: other.release("x"))
    shared.wait("x", lambda: False, clock.sleep, clock)
    assert (clock.now, (shared.root / "leases" / "x").read_text()) == (5, "me")
    other.release("x")
    assert (shared.root / "leases" / "x").exists()


def test_what_one_pod_could_not_share_is_not_waited_for_again(shared: Cache) -> None:
    """A cache that is full, or too small, must not make pods work one after the other."""
    first, second = Cache(shared.root, owner="first"), Cache(shared.root, owner="second")
    first.wait("x", lambda: False)

    def given_on() -> None:
        first.release("x")
        second.wait("x", lambda: False)

    clock = Clock(at_20=given_on)
    shared.wait("x", lambda: False, clock.sleep, clock)
    assert clock.now < 22
    assert (shared.root / "leases" / "x").read_text() == "second"
    shared.release("x")
    assert (shared.root / "leases" / "x").exists(), "it is not this one's"


def test_a_lease_that_somebody_keeps_fresh_for_ever_is_waited_for_no_longer_than_that(shared: Cache) -> None:
    (shared.root / "leases").mkdir(parents=True)
    clock = Clock()
    ticks = iter(range(1, 1 << 20))

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        (shared.root / "leases" / "x").write_text("somebody")
        os.utime(shared.root / "leases" / "x", (next(ticks),) * 2)

    (shared.root / "leases" / "x").write_text("somebody")
    shared.wait("x", lambda: False, sleep, clock)
    assert cache.LONGEST < clock.now < cache.LONGEST + 2


def test_who_took_over_from_a_dead_pod_is_waited_for(shared: Cache) -> None:
    Cache(shared.root, owner="dead").wait("x", lambda: False)
    done: list[int] = []
    heir = Clock()

    def inherit() -> None:
        Cache(shared.root, owner="heir").wait("x", lambda: False, heir.sleep, heir)

    clock = Clock(at_20=inherit, at_60=lambda: done.append(1))
    shared.wait("x", lambda: bool(done), clock.sleep, clock)
    assert clock.now == 60
    Cache(shared.root, owner="heir").release("x")
    assert not (shared.root / "leases" / "x").exists()


def test_a_pod_that_died_is_waited_for_as_long_as_a_lease_lasts_whatever_the_clocks_say(shared: Cache) -> None:
    Cache(shared.root, owner="dead").wait("x", lambda: False)
    for when in (1, 1 << 32):
        os.utime(shared.root / "leases" / "x", (when, when))
        (shared.root / "leases" / "x").write_text("dead")
        os.utime(shared.root / "leases" / "x", (when, when))
        clock = Clock()
        shared.wait("x", lambda: False, clock.sleep, clock)
        assert LEASE < clock.now <= LEASE + 1


def test_a_pod_that_starts_again_does_not_wait_for_itself(shared: Cache) -> None:
    clock = Clock()
    shared.wait("x", lambda: False, clock.sleep, clock)
    shared.wait("x", lambda: False, clock.sleep, clock)
    assert clock.now == 0
