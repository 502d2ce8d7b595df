"""What is known of an HTTPRoute from what its Gateways say of it.

A Gateway's controller says that it has taken a route up, not that every proxy behind it follows; and it learns of a
pod that has become ready from an EndpointSlice of its own watch. Both take a moment, and nobody tells when it is over.
So a fact counts only when it has held for SETTLE_SECONDS.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelward.facts import GatewayFacts

SETTLE_SECONDS = 2.0
"""Envoy Gateway's proxies follow after 0.1 s as a rule, and after 1 s where changes come fast: Envoy merges them."""

Since = Mapping[str, float]
"""Since when facts hold without a break, in seconds of a monotonic clock."""


@dataclass(frozen=True)
class ParentFacts:
    """What one Gateway (`name`: for messages) says of the route.

    `answered`: a controller has spoken of the route; `accepted`: it takes the route and finds every backend, in the
    newest form or an earlier one; `current`: what it says is about the newest form; `refusal`: its own words for what
    is wrong with that.
    """

    name: str
    answered: bool = False
    accepted: bool = False
    current: bool = False
    refusal: str | None = None


@dataclass(frozen=True)
class RouteFacts:
    """The HTTPRoute that exists. `form`: names the object and its generation; `version`: of its content."""

    name: str
    form: str
    version: str
    parents: tuple[ParentFacts, ...]

    @property
    def taken_up(self) -> bool:
        """Whether every Gateway says that it has the newest form."""
        return all(parent.accepted and parent.current for parent in self.parents)

    @property
    def refusals(self) -> tuple[ParentFacts, ...]:
        """The Gateways that do not take the newest form."""
        return tuple(parent for parent in self.parents if parent.refusal is not None)


def holding(
    route: RouteFacts, complete: Iterable[str], before: Since | None, trusted: Iterable[str], now: float
) -> Since:
    """Which facts hold, and since when. `complete`: revisions all of whose pods are ready.

    `before`: what the last look gave, None at the first one of this process: then what `trusted` names has held for
    long, since somebody has written it down: a restart must not make a settled model look unsettled.
    """
    facts = [_ready(revision) for revision in complete]
    facts += [_taken_up(route)] if route.taken_up else []
    facts += [_refused(route)] if route.refusals else []
    if before is None:
        return {fact: float("-inf") if fact in set(trusted) else now for fact in facts}
    return {fact: before.get(fact, now) for fact in facts}


def trusted(route: RouteFacts, routed: Iterable[str], live: bool) -> tuple[str, ...]:
    """What need not be waited for at the first look: what already was so, by the status (`live`: that the Gateways
    follow the route's version) and by the weights (`routed`: revisions that get requests anyway)."""
    return (*(_ready(revision) for revision in routed), _refused(route), *((_taken_up(route),) if live else ()))


def gateway_facts(route: RouteFacts, since: Since, now: float) -> GatewayFacts:
    """What decisions are made from."""
    settled = {fact for fact, time in since.items() if now - time >= SETTLE_SECONDS}
    accepted = all(parent.accepted for parent in route.parents)
    ready = {fact for fact in settled if fact.startswith(_READY)} if accepted else set()
    left = [SETTLE_SECONDS - (now - time) for fact, time in since.items() if fact not in settled]
    return GatewayFacts(
        accepted=accepted,
        live=route.version if _taken_up(route) in settled else None,
        reachable=frozenset(fact.removeprefix(_READY) for fact in ready),
        refused=_refusal(route) if _refused(route) in settled else None,
        waits_for=_waits_for(route),
        again_in=min(left, default=None),
    )


_READY = "ready "


def _ready(revision: str) -> str:
    return f"{_READY}{revision}"


def _taken_up(route: RouteFacts) -> str:
    return f"taken up {route.form}"


def _refused(route: RouteFacts) -> str:
    return f"refused {route.form}"


def _refusal(route: RouteFacts) -> str:
    said = "; ".join(f"Gateway {parent.name} says {parent.refusal}" for parent in route.refusals)
    return (
        f"HTTPRoute {route.name} is not taken up. {said}. Correct spec.router.gateway, or let the Gateway's listeners "
        "allow routes of this namespace and of these hosts"
    )


def _waits_for(route: RouteFacts) -> str:
    silent = [parent.name for parent in route.parents if not parent.answered]
    if silent:
        return (
            f"Gateway {', '.join(silent)} to take up HTTPRoute {route.name}: no controller has spoken of it yet. Check "
            "that the Gateway exists, and that the controller of its class runs"
        )
    return f"the Gateways to follow HTTPRoute {route.name}"
