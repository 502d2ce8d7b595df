"""One ModelDeployment on a real cluster, as a test handles it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime
import tritonclient.http as triton
from examples.demo import objects
from examples.demo.cluster import forwarded
from examples.demo.model import Trained

from localcluster.clients import kubectl
from modelward.kube.ends import has_ended
from modelward.kube.events import COMPONENT

DEADLINE = 120.0
"""Seconds; what takes longer on a small machine is broken."""


SMALL = {"requests": {"cpu": "20m", "memory": "128Mi"}}
"""What its pods ask a node for: several models of several tests have to fit on two cores at a time."""


def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """Ask until the answer is true; the answer. Fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {deadline:.0f} s: {what}; last answer: {answer!r}"
        time.sleep(0.2)


class Model:
    """A ModelDeployment that reads the namespace's S3 store."""

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name

    def apply(self, key: str = "digits/1/model.onnx", *, credentials: bool = True, **spec: Any) -> None:
        """Apply a spec: the artifact at `key` of the store (or a whole address), and other fields of spec."""
        model: dict[str, Any] = {"uri": key if "://" in key else f"s3://models/{key}"}
        if credentials:
            model["credentialsSecret"] = {"name": "s3-credentials"}
        model |= spec.pop("model", {})
        body = {
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"model": model, "router": {"replicas": 1}, "resources": SMALL, **spec},
        }  # fmt: skip
        kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def get(self) -> dict[str, Any]:
        return objects.get("modeldeployments", self.namespace, self.name)

    def condition(self, kind: str) -> dict[str, str]:
        conditions = self.get().get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == kind), {"status": "", "reason": "", "message": ""})

    def is_settled(self) -> bool:
        """Ready for the newest spec, with nothing left to do."""
        body = self.get()
        status = body.get("status", {})
        found = {each["type"]: each["status"] for each in status.get("conditions", ())}
        fresh = status.get("observedGeneration") == body["metadata"]["generation"]
        return bool(fresh and found.get("Ready") == "True" and found.get("Reconciling") == "False")

    def settle(self) -> dict[str, Any]:
        until(self.is_settled, f"{self.name} settled")
        return self.get()

    def stable(self) -> str:
        return str(self.get()["status"]["stable"]["revision"])

    def objects(self) -> list[str]:
        """Everything in the namespace that belongs to it, pods included: `deployment/<name>`, `pod/<name>`, …"""
        kinds = ("deployments", "services", "configmaps", "replicasets", "pods", "endpointslices")
        selector = f"app.kubernetes.io/instance={self.name}"
        return [f"{kind[:-1]}/{name}" for kind in kinds for name in objects.names(kind, self.namespace, selector)]

    def pods(self, component: str | None = "server", revision: str | None = None) -> list[dict[str, Any]]:
        """Its pods that are there to stay, of one component and revision, or of all (None): none that is being taken
        away, or has ended."""
        asked = {
            "app.kubernetes.io/instance": self.name, "app.kubernetes.io/component": component,
            "modelward.io/revision": revision,
        }  # fmt: skip
        selector = ",".join(f"{label}={value}" for label, value in asked.items() if value is not None)
        found = objects.find_all("pods", self.namespace, selector)
        return [each for each in found if not each["metadata"].get("deletionTimestamp") and not has_ended(each)]

    def pod_names(self, component: str | None = "server", revision: str | None = None) -> list[str]:
        return [each["metadata"]["name"] for each in self.pods(component, revision)]

    @contextlib.contextmanager
    def client(self) -> Iterator[triton.InferenceServerClient]:
        """An ordinary client, through the router."""
        with forwarded(self.namespace, self.name, 80) as address:
            client = triton.InferenceServerClient(address)
            yield client
            client.close()

    def agreement(self, trained: Trained) -> float:
        """Share of the held-out rows that are answered exactly as the published artifact answers them locally.

        Not compared with scikit-learn: a small forest's ties fall otherwise in ONNX's single precision.
        """
        artifact = onnxruntime.InferenceSession(trained.onnx())
        expected = artifact.run(["label"], {artifact.get_inputs()[0].name: trained.rows})[0]
        with self.client() as client:
            given = client.get_model_metadata(self.name)["inputs"][0]
            tensor = triton.InferInput(given["name"], list(trained.rows.shape), given["datatype"])
            tensor.set_data_from_numpy(trained.rows)
            answer = client.infer(self.name, [tensor]).as_numpy("label")
        return float(np.mean(answer == expected))

    def events(self) -> list[str]:
        """The reasons of the operator's: the cluster's own controllers tell theirs beside them."""
        told = (each for each in objects.find_all("events", self.namespace) if each["reportingComponent"] == COMPONENT)
        return [each["reason"] for each in told if each["involvedObject"]["name"] == self.name]

    def describe(self) -> str:
        pods = kubectl("get", "pods", "-n", self.namespace, "-o", "wide", check=False)
        return kubectl("describe", "md", self.name, "-n", self.namespace, check=False) + pods
