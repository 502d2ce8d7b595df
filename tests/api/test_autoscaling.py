"""spec.autoscaling before a real API server, and the cluster's own autoscaler in its own process."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from localcluster import binaries
from modelward.kube.resources import AUTOSCALERS, DEPLOYMENTS, MODEL_DEPLOYMENTS
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until

TARGET = {"apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "name": "fraud"}


def autoscaler(model: Model) -> Any:
    return model.cluster.request("GET", AUTOSCALERS.path(model.namespace, "fraud"))


def pods_of(model: Model) -> int:
    (name,) = [each.split("/")[1] for each in model.revisions()]
    return int(model.cluster.request("GET", DEPLOYMENTS.path(model.namespace, name))["spec"]["replicas"])


def scaled(model: Model, replicas: int) -> None:
    """As the autoscaler writes it."""
    path = MODEL_DEPLOYMENTS.path(model.namespace, "fraud", "scale")
    model.cluster.request("PATCH", path, {"spec": {"replicas": replicas}}, "application/merge-patch+json")


@contextmanager
def scaling(cluster: Cluster) -> Iterator[None]:
    """kube-controller-manager with that controller alone."""
    command = [
        str(binaries.kubernetes() / "kube-controller-manager"), f"--kubeconfig={cluster.server.kubeconfig}",
        "--controllers=horizontal-pod-autoscaler-controller", "--leader-elect=false", "--secure-port=0",
        "--horizontal-pod-autoscaler-sync-period=1s", "--use-service-account-credentials=false",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "kube-controller-manager has ended"
    finally:
        process.kill()
        process.wait()


async def test_an_autoscaler_is_made_and_taken_away_and_is_no_rollout(cluster: Cluster, model: Model) -> None:
    async with operator(cluster) as one:
        model.apply()
        await until(model.is_ready, "ready")
        first = model.revisions()
        behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
        model.apply(autoscaling={"minReplicas": 2, "maxReplicas": 5, "cpuUtilization": 60, "behavior": behavior})
        made = await until(lambda: autoscaler(model), "an autoscaler")
        assert made["spec"]["scaleTargetRef"] == TARGET
        assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 5)
        assert made["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 60
        await until(lambda: model.is_ready() and pods_of(model) == 2, "as many as there have to be at least")
        assert model.revisions() == first
        assert model.condition("Autoscaled")["status"] == "Unknown"
        await until(one.is_idle, "an empty queue")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before
        model.apply()
        await until(lambda: autoscaler(model) is None, "no autoscaler")
        await until(lambda: not model.condition("Autoscaled")["reason"], "nothing told of it any more")
        assert model.revisions() == first


async def test_the_clusters_autoscaler_takes_the_model_and_says_that_nobody_measures(
    cluster: Cluster, model: Model
) -> None:
    """No metrics-server is here: what it needs none for it does, and the condition says the rest, with the cure."""
    async with operator(cluster):
        model.apply(autoscaling={"maxReplicas": 5})
        await until(model.is_ready, "ready")
        with scaling(cluster):
            told = await until(
                lambda: (found := model.condition("Autoscaled"))["status"] == "False" and found, "what it says"
            )
            assert told["reason"] == "FailedGetContainerResourceMetric"
            assert "Install metrics-server" in told["message"]
            assert model.condition("Ready")["status"] == "True"
            model.apply(autoscaling={"minReplicas": 3, "maxReplicas": 5})
            await until(
                lambda: (
                    cluster.request("GET", MODEL_DEPLOYMENTS.path(model.namespace, "fraud"))["spec"]["replicas"] == 3
                ),
                "spec.replicas as the autoscaler writes it",
            )
            await until(lambda: model.is_ready() and pods_of(model) == 3, "three pods")


async def test_a_rollout_and_an_autoscaler_do_not_hinder_each_other(cluster: Cluster, model: Model) -> None:
    bounds = {"maxReplicas": 10}
    canary = {"strategy": "Canary", "steps": [{"weight": 25, "hold": "1h"}], "gates": {"onNoData": "Hold"}}

    def replicas() -> dict[str, int]:
        listed = cluster.request("GET", DEPLOYMENTS.path(model.namespace))["items"]
        found = {each["metadata"]["name"]: each["spec"]["replicas"] for each in listed}
        return {name: count for name, count in found.items() if name != "fraud-router"}

    async with operator(cluster):
        model.apply(autoscaling=bounds, rollout=canary)
        await until(model.is_ready, "ready")
        (stable,) = replicas()
        scaled(model, 8)
        await until(lambda: model.is_ready() and replicas() == {stable: 8}, "eight pods")
        model.apply(2, autoscaling=bounds, rollout=canary)
        await until(lambda: model.kubelet.settle() or len(replicas()) == 2, "a candidate")
        (candidate,) = replicas().keys() - {stable}
        await until(lambda: replicas() == {stable: 8, candidate: 2}, "a quarter of eight")
        await until(
            lambda: model.kubelet.settle() or "," in model.get()["status"]["selector"].split("revision")[-1],
            "that the candidate's pods are measured, too",
        )
        # The canary relieves the stable, and the autoscaler sees that fewer would do.
        scaled(model, 4)
        await until(
            lambda: model.get()["status"]["observedGeneration"] == model.get()["metadata"]["generation"], "a look at it"
        )
        assert replicas() == {stable: 8, candidate: 2}
        scaled(model, 10)
        await until(lambda: replicas() == {stable: 10, candidate: 3}, "more of both")


async def test_an_autoscaler_that_lost_its_label_goes_with_spec_all_the_same(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(autoscaling={"maxReplicas": 5})
        await until(lambda: model.is_ready() and model.condition("Autoscaled")["reason"], "ready")
    patch = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}
    path = AUTOSCALERS.path(model.namespace, "fraud")
    cluster.request("PATCH", path, patch, "application/merge-patch+json")
    model.apply()
    async with operator(cluster, identity="next"):
        await until(lambda: autoscaler(model) is None, "no autoscaler")


async def test_what_the_api_server_does_not_take_stops_nothing_else(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply(autoscaling={"maxReplicas": 5, "metrics": [{"type": "Pods"}]})
        await until(model.is_ready, "ready")
        told = await until(
            lambda: (found := model.condition("Autoscaled"))["status"] == "False" and found, "why there is none"
        )
        assert told["reason"] == "AutoscalerRefused"
        assert "spec.metrics[0].pods" in told["message"]
        assert autoscaler(model) is None


async def test_somebody_elses_autoscaler_is_left_alone_and_told(cluster: Cluster, model: Model) -> None:
    cluster.request(
        "POST", AUTOSCALERS.path(model.namespace),
        {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "fraud"},
            "spec": {"scaleTargetRef": TARGET, "maxReplicas": 9},
        },
    )  # fmt: skip
    async with operator(cluster):
        model.apply(autoscaling={"maxReplicas": 5})
        await until(model.is_ready, "ready")
        told = await until(lambda: (found := model.condition("Autoscaled"))["reason"] == "NameTaken" and found, "whose")
        assert "was not made by Modelward" in told["message"]
        assert autoscaler(model)["spec"]["maxReplicas"] == 9
        model.apply()
        await until(lambda: not model.condition("Autoscaled")["reason"], "nothing told of it any more")
        assert autoscaler(model)["spec"]["maxReplicas"] == 9


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({}, "maxReplicas: Required value"),
        ({"maxReplicas": 0}, "write a number from 1 to 1000"),
        ({"maxReplicas": 2, "minReplicas": 0}, "nobody would wait for a model of none"),
        ({"maxReplicas": 2, "minReplicas": 3}, "minReplicas is larger than maxReplicas"),
        ({"maxReplicas": 2, "cpuUtilization": 0}, "write percents"),
        ({"maxReplicas": 2, "metrics": [{"type": "Cpu"}]}, "write ContainerResource, Resource"),
    ],
)
def test_what_can_not_be_is_refused(cluster: Cluster, namespace: str, wanted: Any, sentence: str) -> None:
    taken, said = cluster.create(written(autoscaling=wanted), namespace, dry_run=True)
    assert not taken
    assert sentence in said


def test_a_share_of_no_request_is_refused(cluster: Cluster, namespace: str) -> None:
    memory = {"requests": {"memory": "1Gi"}}
    taken, said = cluster.create(written(autoscaling={"maxReplicas": 2}, resources=memory), namespace, dry_run=True)
    assert not taken
    assert "a share of the requested CPU needs a request" in said
    external = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "1"}}}
    for resources in ({"limits": {"cpu": "1"}, **memory}, {"limits": {"memory": "1Gi"}}, {"requests": {"cpu": "1"}}):
        taken, said = cluster.create(
            written(autoscaling={"maxReplicas": 2}, resources=resources), namespace, dry_run=True
        )
        assert taken, said
    taken, said = cluster.create(
        written(autoscaling={"maxReplicas": 2, "metrics": [external]}, resources=memory), namespace, dry_run=True
    )
    assert taken, said


def written(**spec: Any) -> Any:
    return {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "fraud"},
        "spec": {"model": {"uri": "s3://models/fraud/1/model.onnx"}, **spec},
    }  # fmt: skip
