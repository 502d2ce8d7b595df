"""RetrainingRuns as objects: deleted, kept, not edited, and made of what an earlier operator left in status."""

import json

import pytest

from modelward.kube.resources import CONFIG_MAPS, RETRAINING_RUNS
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from nodeless.retraining import NEW, ROLLOUT, ended, ready, started
from nodeless.training import FakeMonitors, Policy


async def test_a_run_that_is_deleted_is_cancelled_and_the_policy_says_when_the_next_one_may_start(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"cooldown": "1h"})
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
        cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
        await until(lambda: not policy.jobs(), "its Job is stopped")
        await until(lambda: "RetrainingDeleted" in model.events(), "an Event tells")
        await until(
            lambda: "at the earliest" in policy.target().get("obstacle", ""), "it says when the next one starts"
        )
        assert policy.target()["lastRun"] == {"name": job, "phase": "Deleted"}
        policy.request("please")
        assert await started(policy) != job


async def test_a_run_that_is_deleted_while_nobody_looks_is_cancelled_by_the_next_operator(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"cooldown": "1h"})
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
    cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
    async with operator(cluster, monitors=monitors):
        await until(lambda: not policy.jobs(), "its Job is stopped")
        await until(lambda: policy.target()["lastRun"] == {"name": job, "phase": "Deleted"}, "it is accounted for")


async def test_what_a_run_brought_is_served_when_the_run_is_deleted_and_until_spec_changes(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors) as one:
        await ready(model)
        first = model.stable()["revision"]
        policy.apply()
        monitors.drift()
        job = await started(policy)
        monitors.usual = 0.5
        policy.succeed(job, NEW)
        await ended(policy, ("Promoted", "Drift"))
        await until(model.is_second, "the second version alone", 60)
        second = model.stable()["revision"]
        cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
        await until(lambda: one.cache.get(RETRAINING_RUNS, policy.namespace, job) is None, "the watch tells")
        await until(one.is_idle, "nothing to do")
        assert (model.stable()["revision"], model.get()["status"]["model"]["run"]) == (second, job)
        model.apply(version=3, rollout=ROLLOUT)
        await until(lambda: model.is_ready() and model.stable()["uri"] == S3.format(3), "spec wins at once", 60)
        assert model.get()["status"]["model"] == {"uri": S3.format(3), "source": "Spec"}
        model.apply(version=1, rollout=ROLLOUT)
        await until(lambda: model.is_ready() and model.stable()["revision"] == first, "and again", 60)


async def test_a_model_on_trial_goes_back_when_its_run_is_deleted(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    paused = {**ROLLOUT, "steps": [{"weight": 10, "hold": "1h"}]}
    async with operator(cluster, monitors=monitors):
        model.apply(version=1, rollout=paused)
        await until(model.is_ready, "the first version")
        policy.apply({"cooldown": "1h"})
        monitors.drift()
        job = await started(policy)
        policy.succeed(job, NEW)
        await until(lambda: policy.settled_runs() == [] and "candidate" in model.get()["status"], "the trial", 60)
        assert model.get()["status"]["model"]["run"] == job
        cluster.kubectl("delete", "rr", job, "-n", policy.namespace)
        await until(lambda: model.is_ready() and len(model.revisions()) == 1, "the first version alone", 60)
        assert (model.stable()["uri"], model.get()["status"]["model"]["source"]) == (S3.format(1), "Spec")
        await until(lambda: "RetrainingDeleted" in model.events(), "an Event tells")


async def test_no_more_than_the_last_runs_are_kept_and_always_the_one_that_is_served(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"history": 1, "maxFailures": 9})
        policy.request("1")
        policy.succeed(await started(policy), NEW)
        await ended(policy, ("Promoted", "Request"))
        await until(model.is_second, "the second version alone", 60)
        for number in range(2):
            policy.request(f"again {number}")
            await until(policy.running, "another run")
            policy.fail(policy.running()[0], log="no data")
            await ended(policy, ("Failed", "Request"), ("Promoted", "Request"))
            await until(lambda: len(policy.objects()) == 2, "the oldest failure is let go")


async def test_a_runs_spec_can_not_be_edited(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply()
        monitors.drift()
        job = await started(policy)
        patch = '{"spec": {"target": {"name": "another"}}}'
        with pytest.raises(Exception, match="a run stays what it was started for"):
            cluster.kubectl("patch", "rr", job, "-n", policy.namespace, "--type=merge", "-p", patch)


@pytest.mark.parametrize("phase", ["Starting", "Running", "Applying", "RollingOut"])
async def test_a_run_that_an_earlier_operator_left_in_status_is_taken_over_and_not_started_again(
    cluster: Cluster, model: Model, policy: Policy, monitors: FakeMonitors, phase: str
) -> None:
    async with operator(cluster, monitors=monitors):
        await ready(model)
        policy.apply({"cooldown": "1h"})
        await until(lambda: policy.condition("Ready")["status"] == "True", "it watches")
        monitors.drift()
        job = await started(policy)
        await until(lambda: policy.phase() == "Running", "it runs")
    _as_before_runs_were_objects(cluster, model, policy, phase)
    if phase == "RollingOut":
        # Which wrote spec, too.
        model.apply(version=2, rollout=ROLLOUT)
    async with operator(cluster, monitors=monitors):
        await until(lambda: policy.active() or policy.ended(), "it is an object")
        if phase in ("Starting", "Running"):
            await until(lambda: policy.phase() == "Running", "it runs")
            policy.succeed(job, NEW)
        await ended(policy, ("Promoted", "Drift"))
        assert [each["metadata"]["name"] for each in policy.objects()] == [job]
        assert len(policy.jobs()) == 1
        await until(lambda: "run" not in policy.target() and "runs" not in policy.target(), "status has its new form")
        over = {"name": job, "phase": "Promoted"}
        await until(lambda: policy.target()["lastRun"] == over, "the policy knows")


def _as_before_runs_were_objects(cluster: Cluster, model: Model, policy: Policy, phase: str) -> None:
    """The policy's status and the Job as an operator of an earlier version left them; no run and no memory is there."""
    run, metadata = policy.objects()[0], policy.get()["metadata"]
    name, namespace = run["metadata"]["name"], policy.namespace
    spec = run["spec"]
    record = {
        "name": name, "key": spec["key"], "kind": spec["kind"], "trigger": spec["trigger"], "attempt": 1,
        "reason": spec["reason"], "phase": phase, "revision": spec["target"]["revision"],
        "from": spec["target"]["model"], "startedAt": spec["requestedAt"], "drifted": spec["evidence"]["drifted"],
    }  # fmt: skip
    if phase in ("Applying", "RollingOut"):
        record["model"] = {"uri": S3.format(2)}
    target = {"name": "fraud", "uid": model.get()["metadata"]["uid"], "verdict": "Drifted", "run": record}
    status = {"observedGeneration": metadata["generation"], "targets": [target], "conditions": []}
    body = {
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "DriftPolicy",
        "metadata": {"name": "fraud"},
        "status": status,
    }
    cluster.kubectl(
        "apply", "--server-side", "--subresource=status", "--field-manager=modelward", "-n", namespace, "-f", "-",
        stdin=json.dumps(body),
    )  # fmt: skip
    owner = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "name": "fraud", "uid": metadata["uid"],
        "controller": True,
    }  # fmt: skip
    patch = {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner]}
    cluster.kubectl("patch", "job", name, "-n", namespace, "--type=json", "-p", json.dumps([patch]))
    cluster.kubectl("delete", "rr", "--all", "-n", namespace)
    for body in cluster.request("GET", CONFIG_MAPS.path(namespace))["items"]:
        if body["metadata"]["name"].endswith("-memory"):
            cluster.kubectl("delete", "cm", body["metadata"]["name"], "-n", namespace)
