"""What a run's Job and pods say, and what is made of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy, Job, parse
from modelward.kube.cache import Cache
from modelward.kube.client import ApiError
from modelward.kube.resources import EVENTS, JOBS, PODS, Resource
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.target import TargetFacts
from modelward.retraining.triggers import job_pods
from modelward.retraining.triggers.job import GRACE, JobTrigger
from modelward.retraining.triggers.job_manifest import job as rendered
from modelward.retraining.triggers.trigger import Order

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = Artifact("s3://models/fraud/1/fraud.tar")
FACTS = TargetFacts("fraud", "t", 1, 1, MODEL, "fraud-a", MODEL)
RUN = Run("fraud-1", "k", "Job", "Drift", "", NOW.timestamp(), "fraud-a", MODEL, phase=runs.RUNNING, uid="r")
TEMPLATE = {"spec": {"template": {"spec": {"containers": [{"name": "train", "image": "t:1"}]}}}}
REPORT = json.dumps({"modelUri": "s3://models/fraud/2/fraud.tar"})


def policy(uid: str = "p") -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": uid, "generation": 1}
    spec = {"target": {"name": "fraud"}, "retrain": {"job": {"template": TEMPLATE}}}
    return parse({"metadata": metadata, "spec": spec})


class Server:
    """The API server: what is there, and what it refuses."""

    def __init__(self) -> None:
        self.there: dict[str, Any] = {}
        self.refuses: ApiError | None = None
        self.created = 0
        self.warnings: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.deleted: list[str] = []
        self.pods: list[dict[str, Any]] = []

    async def pages(self, resource: Resource, namespace: str) -> AsyncIterator[list[dict[str, Any]]]:
        assert (resource.plural, resource.selector, namespace) == ("pods", "modelward.io/run=fraud-1", "ml")
        yield self.pods

    async def get(self, _resource: Resource, _namespace: str, name: str) -> Any:
        return self.there.get(name)

    async def create(self, _resource: Resource, _namespace: str, manifest: Any, *, strict: bool) -> Any:
        assert strict
        if self.refuses is not None:
            raise self.refuses
        if manifest["metadata"]["name"] in self.there:
            raise ApiError(409, "AlreadyExists", "it exists")
        self.created += 1
        metadata = {**manifest["metadata"], "uid": "j", "resourceVersion": "5"}
        self.there[metadata["name"]] = {**manifest, "metadata": metadata}
        return self.there[metadata["name"]]

    async def delete(self, _resource: Resource, _namespace: str, name: str, uid: str) -> None:
        self.deleted.append(f"{name}/{uid}")

    async def request(self, _method: str, resource: Resource, _path: str, query: Any, **_: Any) -> Any:
        assert resource is EVENTS
        self.asked.append(query["fieldSelector"])
        about = query["fieldSelector"].split(",")[0].removeprefix("involvedObject.uid=")
        if self.refuses is not None:
            raise self.refuses
        return {"items": self.warnings.get(about, [])}


class Stage:
    """A trigger, and what its cache holds."""

    def __init__(self) -> None:
        self.server, self.cache = Server(), Cache()
        self.now = NOW
        self.trigger = JobTrigger(self.server, self.cache, lambda: self.now)  # type: ignore[arg-type]

    def job(
        self,
        kind: str | None = None,
        ago: float = 0.0,
        message: str = "",
        owner: str = "r",
        spec: Any = None,
        **meta: Any,
    ) -> None:
        made = rendered(policy(), TEMPLATE, FACTS, replace(RUN, uid=owner))
        at = (NOW - timedelta(seconds=ago)).isoformat()
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": at, "message": message}] if kind else []
        metadata = {**made["metadata"], "uid": "j", "resourceVersion": "7", **meta}
        self.cache.upsert(JOBS, {"metadata": metadata, "spec": spec or {}, "status": {"conditions": conditions}})

    def pod(self, code: int, log: str, name: str = "fraud-1-0", job: str = "j", **status: Any) -> None:
        self.cache.upsert(PODS, self.made(code, log, name, job, **status))

    def made(self, code: int, log: str, name: str = "fraud-1-0", job: str = "j", **status: Any) -> dict[str, Any]:
        labels = rendered(policy(), TEMPLATE, FACTS, RUN)["spec"]["template"]["metadata"]["labels"]
        state = {"terminated": {"exitCode": code, "message": log, "reason": "Error", "finishedAt": name}}
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": "ml",
            "uid": name,
            "resourceVersion": "1",
            "labels": labels,
        }
        metadata["ownerReferences"] = [{"kind": "Job", "name": "fraud-1", "uid": job, "controller": True}]
        statuses = [{"name": "istio", "state": {}}, {"name": "train", "state": state}]
        return {"metadata": metadata, "status": {"containerStatuses": statuses, **status}}

    async def poll(self) -> tuple[str, str]:
        found = await self.trigger.poll(Order(policy(), RUN, FACTS))
        return found.state, found.message


async def test_another_jobs_pod_that_wears_the_runs_labels_reports_nothing(stage: Stage) -> None:
    stage.job("Complete", ago=GRACE + 1)
    stage.pod(0, REPORT, job="another")
    assert (await stage.poll())[0] == runs.BROKE


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def start(stage: Stage) -> tuple[str, str]:
    found = await stage.trigger.start(Order(policy(), RUN, FACTS))
    return found.state, found.message


async def test_a_second_start_makes_no_second_job(stage: Stage) -> None:
    assert [await start(stage) for _ in range(2)] == [(runs.WORKING, "")] * 2
    stage.cache = Cache()
    stage.trigger = JobTrigger(stage.server, stage.cache, lambda: NOW)  # type: ignore[arg-type]
    assert await start(stage) == (runs.WORKING, ""), "an operator that has not seen it yet"
    assert stage.server.created == 1


async def test_a_job_of_somebody_else_is_left_alone(stage: Stage) -> None:
    stage.job(owner="another")
    state, message = await start(stage)
    assert (state, "that is not of this run" in message) == (runs.BROKE, True)
    await stage.trigger.cancel(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == []


async def test_a_template_that_was_changed_to_reach_beyond_its_pods_is_never_applied(stage: Stage) -> None:
    hosted = {"spec": {"template": {"spec": {"hostPID": True, "containers": [{"name": "train", "image": "t:1"}]}}}}
    given = policy()
    assert given.spec.retrain is not None
    retrain = replace(given.spec.retrain, job=Job(hosted))
    changed = replace(given, spec=replace(given.spec, retrain=retrain))
    found = await stage.trigger.start(Order(changed, RUN, FACTS))
    assert found.state == runs.BROKE
    assert "hostPID: it lets the pod into the node" in found.message
    assert stage.server.created == 0


async def test_what_the_api_server_refuses_is_told_and_what_it_can_not_do_now_is_tried_again(stage: Stage) -> None:
    stage.server.refuses = ApiError(422, "Invalid", "no such field")
    state, message = await start(stage)
    assert (state, "no such field" in message) == (runs.BROKE, True)
    stage.server.refuses = ApiError(503, "Unavailable", "later")
    with pytest.raises(ApiError):
        await start(stage)


async def test_a_good_end(stage: Stage) -> None:
    stage.job("Complete")
    stage.pod(0, REPORT)
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.report and found.report.model.uri) == (runs.SUCCEEDED, "s3://models/fraud/2/fraud.tar")


async def test_the_pod_that_ended_well_reports_whatever_the_others_did(stage: Stage) -> None:
    stage.job("Complete")
    stage.pod(1, "out of memory", "fraud-1-a")
    stage.pod(0, REPORT, "fraud-1-b")
    assert (await stage.poll())[0] == runs.SUCCEEDED


@pytest.mark.parametrize(
    ("ago", "expected"), [(0.0, (runs.WORKING, "")), (GRACE + 1, (runs.BROKE, "its pod, and with it the report"))]
)
async def test_a_pod_may_be_told_of_a_little_later(stage: Stage, ago: float, expected: tuple[str, str]) -> None:
    stage.job("Complete", ago)
    state, message = await stage.poll()
    assert state == expected[0]
    assert expected[1] in message


BAD: dict[str, tuple[dict[str, Any], list[tuple[int, str]], str]] = {
    "no report": ({"kind": "Complete"}, [(0, "")], "ended well, but it wrote nothing"),
    "a log": ({"kind": "Failed", "message": "limit"}, [(1, "x" * 2000 + "\nValueError: no labels")], "no labels"),
    "out of time": ({"kind": "Failed", "message": "Job was active longer than its deadline"}, [], "active longer"),
    "an exit code": ({"kind": "Failed"}, [(137, "")], "Error (exit code 137)"),
    "taken away": ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, [], "is being deleted"),
    "another run's": ({"owner": "q"}, [], "is gone: somebody deleted it"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_end_is_told(stage: Stage, case: str) -> None:
    job, pods, sentence = BAD[case]
    stage.job(**job)
    for code, message in pods:
        stage.pod(code, message)
    state, message = await stage.poll()
    assert state == runs.BROKE
    assert sentence in message
    assert len(message) < 1000


async def test_a_pod_that_no_watch_has_told_of_yet_is_asked_for_and_says_why(stage: Stage) -> None:
    stage.job("Failed", message="limit")
    stage.server.pods = [stage.made(1, "no labels"), stage.made(1, "a namesake's", "fraud-1-b", job="another")]
    state, message = await stage.poll()
    assert state == runs.BROKE
    assert message.endswith("the end of its log: no labels")


async def test_a_pod_that_is_there_and_has_not_ended_is_waited_for(stage: Stage) -> None:
    stage.job("Failed", message="limit")
    stage.server.pods = [stage.made(0, "", containerStatuses=[])]
    assert await stage.poll() == (runs.WORKING, "")
    stage.now += timedelta(seconds=GRACE + 1)
    assert (await stage.poll())[0] == runs.BROKE


async def test_a_job_that_is_nowhere_was_deleted(stage: Stage) -> None:
    assert await stage.poll() == (runs.BROKE, "The Job fraud-1 is gone: somebody deleted it")


async def test_an_eviction_is_named(stage: Stage) -> None:
    stage.job("Failed", message="limit")
    stage.pod(137, "", reason="Evicted", message="The node was low on memory")
    assert "Evicted: The node was low on memory" in (await stage.poll())[1]


async def test_a_training_without_enough_memory_is_told_with_its_cure(stage: Stage) -> None:
    stage.job("Failed", message="limit.")
    killed = {"name": "train", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at(1)}}}
    stage.pod(137, "", phase="Failed", containerStatuses=[killed])
    assert (await stage.poll())[1] == (
        "The Job failed: limit. Container train: OOMKilled (exit code 137). It needs more memory than its limit: raise "
        "its resources.limits.memory in spec.retrain.job.template"
    )


async def test_a_step_that_failed_before_the_training_is_told_by_its_name(stage: Stage) -> None:
    stage.job("Failed", message="limit")
    step = {"name": "prepare", "state": {"terminated": {"exitCode": 2, "message": "no data", "finishedAt": at(30)}}}
    stage.pod(0, "", phase="Failed", initContainerStatuses=[step], containerStatuses=[waiting("PodInitializing", "")])
    stage.now += timedelta(seconds=GRACE + 1)
    assert "Container prepare ended with exit code 2: no data" in (await stage.poll())[1]


async def test_it_goes_on_while_nothing_says_otherwise(stage: Stage) -> None:
    stage.job()
    assert await stage.poll() == (runs.WORKING, "")
    stage.pod(0, REPORT)
    assert await stage.poll() == (runs.WORKING, ""), "the Job's own end is about to be told"


def at(seconds: float) -> str:
    """So long before now."""
    return (NOW - timedelta(seconds=seconds)).isoformat()


def over(code: int, ago: float, message: str = "") -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, "message": message, "finishedAt": at(ago), "reason": "Done"}}}


def two(trains: dict[str, Any], other: str = "istio-proxy") -> list[dict[str, Any]]:
    """Statuses of a pod whose second container runs on."""
    return [{"name": "train", **trains}, {"name": other, "ready": True, "state": {"running": {}}}]


async def test_what_a_sidecar_outlives_counts_and_the_sidecar_is_ended(stage: Stage) -> None:
    stage.job()
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, job_pods.SIDECAR_GRACE - 1, REPORT)))
    state, message = await stage.poll()
    assert (state, "istio-proxy. They are ended with the pod" in message) == (runs.WORKING, True), (
        "it may end by itself"
    )
    stage.now += timedelta(seconds=2)
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.report and found.report.model.uri) == (runs.SUCCEEDED, "s3://models/fraud/2/fraud.tar")
    assert stage.server.deleted == [], "not before the report is stored"
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == ["fraud-1/j"]


async def test_a_job_that_ended_by_itself_keeps_its_log(stage: Stage) -> None:
    stage.job()
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    stage.job("Complete", resourceVersion="8")
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    stage.job(deletionTimestamp=at(0), resourceVersion="9")
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == []


async def test_the_sidecars_of_a_job_that_somebody_relabelled_are_ended_too(stage: Stage) -> None:
    stage.job()
    body = stage.cache.get(JOBS, "ml", "fraud-1")
    assert body is not None
    stage.server.there["fraud-1"] = body
    stage.cache.remove(JOBS, body)
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == ["fraud-1/j"]


async def test_another_jobs_sidecars_are_left_alone(stage: Stage) -> None:
    stage.job(owner="another")
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == []


async def test_a_failure_that_a_sidecar_outlives_is_told(stage: Stage) -> None:
    stage.job()
    stage.pod(0, "", phase="Running", containerStatuses=two(over(3, 60, "ValueError: no labels")))
    state, message = await stage.poll()
    assert (state, "Container train failed: Done (exit code 3), the end of its log: ValueError" in message) == (
        runs.BROKE, True,
    )  # fmt: skip
    assert "(istio-proxy) ran on" in message


@pytest.mark.parametrize("spec", [{"completions": 2}, {"parallelism": 2}])
async def test_a_job_that_needs_more_pods_than_a_sidecar_lets_end_says_so(stage: Stage, spec: dict[str, int]) -> None:
    stage.job(spec=spec)
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.delay, found.stuck) == (runs.WORKING, "SidecarRunsOn", True)
    assert "`restartPolicy: Always`" in found.message
    stage.pod(0, "", "fraud-1-1", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    assert (await stage.poll())[0] == runs.SUCCEEDED


async def test_a_container_that_trains_on_is_left_alone(stage: Stage) -> None:
    stage.job()
    running = two({"ready": True, "state": {"running": {}}})
    stage.pod(0, "", phase="Running", containerStatuses=running)
    assert await stage.poll() == (runs.WORKING, "")


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"name": "train", "state": {"waiting": {"reason": reason, "message": message}}}


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


async def test_a_job_that_an_earlier_operator_made_for_the_policy_is_the_runs(stage: Stage) -> None:
    stage.job(owner="p")
    assert await start(stage) == (runs.WORKING, "")
    assert await stage.poll() == (runs.WORKING, "")
    await stage.trigger.cancel(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == ["fraud-1/j"]


def test_labels_say_whose_it_is() -> None:
    labels = rendered(policy(), TEMPLATE, FACTS, RUN)["metadata"]["labels"]
    assert (labels[names.LABEL_POLICY], labels[names.LABEL_TARGET], labels[names.LABEL_RUN]) == (
        "fraud", "fraud", "fraud-1",
    )  # fmt: skip
