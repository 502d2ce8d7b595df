"""Nodes that are drained under load: two kubelets on this machine, and not one request lost."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from examples.demo.load import load
from examples.demo.model import Trained

from benchmarks.rollout.under_load import RATE, address, body
from localcluster import cluster, kind, secondnode, settings
from localcluster.clients import kubectl

from .model import Model, until

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(600),
    pytest.mark.skipif(kind.is_chosen(), reason="a second node can be added to the cluster without Docker only"),
]

FIRST = settings.NODE_NAME
TWO_OF_EACH: dict[str, Any] = {"replicas": 2, "router": {"replicas": 2}}
LONGEST = 480
"""Seconds of load: two drains, and two replacements of every pod."""


@pytest.fixture(scope="module")
def second(namespace: str) -> Iterator[str]:
    """The name of a second node, which is there for this module alone."""
    try:
        yield secondnode.up(["inference", "router"])
    finally:
        kubectl("uncordon", FIRST)
        secondnode.leave()


def places(model: Model, component: str) -> list[str]:
    """The nodes of its pods that are there to stay."""
    return sorted(each["spec"].get("nodeName", "") for each in model.pods(component))


def drained(node: str, model: Model) -> str:
    """`kubectl drain`, of the model's pods: its store, and the operator, have one node that has their images. What it
    said."""
    command = [
        str(cluster.kubectl()), f"--kubeconfig={cluster.kubeconfig()}", "drain", node, "--delete-emptydir-data",
        f"--pod-selector=app.kubernetes.io/instance={model.name}", "--timeout=180s",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def replace_pods(model: Model) -> None:
    """Every pod by a new one, as Kubernetes does it."""
    where = ("-n", model.namespace, "-l", f"app.kubernetes.io/instance={model.name}")
    kubectl("rollout", "restart", "deployment", *where)
    kubectl("rollout", "status", "deployment", *where, "--timeout=180s")
    until(model.is_settled, "settled with other pods")


def test_drained_nodes_lose_no_request(
    model: Model, trained: Trained, second: str, measured: Callable[[str], None]
) -> None:
    both = [FIRST, second]
    model.apply(**TWO_OF_EACH)
    model.settle()
    assert places(model, "router") == both
    assert places(model, "server") == both
    kubectl("cordon", second)  # that who sends stays where it is
    request = body(trained.rows[0].tolist())
    with load(model.namespace, "rest", address(model), request, rate=RATE, longest=LONGEST) as running:
        drained(second, model)
        until(lambda: places(model, "server") == [FIRST, FIRST] and model.is_settled(), "everything on the first node")
        kubectl("uncordon", second)
        # Now both of a kind are on one node: the budgets let one go, and the other only once that one is replaced.
        said = drained(FIRST, model)
        until(lambda: places(model, "server") == [second, second] and model.is_settled(), "everything on the second")
        kubectl("uncordon", FIRST)
        replace_pods(model)
    measured(f"two nodes drained, and every pod replaced afterwards: {running.results}")
    assert not running.failed
    assert running.results["200"] >= 1000
    assert said.count("would violate the pod's disruption budget") >= 2, said
    assert places(model, "router") == both
    assert places(model, "server") == both
