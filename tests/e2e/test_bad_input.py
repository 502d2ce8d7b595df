"""Every bad model ends in a condition that names the cause and the cure, while the last good revision keeps serving."""

from typing import Any

import pytest
from examples.demo.model import Trained

from .model import Model, until

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
    until(lambda: good.condition("Stalled")["reason"] == reason, f"{reason} in Stalled")
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
