"""Stands in for what the tier has not: kubelet, Deployment controller and Envoy.

A mock, because pods can't run on a bare API server; the e2e tier does all of this for real. It makes one pod for each
replica, ready at once, and router pods that follow their ConfigMap and reach every revision that has a ready pod.
"""

import json
from typing import Any

from modelward.api import names
from modelward.cluster.cache import Key
from modelward.cluster.resources import CONFIG_MAPS, DEPLOYMENTS
from modelward.domain.facts import PodFacts, RouterPodFacts
from modelward.render import router

from .conftest import Cluster


class FakeKubelet:
    """Makes Deployments ready when the test says so. `broken`: revisions whose pods fail."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self.broken: set[str] = set()

    def settle(self) -> None:
        """Every Deployment gets its pods and its status."""
        for deployment in self._cluster.get("deployments", "-n", self._namespace)["items"]:
            self._settle(deployment)

    def _settle(self, deployment: dict[str, Any]) -> None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        ready = 0 if metadata["name"] in self.broken else spec["replicas"]
        for number in range(spec["replicas"]):
            self._pod(deployment, f"{metadata['name']}-{number}", ready > 0)
        status = {
            "observedGeneration": metadata["generation"], "replicas": spec["replicas"],
            "updatedReplicas": spec["replicas"], "readyReplicas": ready, "availableReplicas": ready,
        }  # fmt: skip
        self._patch_status("deployment", metadata["name"], status)

    def _pod(self, deployment: dict[str, Any], name: str, ready: bool) -> None:
        if self._cluster.run("get", "pod", name, "-n", self._namespace).returncode == 0:
            return
        template = deployment["spec"]["template"]
        owner = {
            "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"],
            "uid": deployment["metadata"]["uid"],
        }  # fmt: skip
        body = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": template["metadata"]["labels"], "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }  # fmt: skip
        self._cluster.kubectl("create", "-n", self._namespace, "-f", "-", stdin=json.dumps(body))
        failed = {"terminated": {"exitCode": 1, "message": '{"reason": "ArtifactNotFound", "message": "not there"}'}}
        status: dict[str, Any] = {
            "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": str(ready)}],
            "initContainerStatuses": [
                {"name": "fetch", "ready": ready, "restartCount": 0, "image": "i", "imageID": "", "state": {}
                 if ready else failed}
            ],
        }  # fmt: skip
        self._patch_status("pod", name, status)

    def _patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        patch = json.dumps({"status": status})
        result = self._cluster.run(
            "patch", kind, name, "-n", self._namespace, "--subresource=status", "--type=merge", "-p", patch
        )
        # The operator may have removed it in between.
        assert result.returncode == 0 or "NotFound" in result.stderr, result.stderr


class FakeRouters:
    """Instead of RouterProbe: router pods that have always taken up the newest ConfigMap."""

    def __init__(self) -> None:
        self.cache: Any = None

    async def look(
        self, owner: Key, pods: tuple[PodFacts, ...], _version: str | None, _revisions: list[str]
    ) -> tuple[RouterPodFacts, ...]:
        config = self.cache.get(CONFIG_MAPS, owner.namespace, f"{owner.name}-router")
        routes, live = router.load_routes(config["metadata"]["annotations"][names.ANNOTATION_ROUTES])
        reachable = {
            name
            for name in routes.revisions
            if (self.cache.get(DEPLOYMENTS, owner.namespace, name) or {}).get("status", {}).get("readyReplicas")
        }
        return tuple(RouterPodFacts(pod, live, frozenset(reachable)) for pod in pods)

    def forget(self, owner: Key) -> None:
        """Nothing is remembered."""
