"""Writes docs/metrics.md from the code, docs/metrics.yaml and the rules: `python -m docs.generate_metrics`.

`--check` only says whether it is up to date.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import yaml
from prometheus_client import Metric

from manifests.alerts import generate
from modelward import statusmetrics, telemetry
from modelward_drift.counting.reading import Intake
from modelward_inference.capture import outcomes
from modelward_inference.tap import metrics as tap
from modelward_inference.telemetry import features
from modelward_inference.telemetry import metrics as server
from modelward_monitor.endpoints.metrics import MonitorCollector

ROOT: Final = Path(__file__).parents[1]
TARGET: Final = ROOT / "docs" / "metrics.md"
CONTRACT: Final[Mapping[str, Any]] = yaml.safe_load((ROOT / "docs" / "metrics.yaml").read_text())

UNITS: Final = ("seconds", "bytes", "rows", "ratio")
SUFFIXES: Final = {"counter": "_total"}

PARTS: Final = {
    "operator": "The operator: what it does",
    "models": "The operator: what statuses say",
    "server": "The inference server",
    "tap": "The tap before another server",
    "monitor": "The monitor",
    "router": "The router (Envoy)",
}
PORTS: Final = {
    "operator": "Port 8080 of `modelward-operator`, `/metrics`. Both pods have these.",
    "models": "The same page. The leader alone has these: they are rendered from what the cluster holds when somebody "
    "scrapes. `name` is a ModelDeployment's (a ModelRegistry's in `modelward_modelregistry_ready`, a BatchInference's "
    "in `modelward_batchinference_…`).",
    "server": "Port 8080 of model pods, `/metrics`. Each series has the label `revision` besides.",
    "tap": "Port 8082 of model pods with `spec.runtime.tap`, `/metrics`. Each series has the label `revision` besides. "
    "There are also `modelward_capture_…` and `modelward_inference_samples_total` of the inference server here, which "
    "mean the same; what the server behind it tells is at a port of its own.",
    "monitor": "Port 8081 of model pods with `spec.monitor`, `/metrics`. Each series has the label `revision` besides.",
    "router": "Port 9901 of router pods, `/stats/prometheus`. Envoy has some five hundred metrics; these are what "
    "rules, gates and dashboards of ours use. They are Envoy's own names and units, milliseconds among them.",
}  # fmt: skip


HEAD: Final = """\
# Metrics

Generated from the code by `make docs`, and held against it by a test. What is on this page is a contract: a name, a
unit or a label of it changes with an entry in [upgrades.md](upgrades.md) alone. How to scrape and what to alert on:
[observability.md](observability.md).

Every metric is there to be relied on but Python's own (`process_…`, `python_…`) and the times at which counters began
(`…_created`). Histograms have `_bucket` (with `le`), `_sum` and `_count`. Series of one model are joined by `namespace`
and `name`: the operator gives both itself (scrape it with `honorLabels`), and of pods the scrape gives them (`name` is
their label `app.kubernetes.io/instance`), as `manifests/monitoring` does. None has a text of a client as a label. What
is gone has no series: a deleted model's go with it, and its counters.

## How many series

The bounds below are what there can be at most with

{sizes}

A model with a hundred features has as many series as one with fifty: only those that drifted most have their own. Most
models have one arm, no rollout and few codes, and a tenth of these.

{totals}

{sections}
## The evaluator

`modelward_evaluate` is a program on files ([quality.md](quality.md)): it serves no metrics, and writes its results
where it is told to.

## What is recorded

By `manifests/alerts`, each minute or two; dashboards ask these. `model:` is by `namespace` and `name`,
`model_revision:` by `revision` besides.

| series | meaning |
|---|---|
{recorded}
"""


@dataclass(frozen=True)
class Told:
    """What the code says of a metric. `name`: as queries have it, of a histogram without its endings."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def of_family(metric: Metric, labels: Iterable[str] | None = None) -> Told:
    """`labels`: None for those of its samples."""
    found = tuple(metric.samples[0].labels) if labels is None else tuple(labels)
    return Told(metric.name + SUFFIXES.get(metric.type, ""), metric.type, found, metric.documentation)


def of_module(module: Any) -> Iterator[Told]:
    """Of the counters, gauges and histograms that a module holds, in its order."""
    for each in vars(module).values():
        labels = getattr(each, "_labelnames", None)
        if isinstance(each, server.FastHistogram):
            labels = each._labels
        if labels is not None and not isinstance(each, type):
            yield of_family(next(iter(each.collect())), labels)


def of_statuses() -> Iterator[Told]:
    for name, (text, labels) in statusmetrics.METRICS.items():
        yield Told(f"{statusmetrics.PREFIX}{name}", "gauge", labels, text)


def of_server() -> Iterator[Told]:
    yield from of_module(server)
    yield from of_module(features)
    yield from of_module(outcomes)
    figures = server.CaptureFigures(0, 0, 0, 0, 0, connected=False)
    yield from map(of_family, server.CaptureCollector(lambda: figures).collect())


def of_monitor() -> Iterator[Told]:
    """What a monitor shows that has counted a window."""
    statistic = SimpleNamespace(feature="amount", metric="psi", value=0.0)
    saved = SimpleNamespace(
        intake=Intake(),
        counts=(),
        held=SimpleNamespace(rows=0),
        reference=SimpleNamespace(digest="", source="", profiles=()),
    )
    last = SimpleNamespace(features=[SimpleNamespace(statistic=statistic)], rows=0)
    monitor = SimpleNamespace(
        saved=saved, plan=SimpleNamespace(problem=None, learn_rows=0), snapshot_age=0.0, failure=None,
        windows=SimpleNamespace(last=last),
    )  # fmt: skip
    document = {
        "rows": dict.fromkeys(("written", "stored", "left_out", "waiting"), 0), "lost": {}, "waiting_bytes": 0,
        "outcomes": dict.fromkeys(("written", "stored", "waiting", "refused", "lost", "invalid_requests"), 0),
        "failure": None, "disk_failure": None,
    }  # fmt: skip
    log: Any = SimpleNamespace(document=lambda: document)
    shown: Any = monitor
    spans = dict.fromkeys(("sent", "dropped"), 0)
    yield from map(of_family, MonitorCollector(shown, 1, lambda: 0, log, lambda: spans).collect())


def of_router() -> Iterator[Told]:
    for name, each in CONTRACT["router"].items():
        yield Told(name, each["type"], tuple(each["labels"]), each["help"])


def told() -> dict[str, list[Told]]:
    """By part of the product, in the order of the code."""
    return {
        "operator": list(of_module(telemetry)), "models": list(of_statuses()), "server": list(of_server()),
        "tap": list(of_module(tap)), "monitor": list(of_monitor()), "router": list(of_router()),
    }  # fmt: skip


def unit(name: str, kind: str, said: Mapping[str, Any]) -> str:
    bare = name.removesuffix("_total")
    ending = next((each for each in UNITS if bare.endswith(f"_{each}")), None)
    return str(said.get("unit") or ending or (bare.rpartition("_")[2] if kind == "counter" else ""))


def bound(said: Mapping[str, Any], kind: str) -> int:
    """Series at most, of the sizes in metrics.yaml. A histogram has its sum and its count besides."""
    sizes = [each if isinstance(each, int) else CONTRACT["sizes"][each][0] for each in said["each"]]
    whole = math.prod(sizes)
    return whole + 2 * whole // sizes[-1] if kind == "histogram" else whole


def in_words(said: Mapping[str, Any]) -> str:
    return " \u00d7 ".join(str(each).replace("_", " ") for each in said["each"])


def labelled(told: Told) -> str:
    return ", ".join(f"`{label}`" for label in told.labels)


def section(part: str, metrics: Iterable[Told]) -> str:
    rows = [
        f"| `{each.name}` | {each.kind} | {unit(each.name, each.kind, said)} | {labelled(each)} "
        f"| {bound(said, each.kind):,} ({in_words(said)}) | {each.help} For: {said['for']}. |"
        for each in metrics
        for said in (CONTRACT[part][each.name],)
    ]
    head = "| metric | type | unit | labels | series at most | meaning |\n|---|---|---|---|---|---|\n"
    return f"## {PARTS[part]}\n\n{PORTS[part]}\n\n{head}" + "\n".join(rows) + "\n"


def totals() -> str:
    def of(part: str) -> int:
        return sum(bound(CONTRACT[part][each.name], each.kind) for each in told()[part])

    head = "| part | all together | a pod |\n|---|---|---|\n"
    sizes = CONTRACT["sizes"]
    pods = {"operator": 1, "models": 1, "server": sizes["servers"][0], "tap": sizes["servers"][0],
            "monitor": sizes["servers"][0], "router": sizes["routers"][0]}  # fmt: skip
    return head + "\n".join(
        f"| {PARTS[part]} | {of(part):,} | {math.ceil(of(part) / pods[part]):,} |" for part in PARTS
    )


def page() -> str:
    sizes = "\n".join(f"- {count:,} {what}" for count, what in CONTRACT["sizes"].values())
    sections = "\n".join(section(part, metrics) for part, metrics in told().items())
    recorded = "\n".join(f"| `{each.name}` | {each.about} |" for each in generate.recordings())
    return HEAD.format(sizes=sizes, totals=totals(), sections=sections, recorded=recorded)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0 if TARGET.exists() and TARGET.read_text() == page() else f"{TARGET.name}: out of date; run `make docs`"
        )
    TARGET.write_text(page())
