"""A model's cache on a real API server: its claim is bound, and goes, while the model serves."""

import base64
from typing import Any

from modelward.kube.resources import DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS, SECRETS
from modelward.revisions.pods.cache_mounts import KEY_NAME
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until

CLAIM = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"},
    "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip


def template(cluster: Cluster, model: Model) -> Any:
    (name,) = model.revisions()
    path = DEPLOYMENTS.path(model.namespace, name.removeprefix("Deployment/"))
    return cluster.request("GET", path)["spec"]["template"]["spec"]


def steps(cluster: Cluster, model: Model) -> list[str]:
    return [each["name"] for each in template(cluster, model)["initContainers"]]


def bound(cluster: Cluster, namespace: str) -> None:
    status = '{"status":{"phase":"Bound","accessModes":["ReadWriteMany"],"capacity":{"storage":"1Gi"}}}'
    cluster.kubectl(
        "patch", "pvc", "shared", "-n", namespace, "--subresource=status", "--type=merge", "-p", status
    )  # fmt: skip


async def test_a_claim_comes_and_goes_and_the_model_serves(cluster: Cluster, model: Model) -> None:
    def usable() -> tuple[str, str]:
        found = model.condition("CacheUsable")
        return found["status"], found["reason"]

    async with operator(cluster, at_a_time=0):
        model.apply(model={"uri": S3.format(1), "cache": {"claim": "shared", "size": "1Gi"}})
        await until(model.is_ready, "ready without the claim")
        assert usable() == ("False", "ClaimMissing")
        assert steps(cluster, model) == ["download", "compile"]
        cluster.apply(CLAIM, model.namespace)
        await until(lambda: usable() == ("False", "ClaimNotBound"), "the claim seen")
        bound(cluster, model.namespace)
        await until(lambda: model.is_ready() and usable()[0] == "True", "the claim taken")
        await until(lambda: steps(cluster, model) == ["download", "compile", "keep-bundle"], "pods with the claim")
        await until(model.is_ready, "ready with the claim")
        found = cluster.request("GET", SECRETS.path(model.namespace, KEY_NAME))
        assert len(base64.b64decode(found["data"]["key"])) >= 48
        # It is in use, so that it goes when its pods have; the operator lets it.
        cluster.kubectl("delete", "pvc", "shared", "-n", model.namespace, "--wait=false")
        await until(lambda: usable()[1] in ("ClaimDeleting", "ClaimMissing"), "the claim's end seen")
        await until(lambda: steps(cluster, model) == ["download", "compile"], "pods without the claim")
        await until(model.is_ready, "ready without the claim")
        assert model.condition("Servable")["status"] == "True"
        assert {"ClaimMissing", "CacheUsable"} <= set(model.events())
        assert len(model.revisions()) == 1


async def test_an_operator_that_begins_changes_nothing(cluster: Cluster, model: Model) -> None:
    cluster.apply(CLAIM, model.namespace)
    bound(cluster, model.namespace)
    async with operator(cluster):
        model.apply(model={"uri": S3.format(1), "cache": {"claim": "shared"}})
        await until(lambda: model.is_ready() and len(steps(cluster, model)) == 3, "ready")
        await until(model.is_ready, "ready")
        before = template(cluster, model)
    async with operator(cluster, identity="next") as second:
        await until(lambda: second.controller._queue._due == {} and second.is_idle(), "work done")
        await until(model.is_ready, "ready")
        assert template(cluster, model) == before
    assert (
        cluster.request("GET", PERSISTENT_VOLUME_CLAIMS.path(model.namespace, "shared"))["status"]["phase"] == "Bound"
    )
