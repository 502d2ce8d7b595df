"""The cluster's own autoscaler with a real metrics-server: as many pods as the load takes, also in a canary."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from examples.demo import objects
from examples.demo.load import load
from examples.demo.model import Trained

from benchmarks.rollout.under_load import address, body
from localcluster import kind, metricsserver

from .model import Model, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.timeout(600),
    pytest.mark.skipif(kind.is_chosen(), reason="metrics-server is started beside a cluster without Docker only"),
]

RATE = 600.0
LONGEST = 420
"""Requests a second, which is more than MOST pods should take, and seconds after which they end in any case."""

MOST = 3
SPEC: dict[str, Any] = {
    "autoscaling": {
        "minReplicas": 1,
        "maxReplicas": MOST,
        "cpuUtilization": 50,
        # As soon as it is measured, and not after five minutes.
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    },
    "resources": {"requests": {"cpu": "80m", "memory": "128Mi"}},
    "rollout": {
        "strategy": "Canary",
        "steps": [{"weight": 30, "hold": "5s"}, {"weight": 60, "hold": "5s"}],
        "gates": {"errorRate": {"margin": "5%"}, "minSamples": 30},
    },
}


@pytest.fixture(scope="module", autouse=True)
def measured_pods(namespace: str) -> Iterator[None]:
    """metrics-server, for this module alone."""
    try:
        metricsserver.up()
        yield
    finally:
        metricsserver.down()


def replicas(model: Model) -> int:
    """As the autoscaler wrote it."""
    return int(model.get()["spec"]["replicas"])


def ready(model: Model, revision: str) -> int:
    """Pods of a revision that answer."""
    return int(objects.get("deployments", model.namespace, revision)["status"].get("readyReplicas", 0))


def test_pods_follow_the_load_through_a_canary_and_no_request_is_lost(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    model.apply("digits/1/model.onnx", **SPEC)
    model.settle()
    first = model.stable()
    request = body(trained.rows[0].tolist())
    during = set()

    def promoted() -> bool:
        during.add(replicas(model))
        return model.is_settled() and model.stable() != first

    with load(model.namespace, "rest", address(model), request, rate=RATE, longest=LONGEST) as running:
        until(lambda: replicas(model) == MOST and ready(model, first) == MOST, "as many pods as the load takes", 180)
        until(lambda: model.condition("Autoscaled")["status"] == "True", "that the autoscaler gets on")
        model.apply("digits/2/model.onnx", **SPEC)
        until(promoted, "the canary's promotion", 180)
        second = model.stable()
        until(lambda: ready(model, second) == MOST == replicas(model), "the same pods of the new version")
    until(lambda: replicas(model) == 1 and ready(model, second) == 1, "one pod, where nothing is asked", 180)
    measured(f"1 to {MOST} pods and back, with {sorted(during)} during a canary: {running.results}")
    assert during == {MOST}, "the autoscaler and the rollout are at odds"
    assert not running.failed
    assert running.results["200"] >= 1000
