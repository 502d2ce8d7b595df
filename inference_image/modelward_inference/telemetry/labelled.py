"""Metrics as they are shown: each of a pod's series says which revision it is of. A pod has one, so none is added.

The label is put there while somebody scrapes: what counts requests knows nothing of it.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client import generate_latest
from prometheus_client.core import Metric

LABEL = "revision"


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


def exposition(registry: Collects, revision: str) -> bytes:
    """The text for Prometheus. `revision`: empty where a process stands alone."""
    return generate_latest(Labelled(registry, revision) if revision else registry)
