"""Prometheus metrics of the server, in base units. One process serves one model, so the labels stay few.

What every request touches is counted in plain Python and read when Prometheus asks: prometheus_client's locks and label
look-ups would cost more than a small model. Invariant: these are only written in the event loop's thread.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1,
    0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 5, 10, 20, 30, 60, 120, 300,
)  # fmt: skip
"""Upper bounds, shared with the router. The smallest models answer in tens of microseconds; from 1 ms to 3 s, where
people set their limits, each bound is at most twice the one before it."""

TRACE_ID = "trace_id"
"""The label of exemplars by which Grafana finds a trace."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536)


class Series:
    """One histogram of one set of labels. `exemplars`: by bucket, the last observation that has a trace."""

    __slots__ = ("_bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def exemplify(self, value: float, trace_id: str) -> None:
        """An observation that was made is that of this trace."""
        exemplar = Exemplar({TRACE_ID: trace_id}, value, time.time())
        self.exemplars[bisect_left(self._bounds, value)] = exemplar

    def buckets(self, names: Sequence[str]) -> list[tuple[str, int] | tuple[str, int, Exemplar]]:
        """Cumulative, as Prometheus has them."""
        return [
            (name, count, self.exemplars[place]) if place in self.exemplars else (name, count)
            for place, (name, count) in enumerate(zip(names, accumulate(self.counts), strict=True))
        ]


class FastHistogram(Collector):
    """A histogram whose series are looked up once and then cost a fraction of a microsecond an observation."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._documentation, self._labels, self._bounds = name, documentation, labels, bounds
        self._series: dict[tuple[str, ...], Series] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> Series:
        """The series of these labels. Keep it."""
        if len(values) != len(self._labels):
            raise ValueError(f"{self._name} has the labels {', '.join(self._labels)}")
        return self._series.setdefault(values, Series(self._bounds))

    def matching(self, first: Sequence[str]) -> list[tuple[tuple[str, ...], Series]]:
        """The series whose labels begin with these."""
        wanted = tuple(first)
        return [(values, series) for values, series in self._series.items() if values[: len(wanted)] == wanted]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [*(f"{bound:g}" if bound < 1 else f"{float(bound)}" for bound in self._bounds), "+Inf"]
        for values, series in self._series.items():
            family.add_metric(values, series.buckets(names), series.total)
        return [family]

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._documentation, labels=self._labels)]


_MODEL = ("model", "version")
REQUEST_SECONDS = FastHistogram(
    "modelward_inference_request_duration_seconds", "From the last byte of a request to its answer, queue included.",
    (*_MODEL, "protocol", "code"), SECONDS,
)  # fmt: skip
QUEUE_SECONDS = FastHistogram(
    "modelward_inference_queue_duration_seconds", "From a checked request to its computation.", _MODEL, SECONDS
)
COMPUTE_SECONDS = FastHistogram(
    "modelward_inference_compute_duration_seconds", "Time in the model alone, once for each batch.", _MODEL, SECONDS
)
BATCH_REQUESTS = FastHistogram(
    "modelward_inference_batch_requests", "Requests that were computed together.", _MODEL, SIZES
)
BATCH_ROWS = FastHistogram("modelward_inference_batch_rows", "Rows that were computed together.", _MODEL, SIZES)
PENDING = Gauge("modelward_inference_pending_requests", "Requests that wait for the model or are in it.")
REJECTED = Counter(
    "modelward_inference_rejected", "Requests turned away with 503 because too many waited, or too large ones."
)
EXPIRED = Counter("modelward_inference_expired", "Requests not computed because their time was over.")
ABANDONED = Counter("modelward_inference_abandoned", "Requests not computed because their client had gone.")
REFUSED = Counter(
    "modelward_inference_refused", "Requests that the protocol allows and this model does not take: by its signature "
    "(names, shapes, types), or by what it says itself.", [*_MODEL, "by"],
)  # fmt: skip
SAMPLES = Counter("modelward_inference_samples", "Answers kept, to be compared with another revision's.")
SAMPLE_ERRORS = Counter("modelward_inference_sample_errors", "Answers that were to be kept and could not be.")
MODEL_INFO = Gauge("modelward_model_info", "Always 1; what is served.", ["model", "version", "format", "digest"])
BODY_BYTES = Gauge("modelward_inference_body_bytes", "What the large bodies of all requests hold together.")
TRACE_SPANS = Counter(
    "modelward_inference_trace_spans", "Spans by what became of them: sent, or dropped (no room, or refused).",
    ["result"],
)  # fmt: skip
DRAINING = Gauge("modelward_inference_draining", "1 while the server ends and only finishes what it has begun.")


GONE = 499
"""The code of REST for a client that left before its answer, as nginx has it; gRPC says CANCELLED."""


class Requests:
    """Requests of one protocol. `code`: of HTTP, or the name of gRPC's status; a handful, never the client's text. One
    whose client left before its answer is GONE."""

    def __init__(self, model: str, version: str, protocol: str) -> None:
        self._labels = (model, version, protocol)
        self._by_code: dict[object, Series] = {}

    def observe(self, code: int | str, seconds: float) -> None:
        series = self._by_code.get(code)
        if series is None:
            series = self._by_code[code] = REQUEST_SECONDS.labels(*self._labels, str(code))
        series.observe(seconds)

    def exemplify(self, code: int | str, seconds: float, trace_id: str) -> None:
        """The request that was observed last with this code is kept as this trace."""
        self._by_code[code].exemplify(seconds, trace_id)


@dataclass(frozen=True)
class CaptureFigures:
    """Rows so far, the bytes that are held, and whether a monitor is connected."""

    sent: int
    dropped: int
    sampled_out: int
    acknowledged: int
    size: int
    connected: bool


class CaptureCollector(Collector):
    """Of a server with a monitor; others have none of these."""

    def __init__(self, read: Callable[[], CaptureFigures]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        now = self._read()
        rows = CounterMetricFamily(
            "modelward_capture_rows", "Rows for the monitor: handed over, dropped for want of room, or not chosen.",
            labels=["result"],
        )  # fmt: skip
        for result, count in (("sent", now.sent), ("dropped", now.dropped), ("sampled_out", now.sampled_out)):
            rows.add_metric([result], count)
        yield rows
        yield CounterMetricFamily(
            "modelward_capture_acknowledged_rows", "Rows that the monitor has on its disk.", now.acknowledged
        )
        yield GaugeMetricFamily(
            "modelward_capture_buffer_bytes", "Held until the monitor acknowledges it.", now.size
        )  # fmt: skip
        yield GaugeMetricFamily("modelward_capture_connected", "1 while a monitor listens.", int(now.connected))
