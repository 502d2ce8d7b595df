"""Steady load through the Service while things change: not one request is lost."""

from collections.abc import Callable

import pytest
from examples.demo import objects
from examples.demo.load import load
from examples.demo.model import Trained

from benchmarks.rollout.under_load import address, body, grpc_request
from localcluster.clients import kubectl

from .model import Model, until

RequestOf = Callable[[Model, Trained], tuple[str, str, str]]


def rest(model: Model, trained: Trained) -> tuple[str, str, str]:
    """What `load` sends: one row in JSON."""
    return "rest", address(model), body(trained.rows[0].tolist())


def grpc(model: Model, trained: Trained) -> tuple[str, str, str]:
    return grpc_request(model, trained)


def pods(model: Model, component: str) -> list[str]:
    selector = f"app.kubernetes.io/instance={model.name},app.kubernetes.io/component={component}"
    listed = objects.find_all("pods", model.namespace, selector)
    return [each["metadata"]["name"] for each in listed if not each["metadata"].get("deletionTimestamp")]


def change_the_model(model: Model) -> None:
    model.apply("digits/2/model.onnx", replicas=2, router={"replicas": 2})
    model.settle()
    model.apply("digits/1/model.onnx", replicas=2, router={"replicas": 2})
    model.settle()


def end_a_router_pod(model: Model) -> None:
    end_one(model, "router")


def end_a_server_pod(model: Model) -> None:
    end_one(model, "server")


def end_one(model: Model, component: str) -> None:
    """As a node that is drained does: SIGTERM, with the time that the pod asks for."""
    name = pods(model, component)[0]
    kubectl("delete", "pod", name, "-n", model.namespace, "--wait=true", "--timeout=120s")
    until(lambda: len(pods(model, component)) == 2 and model.is_settled(), f"another {component} pod")


def scale_down(model: Model) -> None:
    model.apply("digits/1/model.onnx", replicas=1, router={"replicas": 1})
    until(lambda: len(pods(model, "server")) == len(pods(model, "router")) == 1 and model.is_settled(), "one of each")


@pytest.mark.parametrize(
    ("request_of", "change"),
    [
        (rest, change_the_model), (rest, end_a_router_pod), (rest, end_a_server_pod), (rest, scale_down),
        (grpc, change_the_model), (grpc, end_a_router_pod), (grpc, end_a_server_pod),
    ],
)  # fmt: skip
def test_no_request_is_lost(
    model: Model,
    trained: Trained,
    request_of: RequestOf,
    change: Callable[[Model], None],
    measured: Callable[[str], None],
) -> None:
    model.apply("digits/1/model.onnx", replicas=2, router={"replicas": 2})
    model.settle()
    with load(model.namespace, *request_of(model, trained)) as running:
        change(model)
    kind, what = request_of.__name__, change.__name__.replace("_", " ")
    measured(f"{kind}, {what}: {running.results} by {len(running.revisions)} revision(s)")
    assert not running.failed
    assert running.results["200"] >= 100
