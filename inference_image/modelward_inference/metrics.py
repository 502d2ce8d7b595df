"""Prometheus metrics of the server, in base units. One process serves one model, so the labels stay few."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS = Counter(
    "modelward_inference_requests", "Inference requests by model, version, protocol and code.",
    ["model", "version", "protocol", "code"],
)  # fmt: skip
REQUEST_SECONDS = Histogram(
    "modelward_inference_request_duration_seconds", "From the last byte of a request to its answer, queue included.",
    ["model", "version", "protocol"], buckets=_BUCKETS,
)  # fmt: skip
COMPUTE_SECONDS = Histogram(
    "modelward_inference_compute_duration_seconds", "Time in the model alone.", buckets=_BUCKETS
)
PENDING = Gauge("modelward_inference_pending_requests", "Requests that wait for the model or are in it.")
REJECTED = Counter("modelward_inference_rejected", "Requests turned away with 503 because too many waited.")
MODEL_INFO = Gauge("modelward_model_info", "Always 1; what is served.", ["model", "version", "format", "digest"])
DRAINING = Gauge("modelward_inference_draining", "1 while the server ends and only finishes what it has begun.")
