"""Training Jobs that can't go on, or that something outlives: told of soon, and ended; on a real API server."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelward.kube.resources import EVENTS, JOBS
from nodeless.cluster import Cluster
from nodeless.kubelet import MERGE
from nodeless.model import S3, Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy, container, terminated

NEW = {"modelUri": S3.format(2)}
ROLLOUT = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}]}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
LATER = timedelta(minutes=1)
"""By which the operator's clock is ahead: nobody need wait for what is borne for some seconds."""


def ahead() -> datetime:
    return datetime.now(UTC) + LATER


async def started(model: Model, policy: Policy, **retrain: Any) -> str:
    """The Job of a run that somebody asked for."""
    model.apply(version=1, rollout=ROLLOUT)
    await until(model.is_ready, "the first version")
    policy.apply(retrain)
    policy.request("please")
    await until(lambda: policy.phase() == "Running", "it runs")
    return str(policy.running()[0])


def condition(run: Any, kind: str) -> Any:
    return next(each for each in run["status"]["conditions"] if each["type"] == kind)


async def told(model: Model, policy: Policy, reason: str, *words: str, stuck: bool) -> None:
    """The run, its policy and an Event say what the matter is, and when it ends."""
    await until(lambda: condition(policy.active(), "Ready")["reason"] == reason, f"{reason} of the run")
    run = policy.active()
    assert [word for word in words if word not in run["status"]["message"]] == []
    assert f"It is stopped at {run['status']['deadline'][:10]}" in condition(run, "Ready")["message"]
    assert condition(run, "Stalled")["status"] == str(stuck)
    await until(lambda: policy.condition("Stalled")["status"] == str(stuck), "Stalled of the policy")
    await until(lambda: run["metadata"]["name"] in policy.condition("Ready")["message"], "Ready of the policy")
    assert [word for word in words if word not in policy.condition("Ready")["message"]] == []
    listed = policy.cluster.request("GET", EVENTS.path(policy.namespace))["items"]
    events = [each for each in listed if each["reason"] == "RetrainingDelayed"]
    # Another may have been told of before, while nobody had said why yet.
    assert any(each["type"] == "Warning" and all(word in each["message"] for word in words) for each in events)


async def test_a_run_that_a_sidecar_outlives_goes_on_and_the_sidecar_is_ended(
    cluster: Cluster, model: Model, policy: Policy
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        job = await started(model, policy)
        ended = container("train", terminated(0, json.dumps(NEW), ago=60))
        policy.pod(job, [ended, container("istio-proxy", RUNNING)], phase="Running")
        await until(model.is_second, "the second version alone", 60)
        await until(lambda: policy.settled_runs() == [("Promoted", "Request")], "the run's end", 60)
        await until(lambda: policy.jobs() == [], "the Job, and with it the sidecar, is ended")


async def test_a_run_whose_failure_a_sidecar_outlives_fails_with_its_words(
    cluster: Cluster, model: Model, policy: Policy
) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        job = await started(model, policy)
        ended = container("train", terminated(1, "ValueError: no labels", ago=60))
        policy.pod(job, [ended, container("istio-proxy", RUNNING)], phase="Running")
        await until(lambda: policy.runs() == [("Failed", "Request")], "the run's end")
        assert "ValueError: no labels" in policy.ended()[0]["status"]["message"]
        await until(lambda: policy.jobs() == [], "the Job, and with it the sidecar, is ended")


def waiting(reason: str, message: str) -> list[dict[str, Any]]:
    return [container("train", {"waiting": {"reason": reason, "message": message}})]


LONG_AGO = "2026-01-01T00:00:00Z"
NOT_READY = [{"type": "Ready", "status": "False", "lastTransitionTime": LONG_AGO}]
NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": LONG_AGO}
LOOPS = {
    **container("prepare", {"waiting": {"reason": "CrashLoopBackOff"}}), "lastState": terminated(2, "no data"),
    "restartCount": 7,
}  # fmt: skip
HELD: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str, tuple[str, ...]]] = {
    "image": (waiting("ImagePullBackOff", 'Back-off pulling image "train:9"'), {}, "ImagePullFailed", ("train:9",)),
    "secret": (
        waiting("CreateContainerConfigError", 'secret "s3" not found'), {}, "ContainerConfigInvalid",
        ('secret "s3" not found', "Container train"),
    ),
    "node": (
        [], {"phase": "Pending", "conditions": [{**NO_NODE, "message": "0/3 nodes: no GPU"}]}, "Unschedulable",
        ("no GPU", "nodes"),
    ),
    "claim": (
        [], {"phase": "Pending", "conditions": [{**NO_NODE, "message": 'persistentvolumeclaim "data" not found'}]},
        "Unschedulable", ('"data" not found', "PersistentVolumeClaim"),
    ),
    "init": (
        waiting("PodInitializing", ""), {"phase": "Pending", "initContainerStatuses": [LOOPS]}, "ContainerFailed",
        ("Container prepare", "no data"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HELD)
async def test_a_run_that_can_not_go_on_says_why_and_ends_at_its_deadline(
    cluster: Cluster, model: Model, policy: Policy, case: str
) -> None:
    containers, status, reason, words = HELD[case]
    later = timedelta(0)
    async with operator(cluster, monitors=FakeMonitors(), now=lambda: datetime.now(UTC) + later):
        job = await started(model, policy, maxFailures=9)
        policy.pod(job, containers, **{"phase": "Pending", "conditions": NOT_READY, **status})
        await told(model, policy, reason, *words, stuck=True)
        later = timedelta(hours=6)
        await until(lambda: policy.runs() == [("Failed", "Request")], "the deadline")
        message = policy.ended()[0]["status"]["message"]
        assert "Not finished within spec.retrain.deadline" in message
        assert [word for word in words if word not in message] == [], "and why, after its end, too"
        await until(lambda: policy.jobs() == [], "the Job is stopped")
        await until(lambda: policy.condition("Stalled")["status"] == "False", "nothing needs a person any more")


async def test_a_job_whose_pods_the_cluster_refuses_says_why_in_its_words(
    cluster: Cluster, model: Model, policy: Policy
) -> None:
    async with operator(cluster, monitors=FakeMonitors(), now=ahead):
        job = await started(model, policy)
        words = 'Error creating: pods "x" is forbidden: error looking up service account ml/train: not found'
        policy.warn(job, "FailedCreate", words)
        await told(model, policy, "PodsRejected", "looking up service account ml/train", stuck=True)


async def test_a_job_without_pods_and_without_a_word_is_told_of(cluster: Cluster, model: Model, policy: Policy) -> None:
    async with operator(cluster, monitors=FakeMonitors(), now=ahead):
        job = await started(model, policy)
        await told(model, policy, "NoPod", f"kubectl describe job {job}", stuck=False)


async def test_a_suspended_job_is_told_of_until_it_is_resumed(cluster: Cluster, model: Model, policy: Policy) -> None:
    async with operator(cluster, monitors=FakeMonitors()):
        job = await started(model, policy)
        path = JOBS.path(policy.namespace, job)
        cluster.request("PATCH", path, {"spec": {"suspend": True}}, MERGE)
        await told(model, policy, "Suspended", "resumes it", stuck=False)
        cluster.request("PATCH", path, {"spec": {"suspend": False}}, MERGE)
        await until(lambda: condition(policy.active(), "Ready")["reason"] == "Running", "it goes on")
        await until(lambda: policy.condition("Ready")["message"] == "Watching fraud", "nothing more to tell")
