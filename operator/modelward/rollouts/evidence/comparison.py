"""How a long-lived variant differs from the stable revision: a report, not a verdict.

Totals since both are what they are, and bounds on the difference that hold however often one looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates import disagreement, shares
from modelward.rollouts.statistics.outcomes import Outcomes, difference

ERROR_RATE, LATENCY, DISAGREEMENT = shares.ERROR_RATE.name, shares.LATENCY.name, disagreement.NAME

CONFIDENCE = 0.95
"""That the bounds hold, at all looks together."""


@dataclass(frozen=True)
class Totals:
    """What was seen of a variant and of the stable at the same time. `pairs`: requests that both answered."""

    stable: Counts = field(default_factory=Counts)
    variant: Counts = field(default_factory=Counts)
    pairs: Outcomes = field(default_factory=Outcomes)

    def plus(self, stable: Counts, variant: Counts, pairs: Outcomes) -> "Totals":
        return replace(self, stable=self.stable + stable, variant=self.variant + variant, pairs=self.pairs + pairs)


def restored(stored: Sequence[Mapping[str, Any]]) -> Totals:
    """The totals as `rendered` stored them."""
    by_name = {each["name"]: each for each in stored}

    def side(name: str, arm: str) -> tuple[int, int]:
        found = by_name.get(name, {}).get(arm) or {}
        return int(found.get("requests", 0)), int(found.get("bad", 0))

    return Totals(
        Counts(*side(ERROR_RATE, "stable"), *side(LATENCY, "stable")),
        Counts(*side(ERROR_RATE, "variant"), *side(LATENCY, "variant")),
        Outcomes(*side(DISAGREEMENT, "variant")),
    )


def rendered(totals: Totals) -> list[dict[str, Any]]:
    """As the status holds it: only measures of which something was seen."""
    stable, variant = totals.stable, totals.variant
    shown = []
    for name, left, right in (
        (ERROR_RATE, (stable.requests, stable.errors), (variant.requests, variant.errors)),
        (LATENCY, (stable.timed, stable.slow), (variant.timed, variant.slow)),
    ):
        if left[0] and right[0]:
            shown.append(_compared(name, Outcomes(left[0], min(left)), Outcomes(right[0], min(right))))
    if totals.pairs.trials:
        # Against one that never disagrees with itself: the share, and bounds on it.
        same = Outcomes(totals.pairs.trials, 0)
        entry = _compared(DISAGREEMENT, same, totals.pairs)
        shown.append({key: value for key, value in entry.items() if key != "stable"})
    return shown


def _compared(name: str, stable: Outcomes, variant: Outcomes) -> dict[str, Any]:
    low, high = difference(stable, variant, 1 - CONFIDENCE)
    middle = (variant.share or 0.0) - (stable.share or 0.0)
    return {
        "name": name,
        "stable": {"requests": stable.trials, "bad": stable.bad},
        "variant": {"requests": variant.trials, "bad": variant.bad},
        "difference": f"{middle:+.2%}",
        "low": f"{low:+.2%}",
        "high": f"{high:+.2%}",
    }
