"""One ModelDeployment on an API server without nodes, as a test handles it."""

from typing import Any

from modelward.kube.events import COMPONENT
from modelward.kube.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, MODEL_DEPLOYMENTS, SERVICES

from .cluster import Cluster
from .kubelet import FakeKubelet

S3 = "s3://models/fraud/{}/model.onnx"


class Model:
    """The ModelDeployment `fraud` of a namespace, and the pretended kubelet there."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.kubelet = FakeKubelet(cluster, namespace)

    def apply(self, version: int = 1, **spec: Any) -> None:
        self.cluster.apply(manifest(self.namespace, "fraud", version, **spec), self.namespace)

    def get(self) -> Any:
        return self.cluster.request("GET", MODEL_DEPLOYMENTS.path(self.namespace, "fraud"))

    def condition(self, kind: str) -> Any:
        return condition(self.get(), kind)

    def is_ready(self) -> bool:
        """Lets the kubelet work, then looks, once for all."""
        self.kubelet.settle()
        return is_settled(self.get())

    def is_second(self) -> bool:
        """Whether the second version alone is left, and ready."""
        return self.is_ready() and self.stable()["uri"] == S3.format(2) and len(self.revisions()) == 1

    def stable(self) -> Any:
        return self.get()["status"]["stable"]

    def objects(self) -> list[str]:
        names = [
            f"{kind.kind}/{each['metadata']['name']}"
            for kind in (DEPLOYMENTS, SERVICES, CONFIG_MAPS)
            for each in self.cluster.request("GET", kind.path(self.namespace))["items"]
        ]
        return sorted(name for name in names if name != "ConfigMap/kube-root-ca.crt")

    def revisions(self) -> list[str]:
        return [name for name in self.objects() if name.startswith("Deployment/") and not name.endswith("-router")]

    def events(self) -> list[str]:
        """The reasons of the operator's: the cluster's own controllers tell theirs beside them."""
        listed = self.cluster.request("GET", EVENTS.path(self.namespace))["items"]
        return [each["reason"] for each in listed if each["reportingComponent"] == COMPONENT]

    def writes(self) -> list[dict[str, Any]]:
        """The operator's writes in the namespace, by the API server's audit log."""
        return [
            entry
            for entry in self.cluster.writes()
            if entry.get("objectRef", {}).get("namespace") == self.namespace
            and entry["userAgent"].startswith("OpenAPI-Generator")
            and entry["responseStatus"]["code"] < 300
        ]


def manifest(namespace: str, name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"uri": S3.format(version)}, **spec},
    }  # fmt: skip


def condition(body: Any, kind: str) -> Any:
    found = (each for each in body.get("status", {}).get("conditions", ()) if each["type"] == kind)
    return next(found, {"status": "", "reason": "", "message": ""})


def is_settled(body: Any) -> bool:
    """Ready for the newest spec, with nothing left to do."""
    fresh = body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
    return bool(
        fresh and condition(body, "Ready")["status"] == "True" and condition(body, "Reconciling")["status"] == "False"
    )
