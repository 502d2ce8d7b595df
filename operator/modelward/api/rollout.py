"""How a new revision takes over, as a user asks for it: strategy, steps, and the gates that judge it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

CANARY: Final = "Canary"
BLUE_GREEN: Final = "BlueGreen"
SHADOW: Final = "Shadow"
IMMEDIATE: Final = "Immediate"

ROLLBACK, PAUSE = "Rollback", "Pause"
PROMOTE, REPORT = "Promote", "Report"
HOLD, FAIL, PASS = "Hold", "Fail", "Pass"


@dataclass(frozen=True)
class Step:
    """One step of a canary. `weight`: percent of all requests; `hold`: a duration; `replicas`: None for its share."""

    weight: int
    hold: str = "1m"
    replicas: int | None = None


DEFAULT_STEPS: Final = (Step(5), Step(25), Step(50))


@dataclass(frozen=True)
class BlueGreen:
    """`hold`: how long the new revision can be looked at before the switch; `keep`: how long the old one stays at full
    size after it; `mirror_percent`: of the requests that the new one gets a copy of before the switch."""

    hold: str = "0s"
    keep: str = "10m"
    mirror_percent: int = 0


@dataclass(frozen=True)
class Shadow:
    """`percent` of the requests are copied until `requests` were compared or `duration` is over, whichever is first."""

    percent: int = 100
    requests: int = 1000
    duration: str | None = None
    then: str = PROMOTE


@dataclass(frozen=True)
class ErrorRate:
    """The candidate's share of error answers may exceed the stable's by less than `margin`."""

    margin: str = "1%"


@dataclass(frozen=True)
class Refusals:
    """The candidate's share of requests that its model does not take may exceed the stable's by less than `margin`."""

    margin: str = "1%"


@dataclass(frozen=True)
class Latency:
    """The candidate's share of answers slower than `slo` may exceed the stable's by less than `margin`."""

    slo: str
    margin: str = "1%"


@dataclass(frozen=True)
class Disagreement:
    """At most `max` of the requests may be answered otherwise than by the stable. `tolerance`: relative, of numbers
    that are no classes; `mirror_percent`: of the requests that a canary gets a copy of, for comparing."""

    max: str
    tolerance: str = "1%"
    mirror_percent: int = 10


@dataclass(frozen=True)
class Metric:
    """A PromQL query whose value must lie between `min` and `max` (texts of numbers)."""

    name: str
    query: str
    min: str | None = None
    max: str | None = None
    failure_limit: int = 3


@dataclass(frozen=True)
class Gates:
    """What a candidate has to pass. `min_samples`: requests that each arm must have had; `max_duration`: of a step,
    after which a gate that could not be decided no longer holds it up; `others`: as spec has them, for kinds of gates
    that read their own part."""

    error_rate: ErrorRate | None = None
    latency: Latency | None = None
    disagreement: Disagreement | None = None
    metrics: tuple[Metric, ...] = ()
    min_samples: int = 100
    max_duration: str = "30m"
    on_no_data: str = HOLD
    refusals: Refusals | None = None
    others: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata={"unread": True})


@dataclass(frozen=True)
class Rollout:
    """The whole. `start_deadline`: how long a candidate may take until it is ready; `promoted_alias`: that the registry
    is to give a version once it has taken over, None: none."""

    strategy: str = CANARY
    steps: tuple[Step, ...] = DEFAULT_STEPS
    blue_green: BlueGreen = BlueGreen()
    shadow: Shadow = Shadow()
    gates: Gates = Gates(error_rate=ErrorRate(), refusals=Refusals())
    on_failure: str = ROLLBACK
    start_deadline: str = "15m"
    promoted_alias: str | None = None


AT_ONCE: Final = Rollout(strategy=IMMEDIATE, gates=Gates())
"""Without a rollout in spec the traffic moves as soon as the new revision answers."""


def by_router_alone(rollout: Rollout, *, tapped: bool = False) -> Rollout:
    """Without the gates that ask the model's own server: what it refused, and whether its answers agree, which a tap
    tells, too. `tapped`: there is one wherever another server than ours is."""
    disagreement = rollout.gates.disagreement if tapped else None
    return replace(rollout, gates=replace(rollout.gates, refusals=None, disagreement=disagreement))


def left_out(asked: Rollout, judged: Rollout) -> tuple[str, ...]:
    """Gates of the one that the other has not, by their names in spec."""
    found = {
        "refusals": (asked.gates.refusals, judged.gates.refusals),
        "disagreement": (asked.gates.disagreement, judged.gates.disagreement),
    }
    return tuple(name for name, (wanted, kept) in found.items() if wanted is not None and kept is None)


def parse_rollout(raw: Mapping[str, Any] | None, *, by_router: bool = False) -> Rollout:
    """`spec.rollout`, None where there is none. `by_router`: the router alone gives evidence, so that nobody asks what
    a model refused unless spec does."""
    if raw is None:
        return AT_ONCE
    default = Rollout()
    if by_router:
        default = by_router_alone(default)
    steps = tuple(
        Step(int(step["weight"]), str(step.get("hold", Step.hold)), step.get("replicas"))
        for step in raw.get("steps") or ()
    )
    blue_green, shadow = raw.get("blueGreen") or {}, raw.get("shadow") or {}
    return Rollout(
        strategy=str(raw.get("strategy", default.strategy)),
        steps=steps or default.steps,
        blue_green=BlueGreen(
            str(blue_green.get("hold", BlueGreen.hold)),
            str(blue_green.get("keep", BlueGreen.keep)),
            int(blue_green.get("mirrorPercent", BlueGreen.mirror_percent)),
        ),
        shadow=Shadow(
            int(shadow.get("percent", Shadow.percent)),
            int(shadow.get("requests", Shadow.requests)),
            shadow.get("duration"),
            str(shadow.get("then", Shadow.then)),
        ),
        gates=_gates(raw["gates"]) if "gates" in raw else default.gates,
        on_failure=str(raw.get("onFailure", default.on_failure)),
        start_deadline=str(raw.get("startDeadline", default.start_deadline)),
        promoted_alias=raw.get("promotedAlias"),
    )


_READ: Final = frozenset({
    "errorRate", "refusals", "latency", "disagreement", "metrics", "minSamples", "maxDuration", "onNoData",
})  # fmt: skip


def _gates(raw: Mapping[str, Any]) -> Gates:
    errors, latency, disagreement = raw.get("errorRate"), raw.get("latency"), raw.get("disagreement")
    refusals = raw.get("refusals")
    return Gates(
        error_rate=None if errors is None else ErrorRate(str(errors.get("margin", ErrorRate.margin))),
        latency=None if latency is None else Latency(latency["slo"], str(latency.get("margin", Latency.margin))),
        disagreement=None
        if disagreement is None
        else Disagreement(
            disagreement["max"],
            str(disagreement.get("tolerance", Disagreement.tolerance)),
            int(disagreement.get("mirrorPercent", Disagreement.mirror_percent)),
        ),
        metrics=tuple(
            Metric(each["name"], each["query"], each.get("min"), each.get("max"),
                   int(each.get("failureLimit", Metric.failure_limit)))
            for each in raw.get("metrics") or ()
        ),
        min_samples=int(raw.get("minSamples", Gates.min_samples)),
        max_duration=str(raw.get("maxDuration", Gates.max_duration)),
        on_no_data=str(raw.get("onNoData", Gates.on_no_data)),
        refusals=None if refusals is None else Refusals(str(refusals.get("margin", Refusals.margin))),
        others={name: value for name, value in raw.items() if name not in _READ},
    )  # fmt: skip
