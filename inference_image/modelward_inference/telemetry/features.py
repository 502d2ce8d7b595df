"""Metrics of the feature store, apart from those of the model: what it costs, how it fails, and what it had to say."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from modelward_inference.telemetry.metrics import SECONDS, FastHistogram

_MODEL = ("model", "version")
STORE_SECONDS = FastHistogram(
    "modelward_features_request_duration_seconds", "From a question to the feature store to its answer, or to the end "
    "of waiting: ok, or failed.", (*_MODEL, "result"), SECONDS,
)  # fmt: skip
FAILURES = Counter(
    "modelward_features_failures", "Requests without features, by why: overloaded, timeout, unreachable, denied, "
    "failed, malformed, definitions, types or untimed.", [*_MODEL, "reason"],
)  # fmt: skip
VALUES = Counter(
    "modelward_features_values", "Values that were looked up, by what became of them: present, present_ageless, "
    "missing_refused, missing_null, missing_default, stale_refused or stale_used.", [*_MODEL, "outcome"],
)  # fmt: skip
PENDING = Gauge("modelward_features_pending", "Questions that the feature store has not answered yet.")
INFO = Gauge(
    "modelward_features_info", "Always 1; the feature service that was asked last, and its definitions.",
    ["service", "digest"],
)  # fmt: skip


class Store:
    """One model's."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = (model, version)
        self._seconds = {each: STORE_SECONDS.labels(model, version, each) for each in ("ok", "failed")}

    def answered(self, seconds: float, counts: Mapping[str, int]) -> None:
        """`counts`: values by outcome."""
        self._seconds["ok"].observe(seconds)
        for outcome, count in counts.items():
            VALUES.labels(*self._labels, outcome).inc(count)

    def failed(self, seconds: float, reason: str) -> None:
        """No answer that can be used."""
        self._seconds["failed"].observe(seconds)
        FAILURES.labels(*self._labels, reason).inc()

    def defined(self, service: str, digest: str) -> None:
        """What answers now: one series, however often that changes."""
        INFO.clear()
        INFO.labels(service, digest).set(1)
