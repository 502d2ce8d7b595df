"""Steady load through the Service while things change: not one request is lost."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from examples.demo.model import Trained

from localcluster.clients import kubectl

from .load import Load, load
from .model import Model, until


def row(model: Model, trained: Trained) -> dict[str, Any]:
    """A request of one row."""
    with model.client() as client:
        given = client.get_model_metadata(model.name)["inputs"][0]["name"]
    return {"inputs": [{"name": given, "shape": [1, 64], "datatype": "FP32", "data": trained.rows[0].tolist()}]}


def pods(model: Model, component: str) -> list[str]:
    selector = f"app.kubernetes.io/instance={model.name},app.kubernetes.io/component={component}"
    listed = json.loads(kubectl("get", "pods", "-n", model.namespace, "-l", selector, "-o", "json"))["items"]
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


@pytest.mark.parametrize("change", [change_the_model, end_a_router_pod, end_a_server_pod, scale_down])
def test_no_request_is_lost(model: Model, trained: Trained, change: Callable[[Model], None]) -> None:
    model.apply("digits/1/model.onnx", replicas=2, router={"replicas": 2})
    model.settle()
    with load(model.namespace, f"http://{model.name}/v2/models/{model.name}/infer", row(model, trained)) as running:
        change(model)
    report(running)
    assert not running.failed
    assert running.results["200"] >= 100


def report(running: Load) -> None:
    print(f"\n{running.results}, by revision {running.revisions}")
