"""The metrics of each kind of process as Prometheus gets them, and what dashboards ask of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from modelward import telemetry
from modelward.statusmetrics import METRICS, PREFIX
from modelward_inference.telemetry import metrics as served
from modelward_inference.telemetry.metrics import CaptureCollector, CaptureFigures, FastHistogram

SCRAPED = {"namespace", "job", "instance"}
"""Labels of whoever was scraped."""

OF_PODS = {"revision"}
"""And the one that servers and monitors put on each series."""

ENVOYS = {"envoy_cluster_name", "revision"}
ROUTER = {
    "envoy_cluster_upstream_rq_xx": {*ENVOYS, "envoy_response_code_class"},
    "envoy_cluster_upstream_rq_time_bucket": {*ENVOYS, "le"},
}
"""Of Envoy's, what is used; a real one is asked by tests/api/test_dashboards.py."""

MONITOR = {
    "rows_total": {"result"}, "values_total": {"issue"}, "drift": {"feature", "metric"}, "window_rows": set(),
    "learning_rows": set(), "snapshot_age_seconds": set(), "log_rows_total": {"result"},
    "reference_values_per_row": {"issue"},
}  # fmt: skip
"""Of the monitor's, which are made as they are asked for; a real one is asked there, too."""


def known_metrics() -> dict[str, set[str]]:
    """The labels of every series, by the name that PromQL has for it."""
    found: dict[str, set[str]] = {}
    for name, (_, labels) in METRICS.items():
        found[f"{PREFIX}{name}"] = {*labels, *SCRAPED}
    for module, more in ((telemetry, set[str]()), (served, OF_PODS)):
        for collector in vars(module).values():
            if isinstance(collector, MetricWrapperBase):
                for sample, labels in _samples(collector._type, collector._name, collector._labelnames):
                    found[sample] = {*labels, *SCRAPED, *more}
            elif isinstance(collector, FastHistogram):
                for sample, labels in _samples("histogram", collector._name, collector._labels):
                    found[sample] = {*labels, *SCRAPED, *more}
    for family in CaptureCollector(lambda: CaptureFigures(0, 0, 0, 0, 0, connected=True)).collect():
        for shown in family.samples:
            found[shown.name] = {*shown.labels, *SCRAPED, *OF_PODS}
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes"):
        found[name] = SCRAPED | OF_PODS
    found |= {f"modelward_monitor_{name}": labels | SCRAPED | OF_PODS for name, labels in MONITOR.items()}
    return found | {name: labels | SCRAPED for name, labels in ROUTER.items()}


def _samples(kind: str, name: str, labels: Iterable[str]) -> Iterator[tuple[str, set[str]]]:
    match kind:
        case "counter":
            yield f"{name}_total", set(labels)
        case "histogram":
            yield f"{name}_bucket", {*labels, "le"}
            yield from ((f"{name}{end}", set(labels)) for end in ("_sum", "_count"))
        case _:
            yield name, set(labels)


def questions(dashboard: Any) -> Iterator[tuple[str, str]]:
    """Every expression of a dashboard, and what asks it."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"].get("list", ()):
        yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]


def asked(expr: str, values: Mapping[str, str]) -> str:
    """As Grafana asks it, with these values of the dashboard's variables."""
    bare = re.sub(r"label_values\((.*), *(\w+)\)", r"count by (\2) (\1)", expr)
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], found[0]), bare)


class Copies:
    """The metrics of a module, without what this process has counted: `copies["REQUESTS"]`, by their names in the
    module."""

    def __init__(self, module: ModuleType) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._made: dict[str, Any] = {}
        for name, collector in vars(module).items():
            if isinstance(collector, MetricWrapperBase):
                self._made[name] = self._copied(collector)
            elif isinstance(collector, FastHistogram):
                copy = FastHistogram.__new__(FastHistogram)
                copy.__dict__.update(collector.__dict__, _series={})
                self.registry.register(copy)
                self._made[name] = copy

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def _copied(self, collector: MetricWrapperBase) -> MetricWrapperBase:
        about = (collector._name, collector._documentation, collector._labelnames)
        if isinstance(collector, Histogram):
            return Histogram(*about, registry=self.registry, buckets=collector._upper_bounds)
        return (Counter if isinstance(collector, Counter) else Gauge)(*about, registry=self.registry)


class Scraped(Collector):
    """What `of` collects, with labels of whoever was scraped."""

    def __init__(self, of: Any, **labels: str) -> None:
        self._of, self._labels = of, labels

    def collect(self) -> Iterator[Metric]:
        for metric in self._of.collect():
            shown = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            shown.samples = [each._replace(labels={**each.labels, **self._labels}) for each in metric.samples]
            yield shown
