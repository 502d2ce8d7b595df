"""Who gets through to a model's real pods, with NetworkPolicies enforced."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import images, policies
from localcluster.clients import kubectl

from .model import Model, until

SERVER, ROUTER = "app.kubernetes.io/component=server", "app.kubernetes.io/component=router"
SCRIPT = """
import json, socket, sys
def reaches(target):
    try:
        socket.create_connection(target.rsplit(":", 1), 5).close()
    except OSError:
        return False
    return True
print(json.dumps({each: reaches(each) for each in sys.argv[1:]}))
"""


@pytest.fixture(scope="module", autouse=True)
def enforced(namespace: str) -> Iterator[None]:
    """Only here, unless they are anyway: other tests measure."""
    began = policies.up()
    yield
    if began:
        policies.down()


class Visitor:
    """A pod of a namespace of its own, from which connections are tried."""

    def __init__(self, **labels: str) -> None:
        self.namespace = f"visitor-{secrets.token_hex(3)}"
        metadata = {"name": self.namespace, "labels": labels}
        self._create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        container = {
            "name": "visitor", "image": images.ensure(["inference"])["inference"], "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "600"],
        }  # fmt: skip
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        metadata = {"name": "visitor", "namespace": self.namespace}
        self._create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        kubectl("wait", "pod/visitor", "-n", self.namespace, "--for=condition=Ready", "--timeout=120s")

    def reaches(self, *targets: str) -> dict[str, bool]:
        """For each `address:port` whether a connection comes about."""
        command = ("/opt/venv/bin/python3", "-c", SCRIPT, *targets)
        answers: dict[str, bool] = json.loads(kubectl("exec", "visitor", "-n", self.namespace, "--", *command))
        return answers

    def leave(self) -> None:
        kubectl("delete", "namespace", self.namespace, "--wait=false")

    def _create(self, body: dict[str, Any]) -> None:
        kubectl("create", "-f", "-", stdin=json.dumps(body))


@pytest.fixture(scope="module")
def stranger(enforced: None) -> Iterator[Visitor]:
    made = Visitor()
    yield made
    made.leave()


@pytest.fixture(scope="module")
def scraper(enforced: None) -> Iterator[Visitor]:
    """Of a namespace that may read metrics."""
    made = Visitor(**{"modelward.io/metrics": "true"})
    yield made
    made.leave()


def address(model: Model, component: str) -> str:
    selector = f"app.kubernetes.io/instance={model.name},{component}"
    path = "jsonpath={.items[0].status.podIP}"
    return kubectl("get", "pods", "-n", model.namespace, "-l", selector, "-o", path)


def test_strangers_get_through_to_requests_alone(model: Model, stranger: Visitor, scraper: Visitor) -> None:
    # It becomes ready, so the operator gets through to the router's private ports.
    model.apply("digits/1/digits.tar", monitor={"window": {"duration": "3s", "minSamples": 1}})
    model.settle()
    until(lambda: model.condition("Monitored")["reason"] == "Counting", "the operator reads the monitor")
    server, router = address(model, SERVER), address(model, ROUTER)
    private = [f"{server}:{port}" for port in (8080, 8081, 9000)] + [f"{router}:{port}" for port in (9901, 9903)]
    public = f"{router}:8080"
    until(lambda: not any(stranger.reaches(*private).values()), "strangers are refused")
    assert stranger.reaches(public) == {public: True}
    metrics = [f"{server}:8080", f"{server}:8081", f"{router}:9901"]
    until(lambda: all(scraper.reaches(*metrics).values()), "metrics are for a labelled namespace")
    assert not any(scraper.reaches(f"{server}:9000", f"{router}:9903").values())


def test_requests_get_through_to_the_model(model: Model, stranger: Visitor) -> None:
    model.apply()
    model.settle()
    with model.client() as client:
        assert client.is_model_ready(model.name)
    service = f"{model.name}.{model.namespace}.svc.cluster.local:80"
    until(lambda: stranger.reaches(service)[service], "the model's own Service")
