"""The life of a model: create, change, scale, a killed operator, delete."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import tritonclient.http as triton
from examples.demo.model import Trained

from localcluster.clients import kubectl

from .model import Model, until

OPERATOR = ("-n", "modelward-system", "-l", "app.kubernetes.io/name=modelward-operator")


def test_a_model_is_created_and_answers(model: Model, trained: Trained, measured: Callable[[str], None]) -> None:
    began = time.monotonic()
    model.apply(replicas=2)
    status = model.settle()["status"]
    measured(f"{time.monotonic() - began:.1f} s from apply to Ready")
    assert status["phase"] == "Ready"
    assert (status["readyReplicas"], status["router"]["liveReplicas"]) == (2, 1)
    assert model.agreement(trained) == 1.0
    assert sorted(model.events()) == ["Ready", "RevisionCreated"]
    row = kubectl("get", "md", model.name, "-n", model.namespace, "--no-headers").split()
    assert row[:4] == [model.name, "True", "Ready", "s3://models/digits/1/model.onnx"]


def test_a_pickled_scikit_learn_model_answers_as_scikit_learn_does(model: Model, trained: Trained) -> None:
    model.apply("digits/1/model.joblib")
    assert model.settle()["status"]["stable"]["uri"].endswith("model.joblib")
    with model.client() as client:
        tensor = triton.InferInput("input", list(trained.rows.shape), "FP32")
        tensor.set_data_from_numpy(trained.rows)
        answer = client.infer(model.name, [tensor]).as_numpy("predict")
    # The server computes in double precision, and a small forest's ties fall otherwise in single.
    assert np.array_equal(answer, trained.estimator.predict(trained.rows.astype(np.float64)))


def test_a_model_on_a_volume_answers(model: Model, trained: Trained, volume: str) -> None:
    model.apply(f"pvc://{volume}/digits/model.onnx", credentials=False)
    model.settle()
    assert model.agreement(trained) == 1.0
    model.apply(f"pvc://{volume}/digits/other.onnx", credentials=False)
    until(lambda: model.condition("Stalled")["reason"] == "ArtifactNotFound", "the cause in Stalled")
    assert "it has model.onnx in /digits" in model.condition("Ready")["message"]
    assert model.agreement(trained) == 1.0, "the last good revision keeps serving"


def test_a_change_of_model_moves_the_traffic_and_leaves_nothing_old(model: Model) -> None:
    model.apply("digits/1/model.onnx")
    model.settle()
    first = model.stable()
    model.apply("digits/2/model.onnx")
    status = model.settle()["status"]
    assert status["stable"]["uri"] == "s3://models/digits/2/model.onnx"
    assert "TrafficMoved" in model.events()
    until(lambda: not [name for name in model.objects() if first in name], "the old revision's end")


def test_a_change_of_replicas_keeps_the_revision(model: Model) -> None:
    model.apply()
    model.settle()
    first = model.stable()
    kubectl("scale", f"md/{model.name}", "-n", model.namespace, "--replicas=3")
    until(lambda: model.is_settled() and model.get()["status"]["readyReplicas"] == 3, "three replicas")
    model.apply(replicas=1)
    until(lambda: model.is_settled() and model.get()["status"]["readyReplicas"] == 1, "one replica")
    assert model.stable() == first


@pytest.mark.alone
def test_a_killed_operator_goes_on_where_it_was(model: Model, trained: Trained) -> None:
    """SIGKILL for both operator pods in the middle of a rollout."""
    model.apply("digits/1/model.onnx")
    model.settle()
    model.apply("digits/2/model.onnx")
    until(lambda: model.get()["status"].get("candidate"), "a candidate")
    kubectl("delete", "pods", *OPERATOR, "--grace-period=0", "--force")
    assert model.agreement(trained) > 0.9, "the router needs no operator"
    status = model.settle()["status"]
    assert status["stable"]["uri"] == "s3://models/digits/2/model.onnx"
    assert "candidate" not in status


def test_delete_removes_everything(model: Model) -> None:
    model.apply()
    model.settle()
    assert model.objects()
    kubectl("delete", "md", model.name, "-n", model.namespace)
    until(lambda: not model.objects(), "the end of everything")
