"""The operator's own Prometheus metrics. Labels are bounded, but for one series a ModelDeployment where it says so."""

from collections.abc import Container, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from modelward.domain.monitored import Monitored, condition

RECONCILES = Counter("modelward_reconciles", "Reconciles by result: ok, waiting, refused or error.", ["result"])
RECONCILE_SECONDS = Histogram(
    "modelward_reconcile_duration_seconds",
    "Time that one reconcile took.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
QUEUE_DEPTH = Gauge("modelward_workqueue_depth", "Keys that are due and wait for a worker.")
QUEUE_SECONDS = Histogram("modelward_workqueue_wait_seconds", "Time that a due key waited for a worker.")
API_REQUESTS = Counter(
    "modelward_api_requests",
    "Requests to the API server by verb, resource and HTTP code; watches are kopf's and not in here.",
    ["verb", "resource", "code"],
)
CACHED_OBJECTS = Gauge("modelward_cached_objects", "Objects that the cache holds.", ["resource"])
RESYNCS = Counter("modelward_resyncs", "Full comparisons of the cache with the API server, by result.", ["result"])
REPAIRED = Counter("modelward_resync_repairs", "Objects of which a resync found that the watch had missed a change.")
LEADER = Gauge("modelward_leader", "1 while this process holds the lease.")
READY = Gauge(
    "modelward_modeldeployment_ready", "1 while the condition Ready is True; a series a ModelDeployment.",
    ["namespace", "name"],
)  # fmt: skip
NOT_COMPILED = Gauge(
    "modelward_modeldeployment_not_compiled",
    "1 while the stable revision serves the artifact as it is although compiling was asked for; status says why.",
    ["namespace", "name"],
)
WEIGHT = Gauge(
    "modelward_traffic_weight", "Percent of the requests that an arm gets: stable, candidate, or a variant's name.",
    ["namespace", "name", "arm"],
)  # fmt: skip
MIRROR = Gauge(
    "modelward_traffic_mirror", "Percent of the requests that an arm gets a copy of.", ["namespace", "name", "arm"]
)
ROLLOUT_PHASE = Gauge(
    "modelward_rollout_phase", "1 for the phase of the last rollout; a series a ModelDeployment that had one.",
    ["namespace", "name", "phase"],
)  # fmt: skip
ROLLOUT_STEP = Gauge("modelward_rollout_step", "The step of the last rollout, from 1.", ["namespace", "name"])
GATE = Gauge(
    "modelward_rollout_gate", "What a gate of the last rollout says: 1 Pass, 0 Inconclusive, -1 Fail.",
    ["namespace", "name", "gate"],
)  # fmt: skip
ROLLOUTS = Counter(
    "modelward_rollouts", "Rollouts that ended, by result: Promoted, RolledBack or Aborted.",
    ["namespace", "name", "result"],
)  # fmt: skip

MONITORED = Gauge(
    "modelward_monitored", "1 while the condition Monitored is True; a series a ModelDeployment with a monitor.",
    ["namespace", "name"],
)  # fmt: skip
MONITORED_ROWS = Gauge(
    "modelward_monitored_rows",
    "Rows since the stable revision runs, of all its pods: counted, sampled_out, dropped, refused or lost.",
    ["namespace", "name", "result"],
)
DRIFT = Gauge(
    "modelward_drift", "The metric of the worst features in the last window, pooled over all pods.",
    ["namespace", "name", "metric", "feature"],
)  # fmt: skip
DRIFT_CUT = Gauge(
    "modelward_drift_cut", "What it has to reach: the threshold, or what chance alone reaches.",
    ["namespace", "name", "feature"],
)  # fmt: skip
DRIFTED_FEATURES = Gauge(
    "modelward_drifted_features", "Features that drifted in the last window.", ["namespace", "name"]
)

DRIFTED = Gauge(
    "modelward_drift_detected", "1 while a model drifts by a DriftPolicy's rules, 0 while it does not.",
    ["namespace", "policy", "model"],
)  # fmt: skip
RETRAINING = Gauge(
    "modelward_retraining_active", "1 while a retraining run of a DriftPolicy goes on, until its rollout has ended.",
    ["namespace", "policy", "model"],
)  # fmt: skip
RETRAINING_STALLED = Gauge(
    "modelward_driftpolicy_stalled", "1 while a DriftPolicy needs a person.", ["namespace", "policy"]
)
RETRAINING_RUNS = Counter(
    "modelward_retraining_runs", "Retraining runs that ended, by result.", ["namespace", "policy", "result"]
)
RETRAINING_SECONDS = Histogram(
    "modelward_retraining_duration_seconds", "Time from the decision to the end of a retraining run, its rollout too.",
    buckets=(10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400),
)  # fmt: skip

_VERDICTS = {"Pass": 1, "Inconclusive": 0, "Fail": -1}
_OF_MONITORS = (MONITORED, MONITORED_ROWS, DRIFT, DRIFT_CUT, DRIFTED_FEATURES)
_OF_A_POLICY = (DRIFTED, RETRAINING, RETRAINING_STALLED, RETRAINING_RUNS)
_OF_A_MODEL = (READY, NOT_COMPILED, WEIGHT, MIRROR, ROLLOUT_PHASE, ROLLOUT_STEP, GATE, ROLLOUTS, *_OF_MONITORS)


def show(namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Set the gauges of one ModelDeployment to what its status says."""
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    READY.labels(namespace, name).set(conditions["Ready"] == "True")
    NOT_COMPILED.labels(namespace, name).set("fallback" in status["stable"])
    arms = {"stable": status["stable"], "candidate": status.get("candidate") or {}}
    arms |= {each["name"]: each for each in status.get("variants") or ()}
    _replace(WEIGHT, namespace, name, {arm: shown.get("weight", 0) for arm, shown in arms.items()})
    _replace(MIRROR, namespace, name, {arm: shown.get("mirrorPercent", 0) for arm, shown in arms.items()})
    rollout = status.get("rollout")
    if not rollout:
        for gauge in (ROLLOUT_PHASE, ROLLOUT_STEP, GATE):
            _drop(gauge, namespace, name)
        return
    _replace(ROLLOUT_PHASE, namespace, name, {rollout["phase"]: 1})
    ROLLOUT_STEP.labels(namespace, name).set(rollout["step"])
    gates = rollout.get("gates") or ()
    _replace(GATE, namespace, name, {each["name"]: _VERDICTS[each["verdict"]] for each in gates})


def show_monitored(namespace: str, name: str, seen: Monitored | None) -> None:
    """Set the gauges of a ModelDeployment's monitors; series of features that are no longer among the worst go."""
    if seen is None:
        for gauge in _OF_MONITORS:
            _drop(gauge, namespace, name)
        return
    MONITORED.labels(namespace, name).set(bool(condition(seen).status))
    for result, rows in (asdict(seen.intake) if seen.intake else {}).items():
        MONITORED_ROWS.labels(namespace, name, result).set(rows)
    if seen.window is None:
        for gauge in (DRIFT, DRIFT_CUT, DRIFTED_FEATURES):
            _drop(gauge, namespace, name)
        return
    DRIFTED_FEATURES.labels(namespace, name).set(len(seen.drifted))
    worst = seen.decisions[: seen.top]
    _drop(DRIFT, namespace, name, but={each.statistic.feature for each in worst})
    for each in worst:
        DRIFT.labels(namespace, name, each.statistic.metric, each.statistic.feature).set(each.statistic.value)
    _replace(DRIFT_CUT, namespace, name, {each.statistic.feature: each.cut for each in worst})


def _replace(gauge: Gauge, namespace: str, name: str, values: Mapping[str, float]) -> None:
    """Exactly these series, by the last label: one that is no longer true must not stay."""
    _drop(gauge, namespace, name, but=values)
    for last, value in values.items():
        gauge.labels(namespace, name, last).set(value)


def _drop(metric: MetricWrapperBase, namespace: str, name: str, but: Container[str] = ()) -> None:
    """Every series of a ModelDeployment, `but` those with such a last label."""
    for key in list(metric._metrics):  # the library has no public way to list them
        if key[:2] == (namespace, name) and key[-1] not in but:
            metric.remove(*key)


def forget(namespace: str, name: str) -> None:
    """Drop every series of a ModelDeployment that is gone."""
    for metric in _OF_A_MODEL:
        _drop(metric, namespace, name)


def show_policy(namespace: str, name: str, status: Mapping[str, Any]) -> None:
    """Set the gauges of one DriftPolicy to what its status says. A model that is not judged yet has no verdict."""
    targets = status.get("targets") or ()
    verdicts = {each["name"]: each["verdict"] for each in targets}
    known = {model: verdict == "Drifted" for model, verdict in verdicts.items() if verdict in ("Drifted", "NoDrift")}
    _replace(DRIFTED, namespace, name, known)
    _replace(RETRAINING, namespace, name, {each["name"]: "run" in each for each in targets})
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    RETRAINING_STALLED.labels(namespace, name).set(conditions["Stalled"] == "True")


def count_runs(namespace: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Count the runs that have ended between two statuses of a DriftPolicy."""
    before = {run["name"] for each in old.get("targets") or () for run in each.get("runs") or ()}
    for target in new.get("targets") or ():
        for run in target.get("runs") or ():
            if run["name"] not in before:
                RETRAINING_RUNS.labels(namespace, name, run["result"]).inc()
                began, ended = (datetime.fromisoformat(run[time]) for time in ("startedAt", "endedAt"))
                RETRAINING_SECONDS.observe((ended - began).total_seconds())


def forget_policy(namespace: str, name: str) -> None:
    """Drop every series of a DriftPolicy that is gone."""
    for metric in _OF_A_POLICY:
        _drop(metric, namespace, name)
