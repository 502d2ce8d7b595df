"""Stands in for what the tier has not: kubelet, Deployment controller and Envoy.

A mock, because pods can't run on a bare API server; the e2e tier does all of this for real. It makes one pod for each
replica, ready at once, and router pods that follow their ConfigMap and reach every revision that has a ready pod.
"""

from typing import Any

from modelward.api import names
from modelward.facts import CertificateFacts, PodFacts, RouterPodFacts
from modelward.kube.cache import Key
from modelward.kube.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from modelward.routing.stored import load_routes
from modelward.values.hashing import content_hash

from .cluster import Cluster

FAILED = '{"reason": "%s", "message": "not there"}'
MERGE = "application/merge-patch+json"


class FakeKubelet:
    """Makes Deployments ready when the test says so. `broken`: revisions whose pods fail; `broken_but`: those
    of every other revision do; `failure`: the reason that they give; `refusing`: by Deployment, the image of which it
    makes no pod ready, beside pods of the image before that stay."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self.broken: set[str] = set()
        self.broken_but = ""
        self.failure = "ArtifactNotFound"
        self.refusing: dict[str, str] = {}
        self.needing = ""
        """A format that every server's pods have to be allowed to load."""

    def settle(self) -> None:
        """Every Deployment gets its pods and its status; pods without one go."""
        deployments = self._cluster.request("GET", DEPLOYMENTS.path(self._namespace))["items"]
        pods = self._cluster.request("GET", PODS.path(self._namespace))["items"]
        there = {pod["metadata"]["name"] for pod in pods}
        known = {deployment["metadata"]["uid"] for deployment in deployments}
        for pod in pods:
            owner = pod["metadata"]["ownerReferences"][0]
            if owner["uid"] not in known and owner["kind"] != "Job":
                # What the garbage collector and the kubelet do together.
                path = PODS.path(self._namespace, pod["metadata"]["name"])
                self._cluster.request("DELETE", path, {"gracePeriodSeconds": 0})
        for deployment in deployments:
            self._settle(deployment, there)

    def _settle(self, deployment: dict[str, Any], there: set[str]) -> None:
        metadata, replicas = deployment["metadata"], deployment["spec"]["replicas"]
        others = bool(self.broken_but) and not metadata["name"].endswith((self.broken_but, "-router"))
        ready = 0 if metadata["name"] in self.broken or others else replicas
        for number in range(replicas):
            name = f"{metadata['name']}-{number}"
            if name not in there:
                self._create_pod(deployment, name, ready > 0)
        image, surge = deployment["spec"]["template"]["spec"]["containers"][0]["image"], f"{metadata['name']}-surge"
        stuck = self.refusing.get(metadata["name"]) == image or self._is_refused(deployment)
        if stuck and surge not in there:
            self._create_pod(deployment, surge, False)
        elif not stuck and surge in there:
            self._cluster.request("DELETE", PODS.path(self._namespace, surge), {"gracePeriodSeconds": 0})
        status = {
            "observedGeneration": metadata["generation"], "replicas": replicas + stuck,
            "updatedReplicas": 1 if stuck else replicas, "readyReplicas": ready, "availableReplicas": ready,
        }  # fmt: skip
        if not status.items() <= deployment.get("status", {}).items():
            self._patch_status(DEPLOYMENTS.path(self._namespace, metadata["name"]), status)

    def _is_refused(self, deployment: dict[str, Any]) -> bool:
        steps = deployment["spec"]["template"]["spec"].get("initContainers", ())
        told = [
            each.get("value", "")  # the API server leaves empty ones out
            for step in steps
            for each in step.get("env", ())
            if each["name"] == "MODEL_ALLOWED_FORMATS"
        ]
        return bool(self.needing and told) and self.needing not in told[0].split(",")

    def _create_pod(self, deployment: dict[str, Any], name: str, ready: bool) -> None:
        # There is no ReplicaSet in between, so it has the Deployment's uid; but a name of the template's own.
        made_of = f"{deployment['metadata']['name']}-{content_hash(deployment['spec']['template'])}"
        owner = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": made_of,
            "uid": deployment["metadata"]["uid"], "controller": True,
        }  # fmt: skip
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        body = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }  # fmt: skip
        self._cluster.request("POST", PODS.path(self._namespace), body)
        inits = deployment["spec"]["template"]["spec"].get("initContainers", [])
        sidecars = [each for each in inits if each.get("restartPolicy") == "Always"]
        container = {"name": "download", "ready": ready, "restartCount": 0 if ready else 2, "image": "i", "imageID": ""}
        failed = {"terminated": {"exitCode": 1, "message": FAILED % self.failure}}
        status = {
            "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": str(ready)}],
            "initContainerStatuses": [
                {**container, "state": {} if ready else failed},
                *({**container, "name": each["name"], "state": {}} for each in sidecars),
            ],
        }  # fmt: skip
        self._patch_status(PODS.path(self._namespace, name), status)

    def _patch_status(self, path: str, status: dict[str, Any]) -> None:
        # None where the operator has removed it in between.
        self._cluster.request("PATCH", f"{path}/status", {"status": status}, MERGE)


class FakeRouters:
    """Instead of RouterProbe: router pods that have always taken up the newest ConfigMap."""

    def __init__(self) -> None:
        self.cache: Any = None

    def look(
        self, owner: Key, pods: tuple[PodFacts, ...], _version: str | None, _revisions: list[str]
    ) -> tuple[RouterPodFacts, ...]:
        config = self.cache.get(CONFIG_MAPS, owner.namespace, f"{owner.name}-router")
        routes, live, _ = load_routes(config["metadata"]["annotations"][names.ANNOTATION_ROUTES])
        reachable = {
            name
            for name in routes.revisions
            if (self.cache.get(DEPLOYMENTS, owner.namespace, name) or {}).get("status", {}).get("readyReplicas")
        }
        return tuple(RouterPodFacts(pod, live, frozenset(reachable)) for pod in pods)

    def certificate(self, _owner: Key, _pods: list[PodFacts]) -> CertificateFacts:
        """There is none."""
        return CertificateFacts()

    def forget(self, owner: Key) -> None:
        """Nothing is remembered."""
