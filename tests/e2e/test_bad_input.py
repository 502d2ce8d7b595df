"""Every bad model ends in a condition that names the cause and the cure, while the last good revision keeps serving."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from examples.demo.model import Trained

from localcluster.clients import kubectl

from .model import Model, until

OPERATOR = ("deployment/modelward-operator", "-n", "modelward-system")

UNPULLABLE = "127.0.0.1:9/modelward/inference:nowhere"
"""Nothing listens there."""

ZEROS = "sha256:" + "0" * 64

BAD: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "an artifact that is not there": (
        {"key": "missing/model.onnx"}, "ArtifactNotFound", ["no key missing/model.onnx", "check spec.model.uri"],
    ),
    "a store that can't be reached": (
        {"key": "https://127.0.0.1:9/m.onnx", "credentials": False},
        "ArtifactUnreachable", ["Check that the store runs"],
    ),
    "no credentials": (
        {"credentials": False}, "AccessDenied", ["spec.model.credentialsSecret"],
    ),
    "a Secret that does not exist": (
        {"model": {"credentialsSecret": {"name": "nowhere"}}}, "ContainerConfigInvalid", ['secret "nowhere" not found'],
    ),
    "another digest": ({"model": {"digest": ZEROS}}, "DigestMismatch", ["pin its digest", ZEROS]),
    "a corrupt file": ({"key": "corrupt/model.onnx"}, "ArtifactCorrupt", ["can't be loaded as ONNX"]),
    "a web page instead of a model": ({"key": "page/model.onnx"}, "FormatMismatch", ["an HTML page"]),
    "too little memory": (
        {"resources": {"limits": {"memory": "32Mi"}}}, "OutOfMemory", ["Raise spec.resources.limits.memory"],
    ),
    "more than a node has": (
        {"resources": {"requests": {"cpu": "900"}}}, "Unschedulable", ["Insufficient cpu"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(namespace: str) -> Model:
    """One good model that every bad version is tried on."""
    made = Model(namespace, "good")
    made.apply()
    made.settle()
    return made


@pytest.mark.parametrize("case", BAD)
def test_bad_version_then_repair(good: Model, trained: Trained, case: str) -> None:
    spec, reason, words = BAD[case]
    stable = good.stable()
    good.apply(**spec)
    # Of Ready: what may pass by itself, as the lack of a node, is not in Stalled for some minutes.
    until(lambda: good.condition("Ready")["reason"] == reason, f"{reason} in Ready")
    message = good.condition("Ready")["message"]
    for word in (*words, f"Until then {stable} keeps serving"):
        assert word in message
    assert good.condition("Servable")["status"] == "True"
    assert good.agreement(trained) == 1.0
    good.apply()
    good.settle()
    assert good.stable() == stable


def test_a_bad_first_version_is_repaired(model: Model, trained: Trained) -> None:
    model.apply("missing/model.onnx")
    until(lambda: model.condition("Stalled")["reason"] == "ArtifactNotFound", "the cause in Stalled")
    assert model.condition("Servable")["status"] == "False"
    model.apply()
    model.settle()
    assert model.agreement(trained) == 1.0


@pytest.mark.alone
def test_an_image_that_no_node_can_pull(good: Model, trained: Trained) -> None:
    """As after an upgrade of the operator with a wrong image: what serves goes on, and the condition says why."""
    stable = good.stable()
    with other_server_image(UNPULLABLE):
        until(lambda: UNPULLABLE in good.condition("Reconciling")["message"], "the cause in Reconciling")
        assert "MODELWARD_*_IMAGE" in good.condition("Reconciling")["message"]
        assert good.condition("PlatformCurrent")["reason"] == "Updating"
        assert good.condition("Ready")["status"] == "True"
        assert good.agreement(trained) == 1.0
    until(lambda: good.condition("PlatformCurrent")["status"] == "True" and good.is_settled(), "what it was before")
    assert good.stable() == stable


@contextlib.contextmanager
def other_server_image(image: str) -> Iterator[None]:
    """The operator, configured with another inference image."""
    # Whatever other models there are: each has its turn at once.
    kubectl("set", "env", *OPERATOR, f"MODELWARD_SERVER_IMAGE={image}", "MODELWARD_UPDATES_AT_A_TIME=100")
    try:
        kubectl("rollout", "status", *OPERATOR, "--timeout=120s")
        yield
    finally:
        kubectl("set", "env", *OPERATOR, "MODELWARD_SERVER_IMAGE-", "MODELWARD_UPDATES_AT_A_TIME-")
        kubectl("rollout", "status", *OPERATOR, "--timeout=120s")
