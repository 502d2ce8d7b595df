"""Steady load through the Service while things change: not one request is lost."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
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
    name = model.pod_names(component)[0]
    kubectl("delete", "pod", name, "-n", model.namespace, "--wait=true", "--timeout=120s")
    until(lambda: len(model.pod_names(component)) == 2 and model.is_settled(), f"another {component} pod")


def scale_down(model: Model) -> None:
    model.apply("digits/1/model.onnx", replicas=1, router={"replicas": 1})
    until(lambda: len(model.pods()) == len(model.pods("router")) == 1 and model.is_settled(), "one of each")


def restart(model: Model) -> None:
    before = set(model.pod_names("server"))
    kubectl("annotate", "--overwrite", "md", model.name, "modelward.io/restart=now", "-n", model.namespace)
    until(lambda: not before & set(model.pod_names("server")) and model.is_settled(), "other pods")


@pytest.mark.parametrize(
    ("request_of", "change"),
    [
        (rest, change_the_model), (rest, end_a_router_pod), (rest, end_a_server_pod), (rest, scale_down),
        (rest, restart),
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


@pytest.mark.alone
def test_no_request_is_lost_by_another_platform(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    """A setting that changes every pod: no revision, no rollout, the same pods in number all the time."""
    model.apply("digits/1/model.onnx", replicas=2, router={"replicas": 2})
    model.settle()
    stable, before = model.stable(), set(model.pod_names("server"))
    with load(model.namespace, *rest(model, trained)) as running, other_size():
        until(lambda: not before & set(model.pod_names("server")), "other pods")
        until(
            lambda: model.condition("PlatformCurrent")["status"] == "True" and model.is_settled(), "all of them ready"
        )
    measured(f"another platform: {running.results}")
    assert not running.failed
    assert model.stable() == stable
    assert "rollout" not in model.get()["status"]
    until(lambda: model.condition("PlatformCurrent")["status"] == "True" and model.is_settled(), "the way back")


@contextlib.contextmanager
def other_size() -> Iterator[None]:
    """The operator, with a setting that is in every model's pods."""
    operator = ("deployment/modelward-operator", "-n", "modelward-system")
    kubectl("set", "env", *operator, "MODELWARD_MAX_MODEL_SIZE=11Gi", "MODELWARD_UPDATES_AT_A_TIME=100")
    try:
        kubectl("rollout", "status", *operator, "--timeout=120s")
        yield
    finally:
        kubectl("set", "env", *operator, "MODELWARD_MAX_MODEL_SIZE-", "MODELWARD_UPDATES_AT_A_TIME-")
        kubectl("rollout", "status", *operator, "--timeout=120s")
