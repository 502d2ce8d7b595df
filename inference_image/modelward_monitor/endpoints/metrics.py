"""Prometheus metrics of the monitor, made when somebody asks. What is not there any more has no series.

Cardinality is bounded: only the features that drifted most in the pod's last window have a series of their own.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelward_drift.counting.counts import quality, usual
from modelward_monitor.monitor import Monitor
from modelward_monitor.predictionlog.service import PredictionLog

ISSUES = ("missing", "non_finite", "out_of_range", "new_categories", "type_errors")


class MonitorCollector(Collector):
    """`top`: features; `connections`: tells how many servers are connected; `log`: the prediction log, where there is
    one; `spans`: tells what became of them, where traces are switched on."""

    def __init__(
        self,
        monitor: Monitor,
        top: int,
        connections: Callable[[], int],
        log: PredictionLog | None = None,
        spans: Callable[[], dict[str, int]] | None = None,
    ) -> None:
        self._monitor, self._top, self._connections, self._log, self._spans = monitor, top, connections, log, spans

    def collect(self) -> Iterable[Metric]:
        monitor, saved = self._monitor, self._monitor.saved
        yield _counter("rows", "Rows by what became of them.", "result", asdict(saved.intake))
        qualities = [quality(each) for each in saved.counts]
        totals = {issue: sum(getattr(each, issue) for each in qualities) for issue in ISSUES}
        yield _counter("values", "Values with an issue, over all features.", "issue", totals)
        yield from self._drift()
        yield _gauge("learning_rows", "Rows held back to learn a reference from.", saved.held.rows)
        wanted = 0 if saved.reference or monitor.plan.problem else monitor.plan.learn_rows
        yield _gauge("learning_wanted_rows", "Rows that a reference is learned from; 0 where none is.", wanted)
        yield _gauge("snapshot_age_seconds", "Since all that is known was on the disk.", monitor.snapshot_age)
        failing = bool(monitor.failure)
        yield _gauge("snapshot_failing", "1 while snapshots can't be written.", failing)
        yield _gauge("reference_problem", "1 where the bundle's reference can't be read.", bool(monitor.plan.problem))
        yield _gauge("connections", "Servers that hand over rows.", self._connections())
        info = GaugeMetricFamily(
            "modelward_monitor_reference_info", "Always 1; what is counted against.", labels=["digest", "source"]
        )
        if saved.reference:
            info.add_metric([saved.reference.digest, saved.reference.source], 1)
        yield info
        expected = GaugeMetricFamily(
            "modelward_monitor_reference_values_per_row",
            "Values with an issue for each row of the reference, over all features.",
            labels=["issue"],
        )
        if saved.reference:
            for issue, values in usual(saved.reference.profiles).items():
                expected.add_metric([issue], values)
        yield expected
        if self._log is not None:
            yield from _of_log(self._log)
        if self._spans is not None:
            documentation = "Spans by what became of them: sent, or dropped (no room, or refused)."
            yield _counter("trace_spans", documentation, "result", self._spans())

    def describe(self) -> Iterable[Metric]:
        return []

    def _drift(self) -> Iterable[Metric]:
        window = self._monitor.windows.last
        family = GaugeMetricFamily(
            "modelward_monitor_drift",
            "In this pod's last window, of the features that drifted most. The operator's pools all pods.",
            labels=["feature", "metric"],
        )
        for each in window.features[: self._top] if window else ():
            family.add_metric([each.statistic.feature, each.statistic.metric], each.statistic.value)
        yield family
        yield _gauge("window_rows", "Rows of this pod's last window.", window.rows if window else 0)


def registry(
    monitor: Monitor,
    top: int,
    connections: Callable[[], int],
    log: PredictionLog | None = None,
    spans: Callable[[], dict[str, int]] | None = None,
) -> CollectorRegistry:
    """With all of the above."""
    made = CollectorRegistry()
    made.register(MonitorCollector(monitor, top, connections, log, spans))
    return made


def _of_log(log: PredictionLog) -> Iterable[Metric]:
    told = log.document()
    rows = {result: told["rows"][result] for result in ("written", "stored", "left_out")}
    lost = {f"lost_{reason}": count for reason, count in told["lost"].items() if reason != "dropped"}
    yield _counter("log_rows", "Rows of the prediction log by what became of them.", "result", rows | lost)
    outcomes = {result: count for result, count in told["outcomes"].items() if result != "waiting"}
    yield _counter(
        "outcomes", "Outcomes by what became of them; of requests that were none, these.", "result", outcomes
    )
    yield _gauge(
        "outcomes_waiting", "Outcomes on the pod's disk that are not in the store.", told["outcomes"]["waiting"]
    )
    yield _gauge("log_waiting_rows", "Rows on the pod's disk that are not in the store.", told["rows"]["waiting"])
    yield _gauge("log_waiting_bytes", "Bytes of them.", told["waiting_bytes"])
    failing = bool(told["failure"] or told["disk_failure"])
    yield _gauge("log_failing", "1 while the log can't be written, or brought to its store.", failing)


def _counter(name: str, documentation: str, label: str, values: dict[str, Any]) -> Metric:
    family = CounterMetricFamily(f"modelward_monitor_{name}", documentation, labels=[label])
    for value, total in values.items():
        family.add_metric([value], total)
    return family


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"modelward_monitor_{name}", documentation, value=float(value))
