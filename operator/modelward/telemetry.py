"""The operator's own Prometheus metrics. Labels are bounded, but for one series a ModelDeployment where it says so."""

from prometheus_client import Counter, Gauge, Histogram

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
