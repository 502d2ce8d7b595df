"""Templates of pods before a real API server: what it refuses in our words, and what the operator's pods become."""

from typing import Any

import pytest

from modelward.kube.resources import DEPLOYMENTS, SERVICES
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from pod_templates import BAD, GOOD, METADATA, PLACED, WHOLE


def written(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "fraud"},
        "spec": {"model": {"uri": "s3://models/fraud/1/model.onnx"}, **spec},
    }  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_takes_a_guard_off_or_reaches_what_is_ours_is_refused(cluster: Cluster, namespace: str, what: str) -> None:
    spec, sentence = BAD[what]
    taken, said = cluster.create(written(spec), namespace, dry_run=True)
    assert not taken
    assert sentence in said or "unknown field" in said, said
    # Nothing of it is dropped in silence either, by whoever does not ask for unknown fields to be refused.
    assert not cluster.takes(written(spec), namespace)


@pytest.mark.parametrize("what", GOOD)
def test_what_is_left_is_taken(cluster: Cluster, namespace: str, what: str) -> None:
    taken, said = cluster.create(written(GOOD[what]), namespace, dry_run=True)
    assert taken, said


def _pods(model: Model, name: str) -> Any:
    return model.cluster.request("GET", DEPLOYMENTS.path(model.namespace, name))["spec"]["template"]


async def test_pods_are_what_the_template_makes_of_them_and_then_there_is_silence(
    cluster: Cluster, model: Model
) -> None:
    async with operator(cluster) as one:
        model.apply(template=WHOLE, router={"template": {"metadata": METADATA, "spec": PLACED}})
        await until(model.is_ready, "ready")
        (name,) = [each.split("/")[1] for each in model.revisions()]
        server, router = _pods(model, name), _pods(model, "fraud-router")
        for made in (server, router):
            assert made["metadata"]["labels"]["team"] == "risk"
            assert made["spec"]["nodeSelector"] == {"pool": "gpu"}
            assert made["spec"]["priorityClassName"] == "serving"
        assert [each["name"] for each in server["spec"]["containers"]] == ["server", "proxy"]
        assert server["spec"]["containers"][0]["image"] == "team/fraud-server:3"
        assert [each["name"] for each in server["spec"]["initContainers"]] == ["agent", "download", "compile"]
        await until(lambda: model.kubelet.settle() or one.is_idle(), "what the last pods led to")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before


async def test_another_template_is_another_revision_and_one_of_the_router_is_none(
    cluster: Cluster, model: Model
) -> None:
    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
        first = model.revisions()
        model.apply(router={"template": {"metadata": METADATA}})
        await until(
            lambda: _pods(model, "fraud-router")["metadata"]["labels"].get("team") == "risk" and model.is_ready(),
            "the router's pods made anew",
        )
        assert model.revisions() == first
        model.apply(template={"metadata": METADATA})
        await until(lambda: model.is_ready() and model.revisions() != first, "another revision alone")
        (name,) = [each.split("/")[1] for each in model.revisions()]
        assert _pods(model, name)["metadata"]["labels"]["team"] == "risk"
        assert "TrafficMoved" in model.events()


async def test_a_routers_service_is_what_spec_says_and_an_address_of_the_cluster_again(
    cluster: Cluster, model: Model
) -> None:
    def service() -> Any:
        return cluster.request("GET", SERVICES.path(model.namespace, "fraud"))

    wanted = {
        "type": "LoadBalancer", "loadBalancerClass": "example.com/nlb", "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["10.0.0.0/8"], "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
    }  # fmt: skip
    async with operator(cluster) as one:
        model.apply()
        await until(model.is_ready, "ready")
        address = service()["spec"]["clusterIP"]
        model.apply(router={"service": {**wanted, "annotations": {"example.com/scheme": "internal"}}})
        await until(lambda: service()["spec"]["type"] == "LoadBalancer", "a load balancer")
        made = service()
        assert wanted.items() <= made["spec"].items()
        assert made["metadata"]["annotations"]["example.com/scheme"] == "internal"
        await until(lambda: model.is_ready() and one.is_idle(), "an empty queue")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before
        model.apply()
        await until(lambda: service()["spec"]["type"] == "ClusterIP", "an address of the cluster")
        after = service()
        assert "nodePort" not in after["spec"]["ports"][0]
        assert "loadBalancerClass" not in after["spec"]
        assert "example.com/scheme" not in after["metadata"]["annotations"]
        assert after["spec"]["clusterIP"] == address
        assert "MetadataRepaired" not in model.events()
