"""A run's Job that does not go on, and which cause is told."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelward.kube.client import ApiError
from modelward.kube.resources import PODS
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers import job_pods
from modelward.retraining.triggers.trigger import Order

from .jobs import FACTS, RUN, Stage, at, over, policy, waiting


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ready_since(seconds: float) -> list[dict[str, str]]:
    return [{"type": "Ready", "status": "False", "lastTransitionTime": at(seconds)}]


def unscheduled(message: str, ago: float) -> dict[str, Any]:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "containerStatuses": [], "conditions": [{**told, "lastTransitionTime": at(ago)}]}


LOOP = {
    "name": "prepare",
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": over(2, 9, "no data")["state"],
}


KILLED = {
    "name": "train", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
}  # fmt: skip


RUNS_AGAIN = {**KILLED, "ready": True, "state": {"running": {}}}


STEP_RUNS_AGAIN = {**LOOP, "state": {"running": {}}}


SILENCES: dict[str, tuple[dict[str, Any], str, bool, list[str]]] = {
    "an image that can't be pulled yet": (
        {"containerStatuses": [waiting("ErrImagePull", 'image "train:2"')], "conditions": ready_since(10)},
        "ImagePullFailed", False, ["container train", "train:2", "imagePullSecrets"],
    ),
    "an image that can't be pulled": (
        {"containerStatuses": [waiting("ImagePullBackOff", 'image "train:2"')], "conditions": ready_since(301)},
        "ImagePullFailed", True, ["container train", "train:2"],
    ),
    "no image's name": (
        {"containerStatuses": [waiting("InvalidImageName", 'image "A B"')], "conditions": ready_since(1)},
        "ImagePullFailed", True, ["A B"],
    ),
    "a Secret that is not there": (
        {"containerStatuses": [waiting("CreateContainerConfigError", 'secret "s3" not found')]},
        "ContainerConfigInvalid", True, ["Container train", 'secret "s3" not found', "spec.retrain.job.template"],
    ),
    "no node": (unscheduled("0/3 nodes: 3 Insufficient nvidia.com/gpu", 20), "Unschedulable", False, ["gpu", "nodes"]),
    "no node for long": (unscheduled("0/3 nodes", 301), "Unschedulable", True, ["Lower the requests"]),
    "a claim that is not there": (
        unscheduled('persistentvolumeclaim "data" not found', 301), "Unschedulable", True,
        ["Create the PersistentVolumeClaim"],
    ),
    "a gate": (
        {"phase": "Pending", "containerStatuses": [],
         "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
        "SchedulingGated", False, ["schedulingGates", "Kueue"],
    ),
    "an initContainer that loops": (
        {"initContainerStatuses": [LOOP], "containerStatuses": [], "conditions": ready_since(20)},
        "ContainerFailed", False, ["Container prepare", "exit code 2", "no data"],
    ),
    "an initContainer that loops for long": (
        {"initContainerStatuses": [LOOP], "containerStatuses": [], "conditions": ready_since(301)},
        "ContainerFailed", True, ["prepare"],
    ),
    "an initContainer that failed once, and runs for long": (
        {"initContainerStatuses": [STEP_RUNS_AGAIN], "containerStatuses": [], "conditions": ready_since(301)},
        "ContainerFailed", False, ["prepare", "It was started again"],
    ),
    "too little memory, again and again": (
        {"containerStatuses": [KILLED], "conditions": ready_since(301)}, "OutOfMemory", True,
        ["Container train was killed while training", "resources.limits.memory in spec.retrain.job.template"],
    ),
    "too little memory, and it runs again": (
        {"phase": "Running", "containerStatuses": [RUNS_AGAIN], "conditions": [{"type": "Ready", "status": "True"}]},
        "OutOfMemory", False, ["It was started again"],
    ),
    "evicted, and another one is to come": (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory", "containerStatuses": []},
        "PodFailed", False, ["Evicted: The node was low on memory", "the Job tries again"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SILENCES)
async def test_what_keeps_a_job_from_going_on_is_told(stage: Stage, case: str) -> None:
    status, reason, stuck, words = SILENCES[case]
    stage.job(creationTimestamp=at(600))
    stage.pod(0, "", **status)
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.delay, found.stuck) == (runs.WORKING, reason, stuck)
    assert [word for word in words if word not in found.message] == []


async def test_a_pod_that_its_node_does_not_end_is_told_of(stage: Stage) -> None:
    stage.job()
    stage.pod(0, "", phase="Running", containerStatuses=[])
    key = ("ml", "fraud-1-0")
    body = stage.cache.get(PODS, *key)
    assert body is not None
    gone = {**body["metadata"], "deletionTimestamp": at(301), "resourceVersion": "2"}
    stage.cache.upsert(PODS, {**body, "metadata": gone})
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.delay, found.stuck) == ("NodeSilent", True)


@pytest.mark.parametrize("told", [{"spec": {"suspend": True}}, {"kind": "Suspended"}])
async def test_a_suspended_job_is_told_of(stage: Stage, told: dict[str, Any]) -> None:
    stage.job(**told, creationTimestamp=at(600))
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.delay, found.stuck) == (runs.WORKING, "Suspended", False)
    assert stage.server.asked == []


def event(message: str, ago: float) -> dict[str, Any]:
    return {"message": message, "lastTimestamp": at(ago).replace("+00:00", "Z")}


QUOTA = 'pods "fraud-1-x" is forbidden: exceeded quota: q'


async def test_a_job_whose_pods_are_refused_is_told_of_in_the_clusters_words(stage: Stage) -> None:
    stage.job(creationTimestamp=at(job_pods.SILENT_AFTER - 1))
    assert await stage.poll() == (runs.WORKING, "")
    assert stage.server.asked == []
    stage.now += timedelta(seconds=5)
    stage.server.warnings["j"] = [event("an older one", 60), event(QUOTA, 3)]
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.delay, found.stuck, QUOTA in found.message) == ("PodsRejected", True, True)
    assert stage.server.asked == ["involvedObject.uid=j,type=Warning,reason=FailedCreate"]
    await stage.poll()
    assert len(stage.server.asked) == 1, "not at every look"
    stage.server.warnings.clear()
    stage.now += timedelta(seconds=60)
    run = replace(RUN, delay=found.delay, message=found.message, stuck=True)
    again = await stage.trigger.poll(Order(policy(), run, FACTS))
    assert (again.message, len(stage.server.asked)) == (found.message, 2), "Events go before what they tell of does"
    stage.pod(0, "", phase="Running", containerStatuses=[])
    assert (await stage.trigger.poll(Order(policy(), run, FACTS))).delay == ""


async def test_a_job_without_pods_is_told_of_where_nobody_says_why(stage: Stage) -> None:
    stage.job(creationTimestamp=at(60))
    stage.server.refuses = ApiError(403, "Forbidden", "no right to list Events")
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.delay, found.stuck) == ("NoPod", False)
    assert "kubectl describe job fraud-1" in found.message


async def test_a_pod_that_does_not_begin_is_told_of(stage: Stage) -> None:
    stage.job()
    creating = [waiting("ContainerCreating", "")]
    stage.pod(0, "", phase="Pending", containerStatuses=creating)
    body = stage.cache.get(PODS, "ml", "fraud-1-0")
    assert body is not None
    metadata = {**body["metadata"], "creationTimestamp": at(60), "resourceVersion": "2"}
    stage.cache.upsert(PODS, {**body, "metadata": metadata})
    assert await stage.poll() == (runs.WORKING, ""), "it may be pulling a large image"
    missing = 'MountVolume.SetUp failed for volume "keys": secret "keys" not found'
    stage.server.warnings["fraud-1-0"] = [event(missing, 3)]
    stage.now += timedelta(seconds=20)
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.delay, found.stuck, missing in found.message) == ("PodPending", False, True)
    stage.now += timedelta(seconds=300)
    assert (await stage.trigger.poll(Order(policy(), RUN, FACTS))).stuck


async def test_why_a_pod_had_no_node_is_no_reason_once_it_has_one(stage: Stage) -> None:
    """A node that was made for it pulls a large image."""
    stage.job()
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(200).replace("+00:00", "Z")}
    creating = [waiting("ContainerCreating", "")]
    stage.pod(0, "", phase="Pending", containerStatuses=creating, conditions=[scheduled])
    body = stage.cache.get(PODS, "ml", "fraud-1-0")
    assert body is not None
    metadata = {**body["metadata"], "creationTimestamp": at(299), "resourceVersion": "2"}
    stage.cache.upsert(PODS, {**body, "metadata": metadata})
    stage.server.warnings["fraud-1-0"] = [event("0/3 nodes are available", 200)]
    assert await stage.poll() == (runs.WORKING, "")
    stage.now += timedelta(seconds=20)
    stage.server.warnings["fraud-1-0"] += [event("Failed to pull image", 190)]
    assert "Failed to pull" in (await stage.poll())[1]


async def test_a_step_that_runs_before_the_training_is_no_silence(stage: Stage) -> None:
    stage.job()
    steps = [{"name": "download", "state": {"running": {}}}]
    stage.pod(0, "", phase="Pending", initContainerStatuses=steps, containerStatuses=[waiting("PodInitializing", "")])
    stage.now += timedelta(hours=1)
    assert await stage.poll() == (runs.WORKING, "")


async def test_what_pods_said_outlives_them(stage: Stage) -> None:
    """With restartPolicy OnFailure a Job that gives up takes its pods away."""
    stage.job("Failed", message="the backoff limit")
    run = replace(RUN, delay="ContainerFailed", message="Container train ended with exit code 1: no labels")
    found = await stage.trigger.poll(Order(policy(), run, FACTS))
    assert found.message == f"The Job failed: the backoff limit. Before that: {run.message}"
