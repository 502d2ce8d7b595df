"""How a run's Job starts and ends, and what is made of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelward.api import names
from modelward.api.driftpolicy import Job
from modelward.kube.cache import Cache
from modelward.kube.client import ApiError
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers.job import GRACE, JobTrigger
from modelward.retraining.triggers.job_manifest import job as rendered
from modelward.retraining.triggers.trigger import Order

from .jobs import FACTS, NOW, REPORT, RUN, TEMPLATE, Stage, at, policy, waiting


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_another_jobs_pod_that_wears_the_runs_labels_reports_nothing(stage: Stage) -> None:
    stage.job("Complete", ago=GRACE + 1)
    stage.pod(0, REPORT, job="another")
    assert (await stage.poll())[0] == runs.BROKE


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
