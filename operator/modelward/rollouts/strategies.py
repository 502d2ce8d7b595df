"""Every strategy as a list of stages: what the candidate gets in each, and how long. After the last it is promoted."""

import math
from dataclasses import dataclass

from modelward.api.rollout import BLUE_GREEN, CANARY, REPORT, SHADOW, Rollout
from modelward.rollouts.gates.gates import mirror_of
from modelward.values.durations import seconds


@dataclass(frozen=True)
class Stage:
    """`weight`, `mirror`: percent of all requests that are sent and copied. `replicas`: pods of the candidate.

    The stage lasts for at least `hold` seconds; where `requests` is given, it is over with as many compared requests,
    however long that took, and `hold` (if it is not 0) ends it, too. `reports`: a person decides afterwards.
    """

    weight: int = 0
    mirror: int = 0
    hold: float = 0.0
    replicas: int = 1
    requests: int | None = None
    reports: bool = False


def stages_of(rollout: Rollout, replicas: int) -> tuple[Stage, ...]:
    """The stages of a rollout to a revision that is to have `replicas` pods. None for Immediate."""
    if rollout.strategy == CANARY:
        mirror = mirror_of(rollout.gates)
        return tuple(
            Stage(
                step.weight, mirror, seconds(step.hold), min(replicas, step.replicas or _share(replicas, step.weight))
            )
            for step in rollout.steps
        )
    if rollout.strategy == BLUE_GREEN:
        chosen = rollout.blue_green
        return (Stage(0, chosen.mirror_percent, seconds(chosen.hold), replicas),)
    if rollout.strategy == SHADOW:
        shadow = rollout.shadow
        hold = seconds(shadow.duration) if shadow.duration else 0.0
        share = _share(replicas, shadow.percent)
        return (Stage(0, shadow.percent, hold, share, shadow.requests, shadow.then == REPORT),)
    return ()


def keep_seconds(rollout: Rollout) -> float:
    """How long the old revision stays at full size after the switch."""
    return seconds(rollout.blue_green.keep) if rollout.strategy == BLUE_GREEN else 0.0


def _share(replicas: int, percent: int) -> int:
    return max(1, math.ceil(replicas * percent / 100))
