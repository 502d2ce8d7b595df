"""When an HTTPRoute is live, and what is wrong where it is not."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from modelward.facts import GatewayFacts
from modelward.routing.gateway.accepted import (
    SETTLE_SECONDS,
    ParentFacts,
    RouteFacts,
    Since,
    gateway_facts,
    holding,
    trusted,
)

A, B = "fraud-a", "fraud-b"

SILENT = ParentFacts("infra/public")
BEHIND = replace(SILENT, answered=True, accepted=True)
TAKEN = replace(BEHIND, current=True)
REFUSED = replace(SILENT, answered=True, current=True, refusal="NoMatchingParent: no listener of that name")
OTHER = replace(TAKEN, name="infra/other")


def route(*parents: ParentFacts, form: str = "uid/2") -> RouteFacts:
    return RouteFacts("fraud", form, "v2", parents)


class Watch:
    """Looks again and again, as the operator does, at times that the test gives."""

    def __init__(self, live: bool = False, routed: Iterable[str] = (A,)) -> None:
        self._since: Since | None = None
        self._live, self._routed = live, tuple(routed)

    def look(self, now: float, facts: RouteFacts, *complete: str) -> GatewayFacts:
        known = trusted(facts, self._routed, self._live)
        self._since = holding(facts, complete, self._since, known, now)
        return gateway_facts(facts, self._since, now)


@pytest.mark.parametrize(
    ("parents", "accepted", "live"),
    [
        ((SILENT,), False, None),
        ((BEHIND,), True, None),
        ((TAKEN,), True, "v2"),
        ((REFUSED,), False, None),
        ((TAKEN, OTHER), True, "v2"),
        ((TAKEN, replace(OTHER, current=False)), True, None),
        ((TAKEN, REFUSED), False, None),
        ((OTHER, SILENT), False, None),
    ],
)
def test_it_is_live_when_every_gateway_has_the_newest_form(
    parents: tuple[ParentFacts, ...], accepted: bool, live: str | None
) -> None:
    watch = Watch()
    watch.look(0.0, route(*parents))
    facts = watch.look(SETTLE_SECONDS, route(*parents))
    assert (facts.accepted, facts.live) == (accepted, live)


def test_it_is_live_only_after_a_moment_and_each_change_begins_anew() -> None:
    watch = Watch()
    assert watch.look(10.0, route(BEHIND)).live is None
    first = watch.look(11.0, route(TAKEN))
    assert (first.live, first.again_in) == (None, SETTLE_SECONDS)
    assert watch.look(12.5, route(TAKEN)).again_in == 0.5
    settled = watch.look(13.0, route(TAKEN))
    assert (settled.live, settled.again_in) == ("v2", None)
    assert watch.look(13.1, route(TAKEN, form="uid/3")).live is None
    assert watch.look(15.1, route(TAKEN, form="uid/3")).live == "v2"


def test_a_gateway_that_loses_it_for_a_moment_begins_anew() -> None:
    watch = Watch()
    watch.look(0.0, route(TAKEN))
    assert watch.look(5.0, route(TAKEN)).live == "v2"
    lost = watch.look(6.0, route(SILENT))
    assert (lost.live, lost.accepted) == (None, False)
    assert watch.look(7.0, route(TAKEN)).live is None


def test_a_restart_trusts_what_the_status_says() -> None:
    assert Watch(live=True).look(0.0, route(TAKEN)).live == "v2"
    assert Watch(live=True).look(0.0, route(BEHIND)).live is None
    assert Watch(live=False).look(0.0, route(TAKEN)).live is None


def test_a_revision_is_reached_when_its_pods_were_ready_for_a_moment() -> None:
    """A Gateway's controller learns of them by a watch of its own; weight before that would be lost requests."""
    watch = Watch()
    assert watch.look(0.0, route(TAKEN), A).reachable == {A}, "it gets requests already"
    assert watch.look(1.0, route(TAKEN), A, B).reachable == {A}
    assert watch.look(2.9, route(TAKEN), A, B).reachable == {A}
    assert watch.look(3.0, route(TAKEN), A, B).reachable == {A, B}
    assert watch.look(4.0, route(TAKEN), A).reachable == {A}
    assert watch.look(5.0, route(TAKEN), A, B).reachable == {A}


def test_nothing_is_reached_by_a_route_that_nobody_takes() -> None:
    watch = Watch()
    watch.look(0.0, route(SILENT), A)
    assert watch.look(9.0, route(SILENT), A).reachable == frozenset()


def test_a_refusal_counts_when_it_stays() -> None:
    """A route may be seen before the Service that it names."""
    watch = Watch()
    watch.look(-1.0, route(SILENT))
    assert watch.look(0.0, route(REFUSED)).refused is None
    refused = watch.look(2.0, route(REFUSED)).refused
    assert refused is not None
    assert "Gateway infra/public says NoMatchingParent: no listener of that name" in refused
    assert "Correct spec.router.gateway" in refused
    assert watch.look(2.1, route(TAKEN, form="uid/3")).refused is None


def test_a_refusal_is_known_at_once_after_a_restart() -> None:
    assert Watch().look(0.0, route(REFUSED)).refused is not None


def test_who_has_not_spoken_is_named() -> None:
    waits_for = Watch().look(0.0, route(SILENT, OTHER)).waits_for
    assert waits_for is not None
    assert waits_for.startswith("Gateway infra/public to take up HTTPRoute fraud: no controller has spoken of it yet")
