"""Which requests go where, as a user asks for it, beside the rollout's own weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CANDIDATE: Final = "candidate"
"""The name of the arm that a rollout tries; no variant may have it."""

DEFAULT_TIMEOUT: Final = "300s"


@dataclass(frozen=True)
class StickyBy:
    """What keeps a user on one arm: the value of a header or of a cookie. At most one is set."""

    header: str | None = None
    cookie: str | None = None


@dataclass(frozen=True)
class HeaderMatch:
    """Requests whose `header` has this `value` go to the arm `to`: `candidate` or a variant's name."""

    header: str
    value: str
    to: str = CANDIDATE


@dataclass(frozen=True)
class Traffic:
    """`timeout`: longest that a request may take; `retries`: of what the model can't have begun to work on."""

    sticky_by: StickyBy | None = None
    match: tuple[HeaderMatch, ...] = ()
    timeout: str = DEFAULT_TIMEOUT
    retries: int = 3


AS_IT_COMES: Final = Traffic()


def parse_traffic(raw: Mapping[str, Any]) -> Traffic:
    sticky = raw.get("stickyBy")
    return Traffic(
        sticky_by=StickyBy(sticky.get("header"), sticky.get("cookie")) if sticky else None,
        match=tuple(
            HeaderMatch(each["header"], each["value"], str(each.get("to", HeaderMatch.to)))
            for each in raw.get("match") or ()
        ),
        timeout=str(raw.get("timeout", Traffic.timeout)),
        retries=int(raw.get("retries", Traffic.retries)),
    )


def chosen_by_more_than_chance(traffic: Traffic) -> bool:
    """Whether it hangs on who asks which side answers, and not on chance anew with each request."""
    return traffic.sticky_by is not None or bool(traffic.match)
