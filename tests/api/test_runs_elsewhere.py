"""Runs in another system whose policy, or model, goes: they are told to stop; on a real API server, by real HTTP."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from modelward.api import names
from modelward.kube.resources import CONFIG_MAPS, DRIFT_POLICIES, RETRAINING_RUNS, SECRETS
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy

HOSTS = ("127.0.0.1",)


class OtherSystem:
    """`status`: of its answers; `asked`: how often it was told to stop; `stopped`: how often it did."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        self.stopped = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += request.method == "DELETE"
        self.stopped += request.method == "DELETE" and self.status == 200
        return web.Response(status=self.status, text=json.dumps({"statusUrl": "/runs/7", "state": "Running"}))


@pytest.fixture
async def other() -> AsyncIterator[OtherSystem]:
    made = OtherSystem()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def started(model: Model, policy: Policy, other: OtherSystem) -> str:
    """The run that somebody asked for; it goes on elsewhere."""
    model.apply(version=1)
    await until(model.is_ready, "the first version")
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook", "namespace": policy.namespace},
        "data": {"key": base64.b64encode(b"a secret").decode()},
    }  # fmt: skip
    policy.cluster.request("POST", SECRETS.path(policy.namespace), secret)
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy",
        "metadata": {"name": policy.name, "namespace": policy.namespace},
        "spec": {
            "target": {"name": "fraud"},
            "retrain": {"cooldown": "1h", "webhook": {"url": f"{other.url}/hook", "secretRef": {"name": "hook"}}},
        },
    }  # fmt: skip
    policy.cluster.apply(body, policy.namespace)
    await until(lambda: policy.condition("Ready")["status"] == "True", "it watches")
    assert "finalizers" not in policy.get()["metadata"]
    policy.request("please")
    await until(lambda: policy.phase() == "Running", "it runs")
    assert policy.get()["metadata"]["finalizers"] == [names.FINALIZER_RUN]
    return str(policy.active()["metadata"]["name"])


def delete(cluster: Cluster, policy: Policy, **options: Any) -> None:
    cluster.request("DELETE", DRIFT_POLICIES.path(policy.namespace, policy.name), options or None)


@pytest.mark.parametrize("how", ["Background", "Foreground"])
async def test_deleting_a_policy_stops_its_run_elsewhere(
    cluster: Cluster, model: Model, policy: Policy, other: OtherSystem, how: str
) -> None:
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS):
        await started(model, policy, other)
        delete(cluster, policy, propagationPolicy=how)
        await until(lambda: other.stopped == 1, "it is told to stop")
        await until(
            lambda: names.FINALIZER_RUN not in ((policy.get() or {}).get("metadata", {}).get("finalizers") or ()),
            "the policy may go",
        )
        assert "RetrainingStopped" in model.events()


async def test_a_policy_that_goes_with_all_that_is_in_its_namespace_stops_its_run(
    cluster: Cluster, model: Model, policy: Policy, other: OtherSystem
) -> None:
    """In an order that no policy likes: its Secret, its run and what is remembered of it first."""
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS):
        await started(model, policy, other)
        await until(lambda: other.status == 200, "it answers")
        for resource in (SECRETS, RETRAINING_RUNS, CONFIG_MAPS):
            cluster.request("DELETE", resource.path(policy.namespace))
        delete(cluster, policy)
        await until(lambda: other.stopped >= 1, "it is told to stop")
        await until(lambda: policy.get() is None, "the policy goes")


async def test_a_policy_deleted_while_no_operator_runs_stops_its_run_though_nothing_else_is_left(
    cluster: Cluster, model: Model, policy: Policy, other: OtherSystem
) -> None:
    """As a deletion in the foreground has it, which takes what the policy owns first."""
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS):
        name = await started(model, policy, other)
    assert name in policy.get()["metadata"]["annotations"][names.ANNOTATION_GOING]
    delete(cluster, policy)
    for resource in (RETRAINING_RUNS, CONFIG_MAPS):
        cluster.request("DELETE", resource.path(policy.namespace))
    assert other.stopped == 0
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS):
        await until(lambda: policy.get() is None, "the policy goes")
        assert other.stopped == 1
        assert "RetrainingStopped" in model.events()


async def test_a_dead_system_holds_no_policy_for_long(
    cluster: Cluster, model: Model, policy: Policy, other: OtherSystem
) -> None:
    later = timedelta(0)
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS, now=lambda: datetime.now(UTC) + later):
        await started(model, policy, other)
        other.status = 503
        delete(cluster, policy)
        await until(lambda: other.asked >= 1, "it is being told")
        assert policy.get() is not None
        later = timedelta(minutes=2)
        await until(lambda: policy.get() is None, "the policy goes")
        assert "RetrainingNotStopped" in model.events()


async def test_deleting_the_model_stops_its_run_elsewhere_and_frees_the_policy(
    cluster: Cluster, model: Model, policy: Policy, other: OtherSystem
) -> None:
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS):
        await started(model, policy, other)
        cluster.kubectl("delete", "md", "fraud", "-n", policy.namespace)
        await until(lambda: other.stopped == 1, "it is told to stop")
        await until(lambda: "finalizers" not in policy.get()["metadata"], "nothing is under way any more")


async def test_deleting_the_run_stops_it_elsewhere_and_frees_the_policy(
    cluster: Cluster, model: Model, policy: Policy, other: OtherSystem
) -> None:
    async with operator(cluster, monitors=FakeMonitors(), webhook_hosts=HOSTS):
        name = await started(model, policy, other)
        cluster.kubectl("delete", "rr", name, "-n", policy.namespace)
        await until(lambda: other.stopped == 1, "it is told to stop")
        await until(lambda: "finalizers" not in policy.get()["metadata"], "nothing is under way any more")
        assert names.ANNOTATION_GOING not in policy.get()["metadata"]["annotations"]
        assert policy.target()["lastRun"] == {"name": name, "phase": "Deleted"}
