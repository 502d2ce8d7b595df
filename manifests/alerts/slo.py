"""Alerts on how fast spec.slo's error budgets are spent: two windows each, at three speeds.

By "Alerting on SLOs" of the Site Reliability Workbook (https://sre.google/workbook/alerting-on-slos/): what is spent
14.4 times as fast as 30 days allow costs 2 % of the budget in an hour. The short window ends an alert soon after its
cause. Long windows add up the recordings of 5 minutes, by their requests, so that a quiet night counts for little.

A minimum of requests keeps a model that is hardly asked from waking anybody: at least FEWEST of the long window's were
failures. One that is wholly down reaches that with so many requests, whatever it is asked otherwise.
"""

from dataclasses import dataclass
from typing import Final

from manifests.alerts.rules import MODEL, PAGE, TICKET, Alert, Group, Recording, promised

FEWEST: Final = 10


@dataclass(frozen=True)
class Speed:
    """`factor`: times as fast as the budget lasts 30 days; `budget`: percent of it that are spent then."""

    factor: float
    long: str
    short: str
    severity: str
    budget: int


SPEEDS: Final = (
    Speed(14.4, "1h", "5m", PAGE, 2), Speed(6, "6h", "30m", PAGE, 5), Speed(1, "3d", "6h", TICKET, 10),
)  # fmt: skip
WINDOWS: Final = ("30m", "1h", "6h", "3d")
SLOWER: Final = 2
"""The longest windows are looked at less often, since each look reads thousands of values; well within the five minutes
that Prometheus looks back, or an alert would end between two of them."""


@dataclass(frozen=True)
class Objective:
    """`bad`, `all`: what is recorded of requests; `gauge`: what the operator tells; `what`: bad ones do."""

    slo: str
    alert: str
    bad: str
    all: str
    gauge: str
    what: str
    runbook: str

    @property
    def budget(self) -> str:
        return f"model:{self.gauge}:error_budget"

    def ratio(self, window: str) -> str:
        return f"model:{self.bad}:ratio_rate{window}"

    def rate(self, name: str) -> str:
        return f"model:{name}:rate5m"


OBJECTIVES: Final = (
    Objective(
        "availability", "ModelwardAvailabilityBurn", "modelward_request_errors", "modelward_requests",
        "modelward_slo_availability_objective_ratio", "fail", "availability-burn",
    ),
    Objective(
        "latency", "ModelwardLatencyBurn", "modelward_requests_slow", "modelward_requests_timed",
        "modelward_slo_latency_objective_ratio", "are slower than promised", "latency-burn",
    ),
)  # fmt: skip


def _recordings(windows: tuple[str, ...]) -> list[Recording]:
    return [
        Recording(
            each.ratio(window),
            f"sum_over_time({each.rate(each.bad)}[{window}]) / (sum_over_time({each.rate(each.all)}[{window}]) > 0)",
            f"Share of the requests of the last {window} that {each.what}.",
        )
        for each in OBJECTIVES
        for window in windows
    ]


def _budgets() -> list[Recording]:
    return [
        Recording(each.budget, f"1 - {promised(each.gauge)}", f"The error budget of spec.slo.{each.slo}, from 0 to 1.")
        for each in OBJECTIVES
    ]


def _latency_now() -> Recording:
    each = OBJECTIVES[1]
    return Recording(
        each.ratio("5m"),
        f"{each.rate(each.bad)} / ({each.rate(each.all)} > 0)",
        f"Share of the requests of the last 5m that {each.what}.",
    )


def _alert(each: Objective, speed: Speed, interval: int) -> Alert:
    fast = f"on ({MODEL}) ({speed.factor:g} * {each.budget})"
    return Alert(
        each.alert,
        speed.severity,
        f"{each.ratio(speed.long)} > {fast}\nand on ({MODEL}) {each.ratio(speed.short)} > {fast}\n"
        f"and on ({MODEL}) {interval} * sum_over_time({each.rate(each.bad)}[{speed.long}]) >= {FEWEST}",
        f"{{{{ $labels.namespace }}}}/{{{{ $labels.name }}}}: {{{{ $value | humanizePercentage }}}} of the requests of "
        f"the last {speed.long} {each.what}",
        f"The error budget of spec.slo.{each.slo} is spent at least {speed.factor:g} times as fast as it lasts 30 "
        f"days: {speed.budget} % of it in {speed.long}, and it goes on ({speed.short}).",
        each.runbook,
        labels={"slo": each.slo, "window": speed.long},
    )


def _unmeasured() -> Alert:
    """Of nothing that is scraped no rule is ever true."""
    any_budget = f"\nor on ({MODEL})\n".join(each.budget for each in OBJECTIVES)
    return Alert(
        "ModelwardSloUnmeasured",
        TICKET,
        f"({any_budget})\nunless on ({MODEL}) model:modelward_requests:rate5m\n"
        f"unless on ({MODEL}) modelward_model_info",
        "{{ $labels.namespace }}/{{ $labels.name }} has an objective, and no metrics of it are scraped",
        "Neither its routers nor its servers have a series in Prometheus, so that no alert on spec.slo can fire.",
        "slo-unmeasured",
        "30m",
    )


def groups(interval: int) -> list[Group]:
    alerts = [_alert(each, speed, interval) for each in OBJECTIVES for speed in SPEEDS]
    return [
        Group("modelward-slo", interval, [*_budgets(), _latency_now(), *_recordings(WINDOWS[:2])]),
        Group("modelward-slo-long", SLOWER * interval, _recordings(WINDOWS[2:])),
        Group("modelward-slo-alerts", interval, [*alerts, _unmeasured()]),
    ]
