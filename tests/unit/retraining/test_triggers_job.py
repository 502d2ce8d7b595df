"""What a run's Job and pods say, and what is made of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy, Job, parse
from modelward.kube.cache import Cache
from modelward.kube.client import ApiError
from modelward.kube.resources import JOBS, PODS, Resource
from modelward.retraining import run as runs
from modelward.retraining.run import Artifact, Run
from modelward.retraining.target import TargetFacts
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
        self.deleted: list[str] = []

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


class Stage:
    """A trigger, and what its cache holds."""

    def __init__(self) -> None:
        self.server, self.cache = Server(), Cache()
        self.trigger = JobTrigger(self.server, self.cache, lambda: NOW)  # type: ignore[arg-type]

    def job(self, kind: str | None = None, ago: float = 0.0, message: str = "", owner: str = "r", **meta: Any) -> None:
        made = rendered(policy(), TEMPLATE, FACTS, replace(RUN, uid=owner))
        at = (NOW - timedelta(seconds=ago)).isoformat()
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": at, "message": message}] if kind else []
        metadata = {**made["metadata"], "uid": "j", "resourceVersion": "7", **meta}
        self.cache.upsert(JOBS, {"metadata": metadata, "status": {"conditions": conditions}})

    def pod(self, code: int, log: str, name: str = "fraud-1-0", job: str = "j", **status: Any) -> None:
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
        self.cache.upsert(PODS, {"metadata": metadata, "status": {"containerStatuses": statuses, **status}})

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


async def test_a_job_that_is_nowhere_was_deleted(stage: Stage) -> None:
    assert await stage.poll() == (runs.BROKE, "The Job fraud-1 is gone: somebody deleted it")


async def test_an_eviction_is_named(stage: Stage) -> None:
    stage.job("Failed", message="limit")
    stage.pod(137, "", reason="Evicted", message="The node was low on memory")
    assert "Evicted: The node was low on memory" in (await stage.poll())[1]


async def test_it_goes_on_while_nothing_says_otherwise(stage: Stage) -> None:
    stage.job()
    stage.pod(1, "tried once")
    assert await stage.poll() == (runs.WORKING, "")


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
