"""The life of a model: create, change, scale, a killed operator, delete."""

import collections
import http.client
import json
import time

from examples.demo.cluster import forwarded
from examples.demo.model import Trained

from localcluster.clients import kubectl

from .model import Model, until

OPERATOR = ("-n", "modelward-system", "-l", "app.kubernetes.io/name=modelward-operator")


def test_a_model_is_created_and_answers(model: Model, trained: Trained) -> None:
    began = time.monotonic()
    model.apply(replicas=2)
    status = model.settle()["status"]
    print(f"\n{time.monotonic() - began:.1f} s from apply to Ready")
    assert status["phase"] == "Ready"
    assert (status["readyReplicas"], status["router"]["liveReplicas"]) == (2, 1)
    assert model.agreement(trained) == 1.0
    assert sorted(model.events()) == ["Ready", "RevisionCreated"]
    row = kubectl("get", "md", model.name, "-n", model.namespace, "--no-headers").split()
    assert row[:4] == [model.name, "True", "Ready", "s3://models/digits/1/model.onnx"]


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


def test_a_change_under_load_loses_no_request(model: Model, trained: Trained) -> None:
    """Requests one after the other on one connection, while the revision changes."""
    model.apply("digits/1/model.onnx")
    model.settle()
    with model.client() as client:
        given = client.get_model_metadata(model.name)["inputs"][0]["name"]
    row = {"name": given, "shape": [1, 64], "datatype": "FP32", "data": trained.rows[0].tolist()}
    body = json.dumps({"inputs": [row]})
    codes: collections.Counter[int] = collections.Counter()
    with forwarded(model.namespace, model.name, 80) as address:
        connection = http.client.HTTPConnection(address)

        def send() -> None:
            for _ in range(20):
                connection.request("POST", f"/v2/models/{model.name}/infer", body)
                answer = connection.getresponse()
                answer.read()
                codes[answer.status] += 1

        send()
        model.apply("digits/2/model.onnx")
        until(lambda: (send(), model.is_settled())[1], "the second version, under load")
        send()
        connection.close()
    assert set(codes) == {200}, codes
    assert codes[200] >= 40


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
