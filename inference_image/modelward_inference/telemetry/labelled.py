"""Metrics as they are shown: each of a pod's series says which revision it is of. A pod has one, so none is added.

The label is put there while somebody scrapes: what counts requests knows nothing of it.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

LABEL = "revision"

OPENMETRICS = "application/openmetrics-text"


class Collects(Protocol):
    """A registry, or a collector."""

    def collect(self) -> Iterable[Metric]: ...


class Labelled:
    """What `registry` has, with the label."""

    def __init__(self, registry: Collects, revision: str) -> None:
        self._registry, self._revision = registry, revision

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            shown = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            shown.samples = [
                sample._replace(labels={**sample.labels, LABEL: self._revision}) for sample in metric.samples
            ]
            yield shown


def exposition(registry: Collects, revision: str, accept: str | None = None) -> tuple[bytes, str]:
    """The text for Prometheus, and its content type. `revision`: empty where a process stands alone; `accept`: the
    header: OpenMetrics, which alone has exemplars, for whoever asks for it."""
    shown = Labelled(registry, revision) if revision else registry
    # Not the header itself: an odd version in it raises there.
    encode, content_type = choose_encoder(OPENMETRICS if OPENMETRICS in (accept or "") else "")
    return encode(shown), content_type
