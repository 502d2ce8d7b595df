"""The budget of false alarms: a month without incidents, with noise and nights of hardly a request, wakes nobody.

A real Prometheus evaluates the expressions of the alerts each minute of the month, as one query over the time. What it
begins with is what the recordings of five minutes say; test_alerts.py has those made of raw counters.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import urllib3

from manifests.alerts import requests, slo
from manifests.alerts.rules import INTERVAL, PAGE, Alert, Recording
from promserver.promtool import Promtool
from promserver.server import PrometheusServer

DAYS = 30
MINUTES = DAYS * 1440
BEGAN = 1_767_225_600
POINTS = 10_000
"""A query over a time has at most 11,000."""

BUDGETS = {"modelward_request_errors": 0.001, "modelward_requests_slow": 0.01}
INCIDENT = slice(12 * 1440 + 720, 12 * 1440 + 840)
"""Two hours at noon of one day."""

Counts = tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]


def month(busy: float, budget: float, seed: int, incident: float = 0.0) -> Counts:
    """Requests and bad ones of each minute. `busy`: requests a second at noon, of which a night leaves one in ten
    thousand. Half of the budget is spent, in each hour up to twice as much or half as much. `incident`: share of bad
    ones while it lasts."""
    drawn = np.random.default_rng(seed)
    hours = np.arange(MINUTES) / 60
    by_day = np.clip(np.sin(np.pi * (hours % 24 - 5) / 14), 0, None) ** 2 + 1e-4
    asked = drawn.poisson(busy * 60 * by_day * drawn.gamma(20, 1 / 20, MINUTES))
    shares = (budget / 2 * np.exp2(drawn.uniform(-1, 1, DAYS * 24 + 1)))[hours.astype(int)]
    if incident:
        shares[INCIDENT] = incident
    return asked, drawn.binomial(asked, shares)


def rates(counts: "np.ndarray[Any, np.dtype[np.int64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    """A second, over the five minutes before."""
    return np.convolve(counts, np.ones(5), "full")[: len(counts)] / 300


def lines(models: dict[str, tuple[float, float]]) -> Iterator[str]:
    """OpenMetrics, of models with their requests a second at noon, and the share of bad ones in the incident."""
    for number, each in enumerate(slo.OBJECTIVES):
        found = {
            name: month(busy, BUDGETS[each.bad], 10 * number + seed, incident)
            for seed, (name, (busy, incident)) in enumerate(models.items())
        }
        for part, record in enumerate((each.all, each.bad)):
            yield f"# TYPE model:{record}:rate5m gauge"
            for name, counts in found.items():
                head = f'model:{record}:rate5m{{namespace="ml",name="{name}"}}'
                yield from (f"{head} {rate:.9g} {BEGAN + 60 * at}" for at, rate in enumerate(rates(counts[part])))
        yield f"# TYPE {each.budget} gauge"
        for name in models:
            head = f'{each.budget}{{namespace="ml",name="{name}"}} {BUDGETS[each.bad]}'
            yield from (f"{head} {BEGAN + 60 * at}" for at in range(0, MINUTES, 4))
    yield "# EOF\n"


def spelled_out(alert: Alert) -> str:
    """Its expression without recordings of recordings."""
    expr = alert.expr
    for group in (requests.recordings(INTERVAL), *slo.groups(INTERVAL)):
        for rule in group.rules:
            if isinstance(rule, Recording) and ":ratio_rate" in rule.name:
                expr = expr.replace(rule.name, f"({rule.expr})")
    return expr


def woken_by(server: PrometheusServer, alert: Alert) -> set[str]:
    """The models for which it fires in any minute."""
    assert (alert.wait, ":ratio_rate" in spelled_out(alert)) == ("0m", False)
    found: set[str] = set()
    for first in range(0, MINUTES, POINTS):
        last = min(first + POINTS, MINUTES) - 1
        fields = {
            "query": spelled_out(alert), "start": str(BEGAN + 60 * first), "end": str(BEGAN + 60 * last), "step": "60",
        }  # fmt: skip
        answer = urllib3.request("POST", f"{server.url}/api/v1/query_range", fields=fields, timeout=60.0).json()
        assert answer["status"] == "success", answer
        found |= {each["metric"]["name"] for each in answer["data"]["result"]}
    return found


def test_a_month_without_incidents_wakes_nobody_and_one_with_an_incident_does(tmp_path: Path) -> None:
    told = tmp_path / "month.txt"
    told.write_text("\n".join(lines({"busy": (20.0, 0.0), "rare": (0.02, 0.0), "broken": (2.0, 0.2)})))
    Promtool(tmp_path).import_blocks(told, tmp_path / "data")
    pages = [
        rule
        for group in slo.groups(INTERVAL)
        for rule in group.rules
        if isinstance(rule, Alert) and rule.severity == PAGE
    ]
    assert len(pages) == 4
    with PrometheusServer([], ["--storage.tsdb.retention.time=100y"], data=tmp_path / "data") as server:
        assert [woken_by(server, each) for each in pages] == [{"broken"}] * 4
