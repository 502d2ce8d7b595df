"""Runs as pipelines, by a whole operator on a real API server; Argo's controller and Airflow are played.

What each system answers, and whatever crashes, is in tests/unit/retraining/contract; here it is that the operator asks
at all, and that the API server takes what is made of it.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiohttp import web

from modelward.kube.resources import SECRETS, WORKFLOWS
from nodeless import workflows as argo
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy
from unit.retraining.contract.airflow import Airflow

MERGE: Final = "application/merge-patch+json"
REPORT = {"modelUri": S3.format(2)}
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD: Final = argo.crd("v1alpha1", {
    "type": "object", "required": ["metadata", "spec"],
    "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}, "spec": ANY,
        "status": ANY,
    },
})  # fmt: skip
"""As the minimal one of Argo itself, which describes no fields, and has no status of its own."""


async def asked(model: Model, policy: Policy, **retrain: Any) -> None:
    """A run that somebody asked for."""
    model.apply(version=1)
    await until(model.is_ready, "the first version")
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy",
        "metadata": {"name": policy.name, "namespace": policy.namespace},
        "spec": {"target": {"name": "fraud"}, "retrain": {"cooldown": "0s", "backoff": "0s", **retrain}},
    }  # fmt: skip
    policy.cluster.apply(body, policy.namespace)
    await until(lambda: policy.condition("Ready")["status"] == "True", "it watches")
    policy.request("please")


def workflows(policy: Policy) -> list[Any]:
    return list(policy.cluster.request("GET", WORKFLOWS.path(policy.namespace))["items"])


async def test_argo_is_told_of_where_the_cluster_has_none_and_makes_a_model_where_it_has(
    cluster: Cluster, model: Model, policy: Policy
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        await asked(model, policy, argoWorkflow={"template": "retrain"})
        await until(lambda: policy.runs() == [("Failed", "Request")], "a failure")
        assert "has no Argo Workflows" in policy.ended()[0]["status"]["message"]
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(CRD))
        try:
            cluster.kubectl("wait", "--for=condition=Established", "crd/workflows.argoproj.io", "--timeout=60s")
            policy.request("again")
            await until(lambda: len(workflows(policy)) == 1, "a Workflow")
            (made,) = workflows(policy)
            run = policy.active()
            assert made["metadata"]["name"] == run["metadata"]["name"]
            assert made["metadata"]["ownerReferences"][0]["uid"] == run["metadata"]["uid"]
            assert made["spec"]["workflowTemplateRef"] == {"name": "retrain"}
            assert "finalizers" not in policy.get()["metadata"], "it goes with its run"
            outputs = {"parameters": [{"name": "modelward-report", "value": json.dumps(REPORT)}]}
            path = WORKFLOWS.path(policy.namespace, made["metadata"]["name"])
            cluster.request("PATCH", path, {"status": {"phase": "Succeeded", "outputs": outputs}}, MERGE)
            await until(model.is_second, "the second version alone", 60)
            policy.request("once more")
            await until(lambda: len(workflows(policy)) == 2, "another Workflow")
            await until(lambda: policy.phase() == "Running", "it runs")
            name = policy.active()["metadata"]["name"]
            cluster.kubectl("delete", "rr", name, "-n", policy.namespace)
            path = WORKFLOWS.path(policy.namespace, name)
            await until(lambda: cluster.request("GET", path)["spec"].get("shutdown") == "Terminate", "it is stopped")
        finally:
            cluster.kubectl("delete", "crd", "workflows.argoproj.io")


@pytest.fixture
async def airflow() -> AsyncIterator[Airflow]:
    system = Airflow()
    runner = web.AppRunner(system.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    system.server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield system
    await runner.cleanup()


async def test_a_dag_run_makes_a_model_and_its_login_is_told_nowhere(
    cluster: Cluster, model: Model, policy: Policy, airflow: Airflow
) -> None:
    (entries,) = airflow.api.given.values()
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pipeline", "namespace": policy.namespace},
        "stringData": entries,
    }  # fmt: skip
    cluster.request("POST", SECRETS.path(policy.namespace), secret)
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=("127.0.0.1",)):
        await asked(model, policy, **airflow.retrain)
        await until(lambda: policy.phase() == "Running", "it runs")
        assert airflow.begun() == 1
        airflow.go_on("good", REPORT)
        await until(model.is_second, "the second version alone", 60)
        events = cluster.kubectl("get", "events", "-n", policy.namespace, "-o", "json")
        told = json.dumps([policy.get(), *policy.objects(), model.get()]) + events
        assert not [each for each in (entries["password"], *airflow.jwts) if each in told]
