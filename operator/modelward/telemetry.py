"""What the operator counts as it works, as Prometheus metrics; statusmetrics.py has what statuses say.

Labels are bounded, but for the series of what ended: of one object, and a few results. They go with the object.
"""

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from modelward.facts import ABORTED, PROMOTED, ROLLED_BACK

RECONCILES = Counter("modelward_reconciles", "Reconciles by result: ok, waiting, refused or error.", ["result"])
for _result in ("ok", "waiting", "refused", "error"):
    RECONCILES.labels(_result)  # there from the start: an operator of which none goes well has to show that
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
POD_REQUESTS = Counter(
    "modelward_pod_requests",
    "Requests to servers and monitors: signed, or none (without a signature) to pods of an earlier version.",
    ["proof"],
)
PODS_LEFT_OUT = Counter(
    "modelward_pod_requests_left_out",
    "Questions that pods of a namespace were not asked, since they take more time or bytes than there is for one.",
    ["namespace"],
)
REGISTRY_POLLS = Counter(
    "modelward_registry_polls", "Questions to registries what a reference means, by result.", ["result"]
)
REGISTRY_WRITES = Counter(
    "modelward_registry_writes", "Attempts to tell registries what became of their versions, by result.", ["result"]
)
REGISTRY_WEBHOOKS = Counter(
    "modelward_registry_webhooks",
    "Webhooks of registries, by result: ok, or refused (the answer says why).",
    ["result"],
)
LINEAGE_EVENTS = Counter(
    "modelward_lineage_events", "OpenLineage events by what became of them: sent, or lost (the log says which).",
    ["result"],
)  # fmt: skip
LINEAGE_WAITING = Gauge("modelward_lineage_events_waiting", "OpenLineage events that are not sent yet.")
CACHED_OBJECTS = Gauge("modelward_cached_objects", "Objects that the cache holds.", ["resource"])
RESYNCS = Counter("modelward_resyncs", "Full comparisons of the cache with the API server, by result.", ["result"])
REPAIRED = Counter("modelward_resync_repairs", "Objects of which a resync found that the watch had missed a change.")
TRACE_SPANS = Counter(
    "modelward_trace_spans", "Spans by what became of them: sent, or dropped (no room, or the collector refused them).",
    ["result"],
)  # fmt: skip
LEADER = Gauge("modelward_leader", "1 while this process holds the lease.")
ROLLOUTS = Counter(
    "modelward_rollouts", "Rollouts that ended, by result: Promoted, RolledBack or Aborted.",
    ["namespace", "name", "result"],
)  # fmt: skip
RETRAINING_RUNS = Counter(
    "modelward_retraining_runs", "Retraining runs that ended, by result.", ["namespace", "policy", "result"]
)
BATCH_RUNS = Counter(
    "modelward_batch_runs", "Runs of batches that ended, by result: Succeeded or Failed.",
    ["namespace", "name", "result"],
)  # fmt: skip
RETRAINING_SECONDS = Histogram(
    "modelward_retraining_duration_seconds", "Time from the decision to the end of a retraining run, its rollout too.",
    buckets=(10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400),
)  # fmt: skip


def expect_model(namespace: str, name: str) -> None:
    """Show what may end of a ModelDeployment before the first does: Prometheus sees no rise in a series that begins
    at 1."""
    for result in (PROMOTED, ROLLED_BACK, ABORTED):
        ROLLOUTS.labels(namespace, name, result)


def expect_policy(namespace: str, name: str, results: Iterable[str]) -> None:
    """As expect_model, of a DriftPolicy."""
    for result in results:
        RETRAINING_RUNS.labels(namespace, name, result)


def count_run(namespace: str, name: str, result: str, seconds: float) -> None:
    """Count a run that has ended, after so many seconds."""
    RETRAINING_RUNS.labels(namespace, name, result).inc()
    RETRAINING_SECONDS.observe(seconds)


def expect_batch(namespace: str, name: str, results: Iterable[str]) -> None:
    """As expect_model, of a BatchInference."""
    for result in results:
        BATCH_RUNS.labels(namespace, name, result)


def forget_batch(namespace: str, name: str, results: Iterable[str]) -> None:
    """Drop what was counted of a BatchInference that is gone."""
    for result in results:
        BATCH_RUNS.remove(namespace, name, result)


def forget_model(namespace: str, name: str) -> None:
    """Drop what was counted of a ModelDeployment that is gone."""
    for result in (PROMOTED, ROLLED_BACK, ABORTED):
        ROLLOUTS.remove(namespace, name, result)


def forget_namespace(namespace: str) -> None:
    """Drop what was counted of a namespace that has no ModelDeployment any more."""
    PODS_LEFT_OUT.remove(namespace)


def forget_policy(namespace: str, name: str, results: Iterable[str]) -> None:
    """Drop what was counted of a DriftPolicy that is gone."""
    for result in results:
        RETRAINING_RUNS.remove(namespace, name, result)
