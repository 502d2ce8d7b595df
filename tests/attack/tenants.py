"""A tenant who may create our kinds in one namespace: another's objects, and Jobs that he may not have himself.

A real API server with the real operator; what hangs on who the tenant is, is in tests/api/test_admission.py.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attack.attack import attack
from modelward.kube.resources import JOBS
from nodeless.cluster import Cluster
from nodeless.fixtures import api_server
from nodeless.model import Model, manifest
from nodeless.operator_process import operator, until
from nodeless.training import Policy
from pod_templates import BAD


@contextmanager
def server(_: Path) -> Iterator[Cluster]:
    with api_server() as made:
        yield made


def _namespace(cluster: Cluster) -> str:
    name = f"t-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    return name


NAMES = {
    "a revision": "{revision}",
    "a router": "fraud-router",
    "a monitor's record": "{revision}-monitor",
    "a revision's router": "{revision}-router",
    "a policy": "modelward-fraud-server",
}


@attack("one model does not get another one's objects", NAMES, server)
def takeover_between_models(cluster: Cluster, pattern: str) -> str:
    """A ModelDeployment is named as an object of another's is."""
    model = Model(cluster, _namespace(cluster))

    def services() -> dict[str, tuple[Any, Any]]:
        return {
            each["metadata"]["name"]: (each["metadata"]["ownerReferences"], each["spec"]["selector"])
            for each in cluster.get("services", "-n", model.namespace)["items"]
        }

    async def run() -> str:
        async with operator(cluster) as one:
            model.apply()
            await until(model.is_ready, "the victim")
            before = services()
            revision = next(name.split("/")[1] for name in model.revisions())
            name = pattern.format(revision=revision)
            done = cluster.run("apply", "-f", "-", stdin=json.dumps(manifest(model.namespace, name, 2)))
            if done.returncode == 0:
                await one.controller._first_sync()
                await until(lambda: model.kubelet.settle() or one.is_idle(), "an empty queue")
            after = services()
            return "" if before.items() <= after.items() else "the victim's Service was changed"

    return asyncio.run(run())


CONTAINER: dict[str, Any] = {"name": "train", "image": "evil:1"}
PODS: dict[str, dict[str, Any]] = {
    "the node's network": {"hostNetwork": True},
    "the node's processes": {"hostPID": True},
    "the node's queues": {"hostIPC": True},
    "the node's files": {"volumes": [{"name": "h", "hostPath": {"path": "/"}}]},
    "a privileged container": {"containers": [{**CONTAINER, "securityContext": {"privileged": True}}]},
    "a privileged first container": {
        "initContainers": [{**CONTAINER, "name": "i", "securityContext": {"privileged": True}}]
    },
    "capabilities": {"containers": [{**CONTAINER, "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
    "a port of the node": {"containers": [{**CONTAINER, "ports": [{"containerPort": 1, "hostPort": 22}]}]},
    "processes unmasked": {"containers": [{**CONTAINER, "securityContext": {"procMount": "Unmasked"}}]},
}


async def _decided(cluster: Cluster, template: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The Jobs and Services that there are when the operator has decided about a template that is asked for."""
    namespace = _namespace(cluster)
    model, policy = Model(cluster, namespace), Policy(cluster, namespace)

    def decided() -> bool:
        refused = policy.condition("Stalled")["status"] == "True" or bool(policy.target().get("runs"))
        return refused or bool(cluster.request("GET", JOBS.path(namespace))["items"])

    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "the model")
        body = {
            "apiVersion": "modelward.io/v1alpha1",
            "kind": "DriftPolicy",
            "metadata": {"name": "fraud", "namespace": namespace, "annotations": {"modelward.io/retrain": "now"}},
            "spec": {"target": {"name": "fraud"}, "retrain": {"job": {"template": template}}},
        }
        if cluster.run("apply", "-f", "-", stdin=json.dumps(body)).returncode == 0:
            await until(decided, "a decision")
        services = cluster.get("services", "-n", namespace)["items"]
        return cluster.request("GET", JOBS.path(namespace))["items"], services


@attack("no training Job reaches beyond its pods, whatever the namespace allows", PODS, server)
def job_template_powers(cluster: Cluster, pod: dict[str, Any]) -> str:
    template = {"spec": {"template": {"spec": {"containers": [CONTAINER], **pod}}}}
    jobs, _ = asyncio.run(_decided(cluster, template))
    return "the Job was made with it" if jobs else ""


@attack("no pod of a model loses a guard, or reaches what is the operator's, by a template", {
    name: spec for name, (spec, _) in BAD.items()
}, server)  # fmt: skip
def model_template_powers(cluster: Cluster, spec: dict[str, Any]) -> str:
    """By a client that has unknown fields dropped: what has no rule of its own would be made without it, untold."""
    body = manifest("default", "fraud")
    return "the API server took it" if cluster.takes({**body, "spec": {**body["spec"], **spec}}, "default") else ""


@attack("a training pod joins no model's Service", {"every Service's labels": None}, server)
def labels_that_join(cluster: Cluster, _: None) -> str:
    """It may know the names: they hang on the spec alone. All labels of any Service are in the template."""

    def template(labels: dict[str, str]) -> dict[str, Any]:
        return {"spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}}}

    jobs, services = asyncio.run(_decided(cluster, template({})))
    assert jobs, "an honest Job is made"
    found = [each["spec"]["selector"] for each in services]
    assert len(found) == 2, found
    for selector in found:
        jobs, services = asyncio.run(_decided(cluster, template(selector)))
        labels = jobs[0]["spec"]["template"]["metadata"]["labels"] if jobs else {}
        if any(each["spec"]["selector"].items() <= labels.items() for each in services):
            return "its pod is one of the Service's"
    return ""
