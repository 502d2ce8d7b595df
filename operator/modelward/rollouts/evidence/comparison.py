"""How a long-lived variant differs from the stable revision: a report, not a verdict.

Totals since both are what they are, and bounds on the difference that hold however often one looks. Where traffic
sticks, the unit is the user, as it is for gates (gates/users.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from modelward.rollouts.evidence.by_users import ByUsers
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates import disagreement
from modelward.rollouts.gates.shares import ERROR_RATE, LATENCY, Measure
from modelward.rollouts.gates.users import Users, load
from modelward.rollouts.statistics.outcomes import Outcomes, difference

CONFIDENCE: Final = 0.95
"""That the bounds hold, at all looks together."""

MEASURES: Final = (ERROR_RATE, LATENCY)
"""Of gates: what is reported of both sides."""


@dataclass(frozen=True)
class Totals:
    """What was seen of a variant and of the stable at the same time. `pairs`: requests that both answered; `users`: the
    same by users, None where traffic does not stick."""

    stable: Counts = field(default_factory=Counts)
    variant: Counts = field(default_factory=Counts)
    pairs: Outcomes = field(default_factory=Outcomes)
    users: ByUsers | None = None

    def plus(self, stable: Counts, variant: Counts, pairs: Outcomes, users: ByUsers | None = None) -> "Totals":
        pairs = self.pairs + pairs
        if users is not None and self.users is None:
            # Totals of before users were known do not go with theirs: both begin anew.
            return Totals(stable, variant, pairs, users)
        both = self.users if self.users is None or users is None else self.users + users
        return replace(self, stable=self.stable + stable, variant=self.variant + variant, pairs=pairs, users=both)


def restored(stored: Sequence[Mapping[str, Any]]) -> Totals:
    """The totals as `rendered` stored them; none where they can't be read."""
    try:
        return _restored({str(each.get("name")): each for each in stored})
    except (TypeError, ValueError, AttributeError):
        return Totals()


def _restored(by_name: Mapping[str, Mapping[str, Any]]) -> Totals:

    def side(name: str, arm: str) -> tuple[int, int]:
        found = by_name.get(name, {}).get(arm) or {}
        return int(found.get("requests", 0)), int(found.get("bad", 0))

    errors, latency = ERROR_RATE.name, LATENCY.name
    return Totals(
        Counts(*side(errors, "stable"), *side(latency, "stable")),
        Counts(*side(errors, "variant"), *side(latency, "variant")),
        Outcomes(*side(disagreement.NAME, "variant")),
        _users(by_name),
    )


def _users(by_name: Mapping[str, Mapping[str, Any]]) -> ByUsers | None:
    """None where nothing is stored of them, or it can't be read."""
    try:
        found = [load(by_name.get(measure.name, {}).get("users")) for measure in MEASURES]
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    if not any(found):
        return None
    errors, latency = (each or Users() for each in found)

    def rows(errors: tuple[Outcomes, ...], latency: tuple[Outcomes, ...]) -> tuple[Counts, ...]:
        pairs = zip(errors, latency, strict=True)
        return tuple(Counts(one.trials, one.bad, other.trials, other.bad) for one, other in pairs)

    return ByUsers(rows(errors.stable, latency.stable), rows(errors.candidate, latency.candidate))


def rendered(totals: Totals) -> list[dict[str, Any]]:
    """As the status holds it: only measures of which something was seen."""
    shown = []
    for measure in MEASURES:
        (stable, stable_bad), (variant, variant_bad) = measure.of(totals.stable), measure.of(totals.variant)
        if stable and variant:
            sides = Outcomes(stable, min(stable, stable_bad)), Outcomes(variant, min(variant, variant_bad))
            shown.append(_compared(measure.name, *sides, _by_users(totals, measure)))
    if totals.pairs.trials:
        # Against one that never disagrees with itself: the share, and bounds on it.
        same = Outcomes(totals.pairs.trials, 0)
        entry = _compared(disagreement.NAME, same, totals.pairs)
        shown.append({key: value for key, value in entry.items() if key != "stable"})
    return shown


def _by_users(totals: Totals, measure: Measure) -> Users | None:
    return None if totals.users is None else Users().add(totals.users, measure.of)


def _compared(name: str, stable: Outcomes, variant: Outcomes, users: Users | None = None) -> dict[str, Any]:
    if users is not None and users.explain(variant.bad):
        middle, low, high = users.difference(1 - CONFIDENCE)
    else:
        middle = (variant.share or 0.0) - (stable.share or 0.0)
        low, high = difference(stable, variant, 1 - CONFIDENCE)
    return {
        "name": name,
        "stable": {"requests": stable.trials, "bad": stable.bad},
        "variant": {"requests": variant.trials, "bad": variant.bad},
        "difference": f"{middle:+.2%}",
        "low": f"{low:+.2%}",
        "high": f"{high:+.2%}",
        **({} if users is None else {"users": users.dump()}),
    }
